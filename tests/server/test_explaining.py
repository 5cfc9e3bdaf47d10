"""ExplainCharge over the wire: how the cost of a charge came about."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import grpc
import pytest

from creditmeter.core.instants import DAY, HOUR
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.v1 import account_pb2, admin_pb2, explanations_pb2, metering_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.server.requests import charge
from tests.server.settling import settled_charge

CREDIT = 1_000_000
CARD = """
version = "house-1"
effective_from = 2026-01-01T00:00:00Z
credits_per_usd = 100
increment = "0.5"
[text]
minimum = 1
[[text.models]]
model = "small"
input = 10
cache_read = 1
output = 20
"""
USAGE = work_pb2.Usage(
    action="text", request_model="small", input_tokens=3_000, cache_read_input_tokens=1_000, output_tokens=100
)


async def explained(services: Services, charge_id: str) -> account_pb2.ExplainChargeResponse:
    """The explanation of a charge."""
    return await services.account.ExplainCharge(account_pb2.ExplainChargeRequest(charge_id=charge_id))


async def charged(services: Services, **fields: object) -> str:
    """Charge alice; returns the charge's id."""
    return (await services.metering.Charge(charge(**fields))).charge.charge_id


def outcome(reply: account_pb2.ExplainChargeResponse) -> str:
    """What explaining came to, by its name."""
    name = explanations_pb2.ExplanationOutcome.Name(reply.outcome)
    return name.removeprefix("EXPLANATION_OUTCOME_")


@asynccontextmanager
async def another(central: Path, clock: ManualClock, rate_card: Path | None) -> AsyncIterator[Services]:
    """A sidecar with a data directory of its own, on a central store that others use too."""
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        data_dir = Path(directory)
        settings = Settings.load(
            None,
            listen=("127.0.0.1:0",),
            data_dir=data_dir,
            central=f"sqlite:///{central}",
            enable_admin=True,
            settle_interval=0.02,
            shutdown_grace=0.2,
            rate_card=rate_card,
        )
        async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
            yield Services.on(program, data_dir, channel)


async def test_a_charge_is_explained_line_by_line(services: Services) -> None:
    """By a published card: 2,000 x 10 + 1,000 x 1 + 100 x 20 millionths of a dollar are 0.023, which are 2.3 credits."""
    await services.admin.PublishRateCard(admin_pb2.PublishRateCardRequest(document=CARD))
    await services.create("alice", permanent=100 * CREDIT)
    charge_id = await charged(services, usage=USAGE)
    for reply in (await explained(services, charge_id), await _after_posting(services, charge_id)):
        assert outcome(reply) == "SAME"
        assert (reply.charge.charge_id, reply.charge.cost_microcredits) == (charge_id, 2_500_000)
        found = reply.explanation
        lines = [(each.what, each.count, each.rate, each.amount, each.credits) for each in found.lines]
        assert lines == [
            ("input_tokens", 2_000, "10", "0.02", "2"),
            ("cache_read_input_tokens", 1_000, "1", "0.001", "0.1"),
            ("output_tokens", 100, "20", "0.002", "0.2"),
        ]
        assert {(each.per, each.in_usd, each.rule, each.factor, each.markup, each.response) for each in found.lines} == {
            (1_000_000, True, "small", "1", "1", 1)
        }
        assert {each.source for each in found.lines} == {explanations_pb2.PRICE_SOURCE_CARD}
        assert (found.rate_card_version, found.price_list_version) == ("house-1", "")
        assert (found.exact_credits, found.cost_usd, found.credits_per_usd) == ("2.3", "0.023", "100")
        assert (found.increment_microcredits, found.rounded_microcredits) == (500_000, 2_500_000)
        assert (found.minimum_microcredits, found.HasField("cap_microcredits")) == (CREDIT, False)
        assert (found.cost_microcredits, list(found.flags)) == (2_500_000, [])


async def _after_posting(services: Services, charge_id: str) -> account_pb2.ExplainChargeResponse:
    await settled_charge(services, charge_id)
    return await explained(services, charge_id)


async def test_prices_of_the_list(services: Services) -> None:
    """The card that comes with the program uses the prices of genai-prices; the lines say so and add up."""
    await services.create("alice", permanent=100 * CREDIT)
    usage = work_pb2.Usage(action="text", request_model="claude-sonnet-4-5", input_tokens=1_000, output_tokens=100)
    reply = await explained(services, await charged(services, usage=usage))
    found = reply.explanation
    assert outcome(reply) == "SAME"
    assert found.price_list_version.startswith("genai-prices.")
    assert {(each.source, each.rule) for each in found.lines} == {
        (explanations_pb2.PRICE_SOURCE_PRICE_LIST, "anthropic/claude-sonnet-4-5")
    }
    assert sum(Decimal(each.credits) for each in found.lines) == Decimal(found.exact_credits)


async def test_a_committed_call_is_explained_with_its_reservation(services: Services) -> None:
    """A count that was missing was priced at the bound, and so it is explained; the charge says that it was estimated."""
    await services.admin.PublishRateCard(admin_pb2.PublishRateCardRequest(document=CARD))
    await services.create("alice", permanent=100 * CREDIT)
    work = work_pb2.Work(action="text", request_model="small", input_tokens=1_000, max_output_tokens=500)
    reserve = metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=work)
    held = (await services.metering.Reserve(reserve)).reservation
    commit = metering_pb2.CommitRequest(
        request_id="c", reservation_id=held.reservation_id, usage=work_pb2.Usage(input_tokens=800)
    )
    made = (await services.metering.Commit(commit)).charge
    reply = await explained(services, made.charge_id)
    assert outcome(reply) == "SAME"
    assert [(each.what, each.count) for each in reply.explanation.lines] == [("input_tokens", 800), ("output_tokens", 500)]
    assert (reply.charge.flags, reply.explanation.cost_microcredits) == (made.flags, 2_000_000)


async def test_an_amount_has_no_explanation(services: Services) -> None:
    """Only that it was given."""
    await services.create("alice", permanent=100 * CREDIT)
    reply = await explained(services, await charged(services, amount_microcredits=3 * CREDIT))
    assert (outcome(reply), reply.HasField("explanation")) == ("STATED", False)
    assert reply.charge.cost_microcredits == 3 * CREDIT


async def test_a_superseded_card_still_explains(services: Services, clock: ManualClock, data_dir: Path) -> None:
    """Also a sidecar that started long after: it reads the card from the central store."""
    await services.admin.PublishRateCard(admin_pb2.PublishRateCardRequest(document=CARD))
    await services.create("alice", permanent=100 * CREDIT)
    charge_id = await charged(services, usage=USAGE)
    await settled_charge(services, charge_id)
    later = CARD.replace("house-1", "house-2").replace("2026-01", "2026-02").replace("output = 20", "output = 900")
    await services.admin.PublishRateCard(admin_pb2.PublishRateCardRequest(document=later))
    clock.advance(DAY + HOUR)
    async with another(data_dir / "central.db", clock, None) as other:
        for _ in range(2):  # the second time it is remembered
            reply = await explained(other, charge_id)
            assert (outcome(reply), reply.explanation.exact_credits) == ("SAME", "2.3")


async def test_a_card_that_nobody_published_is_known_where_it_is_used(
    services: Services, clock: ManualClock, data_dir: Path, tmp_path: Path
) -> None:
    """A sidecar that was started with a card of its own explains its charges. No other sidecar can, and it says so."""
    own = tmp_path / "card.toml"
    own.write_text(CARD)
    await services.create("alice", permanent=100 * CREDIT)
    async with another(data_dir / "central.db", clock, own) as other:
        charge_id = await charged(other, usage=USAGE)
        await settled_charge(other, charge_id)
        assert outcome(await explained(other, charge_id)) == "SAME"
    reply = await explained(services, charge_id)
    assert (outcome(reply), reply.HasField("explanation")) == ("NO_CARD", False)
    assert reply.charge.cost_microcredits == 2_500_000


@pytest.mark.parametrize(("charge_id", "reason"), [("", "INVALID_REQUEST"), ("nothing", "CHARGE_NOT_FOUND")])
async def test_what_is_no_charge(services: Services, charge_id: str, reason: str) -> None:
    """It is refused as GetCharge refuses it."""
    refused = await failure(explained(services, charge_id))
    assert refused.info.reason == reason
