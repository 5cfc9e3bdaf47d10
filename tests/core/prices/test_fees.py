"""Fees beside tokens: which one a unit has, and what it makes of a call's price."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.cost_lines import Origin, PriceSource
from creditmeter.core.prices.completing import complete_usage
from creditmeter.core.prices.fees import Fee, fees_of, unpriced_units
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider
from creditmeter.core.prices.rate_card import MAX_TOKENS
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.prices.work_bounds import low_price
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, Work
from tests.core.prices.priced import CARD as DEFAULT_CARD
from tests.core.prices.priced import NOW, bound, price, unbounded

FEES = """\
version = "v"
effective_from = 1970-01-01T00:00:00Z
increment = "0.000001"
[fees]
web_searches = 4
file_searches = 3
code_executions = 30
[fees.some]
web_searches = 6
social_searches = 0
[fees.some.special]
web_searches = 8
storage_searches = 9
[tiers]
flex = "0.5"
[[text.models]]
model = "own"
input = 10
output = 20
[[text.models]]
model = "in-credits"
unit = "credits"
input = 1000
output = 1000
[text]
minimum = 0
markup = 2
source = "genai-prices"
"""
RATES = TextRates(*[Decimal(10)] * 10)
LISTED_FEES = {"web_searches": Decimal(7), "storage_searches": Decimal("2.5"), "rerank_searches": Decimal(1)}


def model(name: str) -> Model:
    """A model with fees of its own in the list."""
    return Model(name, Clause(Operator.EQUALS, name), (Conditional(TextPrices(RATES, fees=LISTED_FEES)),))


LIST = PriceList("list.1", (Provider("some", (model("listed"), model("special")), None, Clause(Operator.CONTAINS, "e")),))
CARD = parse_rate_card(FEES, lambda: LIST)
UNREAD = (ChargeFlag.UNREAD_USAGE,)


def of(model: str, provider: str = "", **units: int) -> Usage:
    """A usage without tokens, which has counted these units."""
    return Usage("text", provider, model, input_tokens=0, output_tokens=0, units=units)


@pytest.mark.parametrize(
    ("usage", "usd", "flags"),
    [
        # The card's own model has the fees of its provider, else those of any.
        (of("own", web_searches=1), "0.004", ()),
        (of("own", "some", web_searches=1), "0.006", ()),
        (of("own", "other", web_searches=1), "0.004", ()),
        (of("own", code_executions=2, web_searches=3), "0.072", ()),  # 2 x 0.03 + 3 x 0.004
        # The list's fee of a model counts before those of its provider; that of the model in the card before the list's.
        (of("listed", web_searches=1), "0.007", ()),
        (of("listed", "some", web_searches=2), "0.014", ()),
        (of("special", web_searches=1), "0.008", ()),
        (of("SPECIAL", "some", web_searches=1), "0.008", ()),
        (of("listed", code_executions=1), "0.03", ()),
        # Some units have another name in the list.
        (of("listed", storage_searches=1), "0.0025", ()),
        (of("listed", file_searches=1), "0.0025", ()),
        (of("listed", search_units=1), "0.001", ()),
        (of("own", file_searches=1), "0.003", ()),
        # 0 is a price, none is not.
        (of("own", "some", social_searches=5), "0", ()),
        (of("own", social_searches=5), "0", UNREAD),
        (of("own", social_searches=0), "0", ()),
        (of("own", web_searches=1, unheard_of=1), "0.004", UNREAD),
    ],
)
def test_a_unit_has_the_nearest_fee(usage: Usage, usd: str, flags: tuple[ChargeFlag, ...]) -> None:
    """Dollars for a thousand; what has no fee is never free in silence."""
    found = price(CARD, usage)
    assert (found.usd, found.flags) == (Decimal(usd), flags)


def test_fees_are_added_to_the_cost_of_tokens() -> None:
    """With the markup of the list, and without the factor of a tier: 1,000 x 10 / 2 for a million, and a search."""
    usage = replace(of("listed", web_searches=1), input_tokens=1_000, served=Served("flex"))
    assert price(CARD, usage) == Cost(from_credits("2.4"), Decimal("2.4"), Decimal("0.012"), CARD.version, usage)


def test_fees_are_dollars_where_rates_are_credits() -> None:
    """100 credits a dollar: 1,000 tokens are 1 credit, and a search of 0.004 dollars is 0.4."""
    usage = replace(of("in-credits", web_searches=1), input_tokens=1_000)
    assert price(CARD, usage) == Cost(from_credits("1.4"), Decimal("1.4"), Decimal("0.014"), CARD.version, usage)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        # As the providers publish them: see the addresses in default_rate_card.toml.
        (of("claude-sonnet-4-5", "anthropic", web_searches=1), "0.01"),
        (of("claude-sonnet-4-5", "anthropic", web_fetches=9), "0"),
        (of("claude-3-opus-latest", "anthropic", web_searches=3), "0.03"),
        (of("gpt-5", "openai", web_searches=2, file_searches=2, storage_searches=1), "0.0275"),  # 0.02 + 0.005 + 0.0025
        (of("gpt-5", "azure.ai.openai", code_executions=1), None),
        (of("gpt-5", "openai", code_executions=1), "0.03"),
        (of("gpt-4", "openai", web_searches=1), "0.01"),
        (of("gemini-2.5-pro", "gcp.gemini", web_searches=1), "0.035"),
        (of("gemini-3-pro-preview", "gcp.gemini", web_searches=1), "0.014"),
        (of("gemini-2.5-pro", "gcp.gemini", code_executions=1), None),
        (of("grok-4.20", "x_ai", web_searches=1, social_searches=1, code_executions=1, file_searches=1), "0.0175"),
        (of("sonar-deep-research", "perplexity", web_searches=18), "0.09"),
        (of("sonar-pro", "perplexity", web_searches=3), "0.014"),  # nothing but the fee for the request
        (of("gpt-4.1", "openai", web_search_previews=2), "0.05"),
        (of("gpt-5", "openai", code_executions_4g=1), "0.12"),
        (of("gpt-5", "openai", code_executions_16g=1), "0.48"),
        (of("gpt-5", "openai", code_executions_64g=2), "3.84"),
        (of("gpt-5", "openai", image_generations=1), None),
        (of("gemini-2.5-pro", "gcp.gemini", map_prompts=1), "0.025"),
        (of("gemini-3-pro-preview", "gcp.gemini", map_searches=1), "0.014"),
        # The fee of the search context takes the place of the list's, which is that of the largest.
        (of("sonar", "perplexity"), "0.012"),
        (of("sonar", "perplexity", low_context_requests=1), "0.005"),
        (of("sonar", "perplexity", medium_context_requests=1), "0.008"),
        (of("sonar", "perplexity", high_context_requests=1), "0.012"),
        (of("sonar-pro", "perplexity", low_context_requests=1), "0.006"),
        (of("sonar-pro", "perplexity", medium_context_requests=1, web_searches=2), "0.01"),
        (of("sonar-reasoning-pro", "perplexity", high_context_requests=1), "0.014"),
        (of("sonar-deep-research", "perplexity", high_context_requests=1), "0"),  # it has no fee for a request
        (of("command-r", "cohere", search_units=2), "0.004"),
        (of("rerank-v3.5", "cohere", search_units=2), "0.004"),
        (of("cohere/rerank-multilingual-v3.0", rerank_searches=1), "0.002"),
    ],
)
def test_the_default_card_has_the_fees_of_each_provider(usage: Usage, usd: str | None) -> None:
    """None is one that no list has: nothing is charged for it, and the charge says so."""
    found = price(DEFAULT_CARD, usage)
    assert (found.usd, found.flags) == (Decimal(usd or 0), UNREAD if usd is None else found.flags)
    assert (ChargeFlag.UNREAD_USAGE in found.flags) == (usd is None)


SONAR = Work("text", "perplexity", "sonar", input_tokens=0, max_output_tokens=0)


@pytest.mark.parametrize(
    ("asked", "credits"), [({}, "1.2"), ({"low_context_requests": 1}, "0.5"), ({"medium_context_requests": 1}, "0.8")]
)
def test_a_hold_has_the_fee_of_the_search_context_that_is_asked_for(asked: dict[str, int], credits: str) -> None:
    """12, 5 and 8 dollars for a thousand; the low end of a quote has the same fee."""
    work = replace(SONAR, units=asked)
    hold = bound(unbounded(DEFAULT_CARD), work)
    assert hold.amount == from_credits(credits) == low_price(unbounded(DEFAULT_CARD), work, hold, NOW)


@pytest.mark.parametrize(
    ("reported", "priced"),
    [
        ({}, {"low_context_requests": 1}),
        ({"web_searches": 2}, {"low_context_requests": 1, "web_searches": 2}),
        ({"high_context_requests": 1}, {"high_context_requests": 1}),
    ],
)
def test_the_search_context_that_was_asked_for_counts_if_none_is_reported(
    reported: dict[str, int], priced: dict[str, int]
) -> None:
    """Whether the usage is complete or not: nothing is estimated by it."""
    work = replace(SONAR, units={"low_context_requests": 1})
    whole, is_estimated = complete_usage(replace(of("sonar"), units=reported), work)
    assert (whole.units, is_estimated) == (priced, False)
    part, is_estimated = complete_usage(replace(of("sonar"), units=reported, output_tokens=None), work)
    assert (part.units, is_estimated) == (priced, True)


def test_a_rule_with_prices_of_its_own_has_its_own_fee_for_a_call() -> None:
    """Whatever the card says of the model of the list by that name: 0.02, and nothing is flagged."""
    own = '[[text.models]]\nmodel = "sonar"\ninput = 1\noutput = 1\nper_call = "0.02"\n'
    fees = "[fees.perplexity.sonar]\nlow_context_requests = 5\n"
    card = parse_rate_card(f'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n{own}{fees}')
    found = price(card, of("sonar", "perplexity", low_context_requests=1))
    assert (found.usd, found.flags) == (Decimal("0.02"), ())


def test_fees_of_units() -> None:
    """One for each unit that has a price, with what one costs; counts of tokens are no units."""
    units = {"web_searches": 3, "unheard_of": 2, "video_input_tokens": 9, "code_executions": 0}
    origin = Origin(PriceSource.CARD, "fees")
    found = fees_of(units, {"web_searches": (Decimal("2.5"), origin), "video_input_tokens": (Decimal(1), origin)}.get)
    assert found == (Fee("web_searches", 3, Decimal("0.0025"), Decimal("0.0075"), origin),)
    assert unpriced_units(units, found) == ("unheard_of",)


@pytest.mark.parametrize(("count", "why"), [(-1, "must not be negative"), (MAX_TOKENS + 1, "must not be above 1,000,000,000")])
@pytest.mark.parametrize("unit", ["web_searches", "citation_tokens", "unheard_of"])
def test_a_count_out_of_range_is_refused(unit: str, count: int, why: str) -> None:
    """By its name, whether it has a price or not."""
    found = price_usage(CARD, replace(of("own"), units={unit: count}), NOW)
    assert found == InvalidRequest(((f"usage.units.{unit}", why),))


NAMES = st.sampled_from(["web_searches", "code_executions", "file_searches", "unheard_of"])


@given(st.dictionaries(NAMES, st.integers(0, 10**6)), st.dictionaries(NAMES, st.integers(0, 10**6)))
def test_fees_are_the_same_however_they_are_split(one: dict[str, int], other: dict[str, int]) -> None:
    """Two calls cost together what one costs that counts what both do."""
    both = {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}
    costs = [price(CARD, replace(of("listed"), units=each)) for each in (one, other, both)]
    assert costs[0].usd + costs[1].usd == costs[2].usd
    assert {*costs[0].flags, *costs[1].flags} == {*costs[2].flags}
