"""From requests to amounts: what a reservation's bound and a provider's report make of each other."""

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.reservations import Hold
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_table import PricePosition, PriceTable
from creditmeter.core.prices.pricing import Pricing, Quoted
from creditmeter.core.prices.rate_card import RateCard, ToolRules
from creditmeter.core.prices.rate_cards import LoadedCard, RateCards
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage, Work
from creditmeter.forms.rate_cards import load
from tests.core.prices.cards import cards
from tests.core.prices.priced import reserved

NOW = Instant(1_800_000_000_000_000)
TEXT = Work(action="text", provider="openai", request_model="gpt-4o", input_tokens=1_000, max_output_tokens=2_000)


@pytest.fixture
def pricing(card: LoadedCard) -> Pricing:
    """The package's own rate card."""
    return Pricing(RateCards(card.card))


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
    cost = pricing.reserved_cost(reserved(TEXT), usage, None, NOW)
    assert isinstance(cost, Cost)
    assert (cost.amount, cost.flags) == (from_credits(credits), flags)


OWN_RULES = """
version = "own"
effective_from = 1970-01-01T00:00:00Z
increment = "0.1"
[image]
models = [
    { model = "paint", variants = { standard = 10, hd = 20 } },
    { model = "etch", credits = 5, variants = { hd = 30 } },
]
[text]
minimum = 0
fallback = "cheap"
[[text.models]]
model = "cheap"
input = 1
output = 1
[[text.models]]
model = "cheapest"
input = "0.1"
output = "0.1"
[[text.models]]
provider = "maker"
model = "dear"
input = 100
output = 100
"""


@pytest.mark.parametrize(
    ("usage", "credits", "flags"),
    [
        pytest.param(Usage("text", "", "dear", "dear-special"), "100", (ChargeFlag.FALLBACK_PRICE,), id="the one asked for"),
        pytest.param(Usage("text", "", "dear", "cheap"), "1", (), id="the one that served"),
        pytest.param(Usage("text", "", "unheard-of", "new"), "1", (ChargeFlag.FALLBACK_PRICE,), id="neither is known"),
        pytest.param(Usage("text", "", "cheapest", "new"), "1", (ChargeFlag.FALLBACK_PRICE,), id="the dearer of the two"),
        pytest.param(Usage("text", "", "cheapest", "cheapest-2025-01-31"), "0.1", (), id="a snapshot of one with a price"),
        pytest.param(Usage("text"), "1", (ChargeFlag.FALLBACK_PRICE,), id="none is named"),
        pytest.param(Usage("text", "", "dear"), "100", (), id="a model with a price"),
    ],
)
def test_what_has_no_price_is_charged_at_the_dearest_that_stands_in(
    usage: Usage, credits: str, flags: tuple[ChargeFlag, ...]
) -> None:
    """After the model that served the call; of the one that was asked for and the fallback the dearer counts."""
    pricing = Pricing(RateCards(load(OWN_RULES, bundled_price_list).card))
    cost = pricing.cost(replace(usage, input_tokens=10_000, output_tokens=0), None, NOW)
    assert isinstance(cost, Cost)
    assert (cost.amount, cost.flags) == (from_credits(credits), flags)
    assert cost.usage is not None
    assert cost.usage.response_model == usage.response_model


PAINT = Work("image", "", "paint", quantity=1, variant="hd")
DEAR = Work("text", "maker", "dear", 10_000, 0)
CHEAPEST = Work("text", "", "cheapest", 10_000, 0)


@pytest.mark.parametrize(
    ("work", "usage", "credits"),
    [
        pytest.param(PAINT, Usage(variant="1024x1024"), "20", id="a variant without a price"),
        pytest.param(PAINT, Usage(request_model="my-deployment", quantity=2), "40", id="an image model without one"),
        pytest.param(DEAR, Usage(request_model="my-deployment"), "100", id="the name of a deployment"),
        pytest.param(DEAR, Usage(provider="my-proxy"), "100", id="a provider that is none"),
        pytest.param(DEAR, Usage(provider="my-proxy", response_model="served"), "100", id="both, and what served it"),
        pytest.param(CHEAPEST, Usage(response_model="served"), "1", id="what was reserved is cheaper than the fallback"),
        pytest.param(CHEAPEST, Usage(request_model="dear", response_model="x"), "100", id="what was asked for is the dearest"),
        pytest.param(PAINT, Usage(response_model="etch", variant="huge"), "30", id="the variant at the model that served"),
    ],
)
def test_what_was_reserved_with_a_price_is_never_without_one(work: Work, usage: Usage, credits: str) -> None:
    """A commit is a record of fact: if what it says has no price, that of the reservation counts, and the charge says so."""
    pricing = Pricing(RateCards(load(OWN_RULES, bundled_price_list).card))
    usage = usage if work is PAINT else replace(usage, input_tokens=10_000, output_tokens=0)
    cost = pricing.reserved_cost(reserved(work), usage, None, NOW)
    assert isinstance(cost, Cost)
    assert (cost.amount, cost.flags) == (from_credits(credits), (ChargeFlag.FALLBACK_PRICE,))


@pytest.mark.parametrize(
    ("usage", "credits"),
    [
        pytest.param(Usage("image", "", "paint", variant="huge"), "20", id="the dearest variant"),
        pytest.param(
            Usage("image", "", "etch", variant="huge", quantity=2), "60", id="or that of no variant, if it is cheaper"
        ),
    ],
)
def test_an_unknown_variant_of_a_fact_is_charged_at_the_dearest(usage: Usage, credits: str) -> None:
    """Where nothing says what was reserved; before the call it is refused."""
    pricing = Pricing(RateCards(load(OWN_RULES, bundled_price_list).card))
    for cost in (pricing.reserved_cost(reserved(None), usage, None, NOW), pricing.cost(usage, None, NOW, is_fact=True)):
        assert isinstance(cost, Cost)
        assert (cost.amount, cost.flags, cost.usage) == (from_credits(credits), (ChargeFlag.FALLBACK_PRICE,), usage)
    refused = pricing.cost(usage, None, NOW)
    assert isinstance(refused, InvalidRequest)
    assert [path for path, _ in refused.violations] == ["usage.variant"]


def test_an_unknown_bound_is_the_cards(pricing: Pricing) -> None:
    """Work without max_output_tokens is held, and estimated, at the rate card's default."""
    work = Work(action="text", request_model="gpt-4o", input_tokens=1_000)
    hold = pricing.hold(work, None, NOW)
    cost = pricing.reserved_cost(reserved(work), Usage(), None, NOW)
    assert isinstance(cost, Cost)
    assert isinstance(hold, Hold)
    assert ChargeFlag.ESTIMATED in cost.flags
    assert cost.amount <= hold.amount


@pytest.mark.parametrize("provider", ["gcp.gemini", "gcp.vertex_ai", "google", "GCP.Gemini"])
def test_providers_go_by_either_name(pricing: Pricing, provider: str) -> None:
    """OpenTelemetry's name and the price list's cost the same; the charge keeps the name that was given."""
    usage = Usage(action="text", provider=provider, request_model="gemini-2.5-pro", input_tokens=200_000, output_tokens=1_000)
    cost = pricing.cost(usage, None, NOW)
    assert isinstance(cost, Cost)
    assert str(cost.usd) == "0.26"
    assert cost.usage == usage


def test_usage_of_a_reservation_by_amount_must_say_what_it_was(pricing: Pricing) -> None:
    """Nothing completes it."""
    assert isinstance(pricing.reserved_cost(reserved(None), Usage(), None, NOW), UnpricedWork | InvalidRequest)


@pytest.mark.parametrize(
    ("reported", "usd", "credits"),
    [
        ('{"input_tokens": 3, "cache_creation_input_tokens": 12304, "output_tokens": 550}', "0.054399", "6"),
        ('{"usage": {"input_tokens": 3, "cache_creation_input_tokens": 12304, "output_tokens": 550}}', "0.054399", "6"),
    ],
)
def test_what_the_provider_reported_is_charged(pricing: Pricing, reported: str, usd: str, credits: str) -> None:
    """Its words are read, and kept with the charge."""
    usage = Usage(action="text", provider="anthropic", request_model="claude-sonnet-4-5", provider_usage_json=reported)
    cost = pricing.cost(usage, None, NOW)
    assert isinstance(cost, Cost)
    assert (str(cost.usd), cost.amount) == (usd, from_credits(credits))
    assert cost.usage is not None
    assert (cost.usage.provider_usage_json, cost.usage.input_tokens) == (reported, 12_307)


def test_a_report_is_read_as_that_of_the_works_provider(pricing: Pricing) -> None:
    """Grok counts reasoning beside the completion; usage need not name the provider again."""
    work = replace(TEXT, provider="x-ai", request_model="grok-3-mini")
    counts = '{"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 100}}'
    cost = pricing.reserved_cost(reserved(work), Usage(provider_usage_json=counts), None, NOW)
    assert isinstance(cost, Cost)
    assert cost.usage is not None
    assert cost.usage.output_tokens == 105


def test_what_is_no_report_is_invalid(pricing: Pricing) -> None:
    """And nothing is charged by a bound instead."""
    refused = pricing.reserved_cost(reserved(TEXT), Usage(provider_usage_json="{"), None, NOW)
    assert isinstance(refused, InvalidRequest)
    assert refused.violations[0][0] == "usage.provider_usage_json"


def test_a_quote_is_what_would_be_held(pricing: Pricing) -> None:
    """And at least its input."""
    quoted = pricing.quote(TEXT, from_credits(2), NOW)
    held = pricing.hold(TEXT, None, NOW)
    assert isinstance(quoted, Quoted)
    assert isinstance(held, Hold)
    assert (quoted.least, quoted.most) == (from_credits(1), held.amount)
    assert quoted.affordable_output_tokens == 1_750
    assert pricing.quote(Work("view"), from_credits(0), NOW) == Quoted(
        from_credits(0), from_credits(0), quoted.rate_card_version
    )
    assert isinstance(
        pricing.quote(Work("text", request_model="unheard-of", input_tokens=1), from_credits(0), NOW), UnpricedWork
    )


def least_work(position: PricePosition) -> Work:
    """The least work that a line of a table of prices is about."""
    tokens = 1 if position.action == "text" else None
    return Work(
        position.action, position.provider, position.model, tokens, tokens, variant=position.variant, tool=position.tool
    )


def assert_each_line_is_quoted(card: RateCard) -> None:
    """What the table lists is priced as the line says, by the names that the line has."""
    pricing = Pricing(RateCards(card))
    lines = PriceTable(card).lines(NOW, "", None, 10_000)
    assert lines
    for line in lines:
        quoted = pricing.quote(least_work(line.position), from_credits(0), NOW)
        assert isinstance(quoted, Quoted), line.position
        if line.position.action != "text":
            assert (quoted.least, quoted.most) == (line.typical, line.typical), line.position


@pytest.mark.long
def test_each_line_of_the_packages_own_prices_is_quoted(card: LoadedCard) -> None:
    """All models of the price list, the images, the tools, and the actions."""
    assert_each_line_is_quoted(card.card)


@given(cards(), st.dictionaries(st.sampled_from(["web_search", "*", "seo"]), st.decimals(0, 10, places=2)))
def test_each_line_of_any_prices_is_quoted(card: RateCard, by_name: dict[str, Decimal]) -> None:
    """Tools that a card names and those that it does not."""
    assert_each_line_is_quoted(dataclasses.replace(card, tools=ToolRules(Decimal("0.5"), by_name), free=frozenset({"view"})))


@given(st.integers(0, 200_000), st.integers(0, 50_000), st.integers(0, 400 * 10**6), st.booleans())
def test_a_budget_pays_for_so_many_tokens_and_no_more(tokens: int, so_far: int, budget: int, is_cached: bool) -> None:
    """One more would cost more than the budget. What was used already is never said to be unpaid."""
    pricing = Pricing(RateCards(load(OWN_RULES, bundled_price_list).card))
    held = reserved(Work("text", request_model="claude-sonnet-4-5", input_tokens=tokens))
    usage = Usage(input_tokens=tokens, cache_read_input_tokens=tokens if is_cached else 0, output_tokens=so_far)
    paid = pricing.paid_output_tokens(held, usage, Microcredits(budget), NOW)
    assert paid is not None
    assert paid >= so_far

    def cost(output_tokens: int) -> int:
        found = pricing.reserved_cost(held, replace(usage, output_tokens=output_tokens), None, NOW)
        assert isinstance(found, Cost)
        return found.amount

    assert paid == so_far or cost(paid) <= budget
    assert cost(paid + 1) > budget
