"""Rate cards, quotes and price tables over the wire."""

import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.refusals import InvalidRequest
from creditmeter.server.errors import problem_of
from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, metering_pb2, work_pb2
from tests.server.conftest import Services, failure

CREDIT = 1_000_000
CARD = """
version = "v1"
effective_from = 2026-11-01T00:00:00Z
higher_cost_models = ["house"]
free = ["view"]
[actions.engagement]
[tools]
web_search = "1.5"
[image]
models = [{ model = "paint", credits = 10, variants = { hd = 20 } }]
[[text.models]]
model = "house"
unit = "credits"
input = 100
output = 400
cache_read = "12.5"
per_call = "0.25"
[[text.models.long_context]]
above_input_tokens = 200000
input = 200
"""


async def publish(services: Services, document: str) -> admin_pb2.PublishRateCardResponse:
    """Publish a card."""
    return await services.admin.PublishRateCard(admin_pb2.PublishRateCardRequest(document=document))


async def test_a_card_is_published_shown_and_used(services: Services) -> None:
    """At once where it was published; again it is the same publication."""
    await services.create("alice", permanent=100 * CREDIT)
    first = await publish(services, CARD)
    assert (first.rate_card.version, first.replayed, first.rate_card.document) == ("v1", False, CARD)
    assert first.rate_card.effective_from == Timestamp(seconds=1_793_491_200)
    assert (await publish(services, CARD)).replayed
    for version in ("", "v1"):
        shown = await services.admin.GetRateCard(admin_pb2.GetRateCardRequest(version=version))
        assert shown.rate_card == first.rate_card
    listed = (await services.admin.ListRateCards(admin_pb2.ListRateCardsRequest())).rate_cards
    assert [(each.version, each.document) for each in listed] == [("v1", "")]
    work = work_pb2.Work(action="text", request_model="house", input_tokens=10_000, max_output_tokens=10_000)
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=work)
    assert (await services.metering.Reserve(asked)).reservation.rate_card_version == "v1"


async def test_before_any_is_published_the_sidecars_own_is_shown(services: Services) -> None:
    """By either of its versions; it was never published."""
    shown = (await services.admin.GetRateCard(admin_pb2.GetRateCardRequest())).rate_card
    assert shown.version == f"default-2026-12+{bundled_price_list().version}"
    assert not shown.HasField("published_at")
    for version in ("default-2026-12", shown.version):
        assert (await services.admin.GetRateCard(admin_pb2.GetRateCardRequest(version=version))).rate_card == shown
    failed = await failure(services.admin.GetRateCard(admin_pb2.GetRateCardRequest(version="no")))
    assert failed.info.reason == "RATE_CARD_NOT_FOUND"


@pytest.mark.parametrize("version", ["a\0b", "x" * 65_536, "two words"])
async def test_a_version_that_no_card_can_have(services: Services, version: str) -> None:
    """It is refused before the central store is asked: PostgreSQL stores no NUL, and the refusal would be as long."""
    failed = await failure(services.admin.GetRateCard(admin_pb2.GetRateCardRequest(version=version)))
    assert failed.info.reason == "INVALID_REQUEST"
    assert failed.fields == {"version"}


async def test_an_own_card_is_not_published_with_changes_under_its_version(services: Services) -> None:
    """Neither by the version of its document nor by that of its charges; as it is it may be published."""
    own = (await services.admin.GetRateCard(admin_pb2.GetRateCardRequest())).rate_card
    edited = own.document.replace("credits_per_usd = 100", "credits_per_usd = 400")
    for document in (edited, f'version = "{own.version}"\neffective_from = 2026-11-01T00:00:00Z\n'):
        assert (await failure(publish(services, document))).info.reason == "RATE_CARD_EXISTS"
    assert (await services.admin.GetRateCard(admin_pb2.GetRateCardRequest())).rate_card == own
    assert (await publish(services, own.document)).rate_card.version == own.version


async def test_cards_are_listed_in_pages(services: Services) -> None:
    """The last one to take effect first."""
    for number in range(3):
        await publish(services, CARD.replace('"v1"', f'"v{number}"'))
    first = await services.admin.ListRateCards(admin_pb2.ListRateCardsRequest(page_size=2))
    rest = admin_pb2.ListRateCardsRequest(page_token=first.next_page_token)
    second = await services.admin.ListRateCards(rest)
    assert [each.version for each in (*first.rate_cards, *second.rate_cards)] == ["v2", "v1", "v0"]


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        ("", ["is missing"]),
        ("version = ", ["line 1: not TOML: Invalid value (at end of document)"]),
        (CARD.replace('version = "v1"\n', ""), ["line 1: version is missing"]),
        (CARD.replace("[tools]", "colour = 1\n[tools]"), ["line 7, actions.engagement: colour is not a key of this table"]),
        (CARD.replace("input = 100", "input = -1"), ['line 14, text.models "house": input must not be negative']),
        (
            CARD.replace("input = 100", "input = 0.30000000000000004"),
            ['line 14, text.models "house": input must be below 1,000,000,000 and have at most 12 decimal places'],
        ),
        (
            f'{CARD}[[text.models]]\nmodel = "house"\ninput = 1\noutput = 1',
            ["line 22, text.models \"house\": model 'house' already has a rule, in line 12"],
        ),
    ],
)
async def test_a_wrong_card_is_refused_with_the_line(services: Services, document: str, problems: list[str]) -> None:
    """And the sidecar keeps the card that it had."""
    await publish(services, CARD)
    failed = await failure(publish(services, document))
    assert failed.info.reason == "INVALID_REQUEST"
    assert [each.description for each in failed.bad_request.field_violations] == problems
    assert {each.field for each in failed.bad_request.field_violations} == {"document"}
    assert (await services.admin.GetRateCard(admin_pb2.GetRateCardRequest())).rate_card.version == "v1"


async def test_what_was_published_never_changes(services: Services) -> None:
    """Another document under its version is refused."""
    await publish(services, CARD)
    failed = await failure(publish(services, f"{CARD}\n# changed"))
    assert failed.info.reason == "RATE_CARD_EXISTS"


async def test_quotes(services: Services) -> None:
    """Low and high for text, exact for what has a fixed price; with an account, whether it can pay."""
    await publish(services, CARD)
    await services.create("alice", permanent=6 * CREDIT)
    works = [
        work_pb2.Work(action="text", request_model="house", input_tokens=10_000, max_output_tokens=20_000),
        work_pb2.Work(action="image", request_model="paint", variant="hd", quantity=2),
        work_pb2.Work(action="tool", tool="web_search"),
        work_pb2.Work(action="view"),
    ]
    alone = (await services.metering.Quote(metering_pb2.QuoteRequest(work=works))).quotes
    assert [(each.min_microcredits // CREDIT, each.max_microcredits // CREDIT) for each in alone] == [
        (1, 10),
        (40, 40),
        (2, 2),
        (0, 0),
    ]
    assert not any(each.affordable or each.affordable_output_tokens for each in alone)
    asked = metering_pb2.QuoteRequest(account_id="alice", work=works)
    quoted = (await services.metering.Quote(asked)).quotes
    assert [each.affordable for each in quoted] == [False, False, True, True]
    assert [each.affordable_output_tokens for each in quoted] == [11_875, 0, 0, 0]
    assert {each.rate_card_version for each in quoted} == {"v1"}


async def test_quotes_that_cannot_be_made(services: Services) -> None:
    """The work at fault is named; an unknown account is, too."""
    known = work_pb2.Work(action="view")
    unknown = work_pb2.Work(action="text", request_model="no-such-model", input_tokens=1)
    failed = await failure(services.metering.Quote(metering_pb2.QuoteRequest(work=[known, unknown])))
    assert failed.info.reason == "UNPRICED"
    assert "work[1]" in failed.message
    wrong = work_pb2.Work(action="text", request_model="gpt-4o")
    failed = await failure(services.metering.Quote(metering_pb2.QuoteRequest(work=[known, wrong])))
    assert failed.fields == {"work[1].input_tokens"}
    assert (await failure(services.metering.Quote(metering_pb2.QuoteRequest()))).fields == {"work"}
    many = metering_pb2.QuoteRequest(work=[known] * 51)
    assert (await failure(services.metering.Quote(many))).fields == {"work"}
    nobody = metering_pb2.QuoteRequest(account_id="nobody", work=[known])
    assert (await failure(services.metering.Quote(nobody))).info.reason == "ACCOUNT_NOT_FOUND"


async def test_the_price_table(services: Services) -> None:
    """Every model, variant, tool and action with its tier and prices, in order and in pages."""
    await publish(services, CARD)
    found: list[account_pb2.ModelPrice] = []
    token = ""
    while True:
        request = account_pb2.ListModelPricesRequest(page_size=3, page_token=token)
        reply = await services.account.ListModelPrices(request)
        assert reply.rate_card_version == "v1"
        found += reply.prices
        if not (token := reply.next_page_token):
            break
    assert [(each.action, each.model, each.variant or each.tool, each.typical_microcredits // CREDIT) for each in found] == [
        ("engagement", "", "", 1),
        ("engagement", "house", "", 2),
        ("image", "paint", "", 10),
        ("image", "paint", "hd", 20),
        ("text", "house", "", 1),
        ("tool", "", "*", 1),
        ("tool", "", "web_search", 2),
        ("view", "", "", 0),
    ]
    tiers = {each.model: each.tier for each in found}
    assert (tiers["house"], tiers["paint"]) == (account_pb2.MODEL_TIER_HIGHER_COST, account_pb2.MODEL_TIER_STANDARD)
    text = next(each for each in found if each.action == "text")
    assert {each.cost_basis for each in found} == {account_pb2.COST_BASIS_LIST}
    assert [
        (account_pb2.PriceUnit.Name(each.unit)[11:], each.unit_count, each.above_input_tokens, each.amount_microcredits)
        for each in text.unit_prices
    ] == [
        ("INPUT_TOKENS", 1_000_000, 0, 100 * CREDIT),
        ("OUTPUT_TOKENS", 1_000_000, 0, 400 * CREDIT),
        ("CACHE_READ_INPUT_TOKENS", 1_000_000, 0, 12_500_000),
        ("INPUT_TOKENS", 1_000_000, 200_000, 200 * CREDIT),
        ("OUTPUT_TOKENS", 1_000_000, 200_000, 400 * CREDIT),
        ("CACHE_READ_INPUT_TOKENS", 1_000_000, 200_000, 12_500_000),
        ("QUANTITY", 1, 0, 250_000),
    ]
    search = next(each for each in found if each.tool == "web_search")
    assert [each.amount_microcredits for each in search.unit_prices] == [1_500_000]


async def test_the_price_table_says_what_is_charged_by_a_reported_cost(services: Services) -> None:
    """Its prices are the list's; the charge is 0.5 dollars x 1.5 x 100 credits."""
    rule = 'cost = "reported"\nmarkup = "1.5"'
    document = f"""\
version = "v1"
effective_from = 2000-01-01T00:00:00Z
[[text.models]]
model = "house"
input = 1
output = 2
{rule}
"""
    await publish(services, document)
    (line,) = (await services.account.ListModelPrices(account_pb2.ListModelPricesRequest())).prices
    assert (line.cost_basis, line.typical_microcredits) == (account_pb2.COST_BASIS_REPORTED, CREDIT)
    assert line.unit_prices[0].amount_microcredits == 100 * CREDIT
    await services.create("alice", permanent=100 * CREDIT)
    for report, cost, usd, flags in (
        ({"cost": 0.5}, 75 * CREDIT, "0.5", []),
        ({}, CREDIT, "0.0012", [charges_pb2.CHARGE_FLAG_LIST_PRICE]),
    ):
        text = json.dumps({"prompt_tokens": 1_000, "completion_tokens": 100} | report)
        usage = work_pb2.Usage(action="text", request_model="house", provider_usage_json=text)
        asked = metering_pb2.ChargeRequest(request_id=usd, account_id="alice", usage=usage)
        charge = (await services.metering.Charge(asked)).charge
        assert (charge.cost_microcredits, charge.cost_usd) == (cost, usd)
        assert [flag for flag in charge.flags if flag != charges_pb2.CHARGE_FLAG_MINIMUM] == flags


async def test_the_price_table_of_the_default_card(services: Services) -> None:
    """Has what genai-prices knows, of one action if asked for."""
    request = account_pb2.ListModelPricesRequest(action="text", page_size=1_000)
    reply = await services.account.ListModelPrices(request)
    assert len(reply.prices) == 1_000
    by_name = {(each.provider, each.model): each for each in reply.prices}
    sonnet = by_name["anthropic", "claude-sonnet-4-5"]
    assert (sonnet.typical_microcredits, sonnet.unit_prices[0].amount_microcredits) == (2 * CREDIT, 300 * CREDIT)
    assert {each.action for each in reply.prices} == {"text"}


async def test_provider_usage_is_charged(services: Services) -> None:
    """As it came from the provider, in a commit and in a charge."""
    await services.create("alice", permanent=100 * CREDIT)
    reported = '{"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 900}, "completion_tokens": 97}'
    usage = work_pb2.Usage(action="text", request_model="gpt-4o", provider="openai", provider_usage_json=reported)
    request = metering_pb2.ChargeRequest(request_id="c", account_id="alice", usage=usage)
    charge = (await services.metering.Charge(request)).charge
    assert (charge.cost_usd, charge.cost_microcredits) == ("0.002345", CREDIT)
    assert (charge.usage.input_tokens, charge.usage.cache_read_input_tokens) == (1_000, 900)
    request.request_id, usage.provider_usage_json = "c2", "[]"
    request.usage.CopyFrom(usage)
    missing = {"usage.input_tokens", "usage.output_tokens"}  # which nothing says then
    assert (await failure(services.metering.Charge(request))).fields == missing
    request.usage.provider_usage_json = "no"
    assert (await failure(services.metering.Charge(request))).fields == {"usage.provider_usage_json"} | missing


async def test_a_charge_shows_its_responses(services: Services) -> None:
    """Each at its own model: 1,000 x 2.5 + 100 x 10 = 3500 and 1,000 x 0.15 + 100 x 0.6 = 210 millionths of a dollar."""
    await services.create("alice", permanent=100 * CREDIT)
    counts = {"prompt_tokens": 1_000, "completion_tokens": 100}
    report = [
        {"id": "a", "model": "gpt-4o", "usage": counts | {"cost": 0.004}},
        {"id": "b", "model": "gpt-4o-mini", "usage": counts | {"cost": 0.0005, "quantum_tokens": 7}},
    ]
    usage = work_pb2.Usage(action="text", provider="openai", provider_usage_json=json.dumps(report))
    asked = metering_pb2.ChargeRequest(request_id="c", account_id="alice", usage=usage)
    charge = (await services.metering.Charge(asked)).charge
    assert (charge.cost_usd, charge.reported_cost_usd) == ("0.00371", "0.0045")
    assert (list(charge.flags), list(charge.unread)) == ([charges_pb2.CHARGE_FLAG_UNREAD_USAGE], ["quantum_tokens"])
    priced = work_pb2.Usage(input_tokens=1_000, output_tokens=100)
    assert list(charge.parts) == [
        charges_pb2.ChargePart(response_id="a", model="gpt-4o", usage=priced, cost_usd="0.0035"),
        charges_pb2.ChargePart(response_id="b", model="gpt-4o-mini", usage=priced, cost_usd="0.00021"),
    ]
    assert (await services.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id=charge.charge_id))).charge == charge


async def test_a_worker_may_say_tiers_and_units_itself(services: Services) -> None:
    """Half of 0.04 + 0.04 dollars at flex, 0.02 for two searches; the hold of the same work is at flex, too."""
    await services.create("alice", permanent=100 * CREDIT)
    work = work_pb2.Work(action="text", provider="openai", request_model="gpt-5", input_tokens=32_000, max_output_tokens=4_000)
    holds = []
    for number, tier in enumerate(("", "flex")):
        work.service_tier = tier
        asked = metering_pb2.ReserveRequest(request_id=f"r{number}", account_id="alice", work=work)
        holds.append((await services.metering.Reserve(asked)).reservation)
    assert [each.held_microcredits for each in holds] == [8 * CREDIT, 4 * CREDIT]
    assert holds[1].work == work
    usage = work_pb2.Usage(input_tokens=32_000, output_tokens=4_000, units={"web_searches": 2}, speed="standard")
    committed = metering_pb2.CommitRequest(request_id="c", reservation_id=holds[1].reservation_id, usage=usage)
    charge = (await services.metering.Commit(committed)).charge
    assert (charge.cost_usd, charge.usage.service_tier, charge.usage.speed) == ("0.06", "flex", "standard")
    assert [(dict(each.usage.units), each.service_tier, each.cost_usd) for each in charge.parts] == [
        ({"web_searches": 2}, "flex", "0.06")
    ]


async def test_a_hold_is_the_worst_case_of_what_its_work_says(services: Services) -> None:
    """100,000 tokens at 3 dollars a million are 30 credits, so 40 are enough for a call of 32. What may be written to the cache
    for an hour, at 6 dollars, and searches at a cent have to be said; what is not said is charged all the same.
    """
    await services.create("alice", permanent=40 * CREDIT)
    work = work_pb2.Work(
        action="text", provider="anthropic", request_model="claude-sonnet-4-5", input_tokens=100_000, max_output_tokens=1_333
    )
    plain = metering_pb2.ReserveRequest(request_id="plain", account_id="alice", work=work)
    held = (await services.metering.Reserve(plain)).reservation
    assert held.held_microcredits == 32 * CREDIT
    said = metering_pb2.ReserveRequest(request_id="said", account_id="alice", work=work)
    said.work.MergeFrom(
        work_pb2.Work(cache_creation_input_tokens=30_000, cache_creation_1h_input_tokens=10_000, units={"web_searches": 4})
    )
    quoted = await services.metering.Quote(metering_pb2.QuoteRequest(account_id="alice", work=[work, said.work]))
    assert [each.max_microcredits for each in quoted.quotes] == [32 * CREDIT, 41 * CREDIT]  # 18 + 7.5 + 6 + 4 + 1.9995
    assert (await failure(services.metering.Reserve(said))).info.reason == "INSUFFICIENT_CREDITS"
    used = work_pb2.Usage(input_tokens=100_000, output_tokens=0, cache_creation_1h_input_tokens=100_000)
    committed = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id, usage=used)
    assert (await services.metering.Commit(committed)).charge.cost_microcredits == 60 * CREDIT


async def test_a_reservation_shows_what_its_work_may_use(services: Services) -> None:
    """All of it, also when it is read again; another request with the same id differs in it."""
    await services.create("alice", permanent=100 * CREDIT)
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice")
    asked.work.MergeFrom(work_pb2.Work(action="text", request_model="gpt-4o", input_tokens=1_000, max_output_tokens=1))
    asked.work.MergeFrom(
        work_pb2.Work(cache_creation_input_tokens=3, cache_creation_1h_input_tokens=2, units={"web_searches": 1})
    )
    asked.work.MergeFrom(work_pb2.Work(audio_input_tokens=4, image_input_tokens=5))
    made = (await services.metering.Reserve(asked)).reservation
    assert made.work == asked.work
    found = await services.metering.GetReservation(metering_pb2.GetReservationRequest(reservation_id=made.reservation_id))
    assert found.reservation.work == asked.work
    asked.work.units["web_searches"] = 2
    reused = await failure(services.metering.Reserve(asked))
    assert (reused.info.reason, reused.info.metadata["field"]) == ("REQUEST_ID_REUSED", "work.units")


async def test_parts_of_the_input_above_it_are_named(services: Services) -> None:
    """Each with its path, in a Quote too."""
    work = work_pb2.Work(
        action="text", request_model="gpt-4o", input_tokens=10, cache_creation_input_tokens=11, image_input_tokens=12
    )
    refused = await failure(services.metering.Quote(metering_pb2.QuoteRequest(work=[work])))
    assert refused.info.reason == "INVALID_REQUEST"
    assert refused.fields == {"work[0].cache_creation_input_tokens", "work[0].image_input_tokens"}


@pytest.mark.parametrize(
    "report", ["{}", '{"usage": null}', "data: [DONE]\n\n", '[{"choices": [], "usage": null}]', 'data: {"id": "a", "cho']
)
async def test_a_commit_whose_report_has_no_usage_is_at_the_bound(services: Services, report: str) -> None:
    """As if no usage were set: 1,000 tokens in and 100 out at most, so 0.0025 + 0.001 dollars, and flagged."""
    await services.create("alice", permanent=100 * CREDIT)
    bound = work_pb2.Work(action="text", request_model="gpt-4o", provider="openai", input_tokens=1_000, max_output_tokens=100)
    asked_hold = metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=bound)
    held = (await services.metering.Reserve(asked_hold)).reservation
    asked = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id)
    asked.usage.provider_usage_json = report
    charge = (await services.metering.Commit(asked)).charge
    assert charge.cost_usd == "0.0035"
    assert charges_pb2.CHARGE_FLAG_ESTIMATED in charge.flags


async def test_a_reported_cost_above_the_hold_is_taken(services: Services) -> None:
    """Held by the list are 0.0012 dollars, which is 1 credit; reported are 0.5, which are 50 and all paid for."""
    rule = '[[text.models]]\nmodel = "gateways"\ninput = 1\noutput = 2\ncost = "higher"\n'
    await publish(services, CARD + rule)
    await services.create("alice", permanent=100 * CREDIT)
    bound = work_pb2.Work(action="text", request_model="gateways", input_tokens=1_000, max_output_tokens=100)
    asked_hold = metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=bound)
    held = (await services.metering.Reserve(asked_hold)).reservation
    assert held.held_microcredits == CREDIT
    report = {"usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "cost": 0.5}}
    asked = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id)
    asked.usage.provider_usage_json = json.dumps(report)
    charge = (await services.metering.Commit(asked)).charge
    assert (charge.cost_microcredits, charge.cost_usd, list(charge.flags)) == (50 * CREDIT, "0.5", [])
    balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
    assert balance.available_microcredits == 50 * CREDIT


async def test_a_card_with_many_problems_is_refused_with_as_many_as_fit(services: Services) -> None:
    """In the space that gRPC has for it; how many more there are is said, and each is cut short if it has to be."""
    rules = "".join(f'[[text.models]]\nmodel = "{number}{"x" * 600}"\ninput = -1\noutput = -1\n' for number in range(500))
    failed = await failure(publish(services, CARD + rules))
    named = failed.bad_request.field_violations
    assert (failed.info.reason, 1 <= len(named) < 1_000) == ("INVALID_REQUEST", True)
    assert failed.message.endswith(f"and {1_000 - len(named)} more")
    assert {len(each.description) for each in named} == {501}


async def test_what_has_no_price_is_named_in_the_space_there_is(services: Services) -> None:
    """However many variants the card has, and however long the names are: the reason always gets through."""
    await services.create("alice", permanent=100 * CREDIT)
    variants = ", ".join(f'"{number:04}x{number:04}-high" = 10' for number in range(400))
    head = 'version = "v1"\neffective_from = 2026-11-01T00:00:00Z\n'
    await publish(services, f'{head}[image]\nmodels = [{{ model = "paint", variants = {{ {variants} }} }}]')
    name = "\N{GRINNING FACE}" * 256
    for work, reason in (
        (work_pb2.Work(action="image", request_model="paint", variant="no"), "INVALID_REQUEST"),
        (work_pb2.Work(action="text", provider=name, request_model=name, input_tokens=1, max_output_tokens=1), "UNPRICED"),
        (work_pb2.Work(action=name), "UNPRICED"),
    ):
        request = metering_pb2.ReserveRequest(request_id="r", account_id="alice", work=work)
        failed = await failure(services.metering.Reserve(request))
        assert failed.info.reason == reason
        assert failed.message.endswith("…")


def test_problems_in_other_scripts_fit_too() -> None:
    """The message travels percent-encoded, the details in base 64, and gRPC drops what is above 8 KiB now and then."""
    name = "\N{GRINNING FACE}" * 500
    problem = problem_of(InvalidRequest(tuple(("document", f"line {line}, {name}") for line in range(4))))
    assert problem.violations
    assert len(quote(problem.message)) + len(b64encode(problem.as_status().SerializeToString())) < 7_500
