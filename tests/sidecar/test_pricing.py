"""From requests to amounts: what a reservation's bound and a provider's report make of each other."""

import pytest

from creditmeter.core.amounts import from_credits
from creditmeter.core.charges import Part
from creditmeter.core.ids import AccountId, LeaseId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.metering import Cost
from creditmeter.core.rate_card import RateCard
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.reservations import Reservation, ReservationState
from creditmeter.core.work import ChargeFlag, Usage, Work
from creditmeter.sidecar.pricing import Pricing

TEXT = Work(action="text", provider="openai", request_model="gpt-4o", input_tokens=1_000, max_output_tokens=2_000)


def reserved(work: Work | None) -> Reservation:
    """A reservation for work."""
    return Reservation(
        reservation_id=ReservationId("r"),
        account_id=AccountId("a"),
        request_id=RequestId("q"),
        state=ReservationState.HELD,
        parts=(Part(LeaseId("l"), from_credits(10), Instant(0)),),
        created_at=Instant(0),
        expires_at=Instant(1),
        rate_card_version="v",
        work=work,
    )


@pytest.fixture
def pricing(card: RateCard) -> Pricing:
    """The package's own rate card."""
    return Pricing(card)


@pytest.mark.parametrize(
    ("usage", "credits", "flags"),
    [
        pytest.param(Usage(input_tokens=1_000, output_tokens=500), "1", (), id="all counts known"),
        pytest.param(Usage(input_tokens=0, output_tokens=0), "0", (), id="an explicit zero is zero"),
        pytest.param(Usage(input_tokens=1_000), "3", (ChargeFlag.ESTIMATED,), id="output unknown: at the bound"),
        pytest.param(
            Usage(response_model="gpt-99-preview", input_tokens=8_001, output_tokens=0),
            "3",
            (ChargeFlag.FALLBACK_PRICE,),
            id="served by a model without a price: by the one asked for",
        ),
    ],
)
def test_usage_is_completed_from_the_work(pricing: Pricing, usage: Usage, credits: str, flags: tuple[ChargeFlag, ...]) -> None:
    """What the usage leaves out comes from what was reserved."""
    cost = pricing.reserved_cost(reserved(TEXT), usage, None)
    assert isinstance(cost, Cost)
    assert (cost.amount, cost.flags) == (from_credits(credits), flags)


def test_an_unknown_bound_is_the_cards(pricing: Pricing) -> None:
    """Work without max_output_tokens is held, and estimated, at the rate card's default."""
    work = Work(action="text", request_model="gpt-4o", input_tokens=1_000)
    hold = pricing.hold(work, None)
    cost = pricing.reserved_cost(reserved(work), Usage(), None)
    assert isinstance(cost, Cost)
    assert not isinstance(hold, InvalidRequest | UnpricedWork)
    assert ChargeFlag.ESTIMATED in cost.flags
    assert cost.amount <= hold.amount  # type: ignore[union-attr]  # a hold, as was just said


@pytest.mark.parametrize("provider", ["gcp.gemini", "gcp.vertex_ai", "google", "GCP.Gemini"])
def test_providers_go_by_either_name(pricing: Pricing, provider: str) -> None:
    """OpenTelemetry's name and the price list's cost the same; the charge keeps the name that was given."""
    usage = Usage(action="text", provider=provider, request_model="gemini-2.5-pro", input_tokens=200_000, output_tokens=1_000)
    cost = pricing.cost(usage, None)
    assert isinstance(cost, Cost)
    assert str(cost.usd) == "0.26"
    assert cost.usage == usage


def test_usage_of_a_reservation_by_amount_must_say_what_it_was(pricing: Pricing) -> None:
    """Nothing completes it."""
    assert isinstance(pricing.reserved_cost(reserved(None), Usage(), None), UnpricedWork | InvalidRequest)
