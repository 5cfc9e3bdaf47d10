"""What a call costs that was served in another way than usual, by the list, by the card's factors, or by neither."""

import dataclasses
import json
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from creditmeter.core.amounts import from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.completing import complete_usage
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider, Variant
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.rates import LongContext, TextPrices, TextRates
from creditmeter.core.prices.work_bounds import low_price
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, Work
from tests.core.prices.cards import cards, usages, work_for
from tests.core.prices.priced import CARD as DEFAULT
from tests.core.prices.priced import NOW, bound, price, unbounded

HEAD = 'version = "v"\neffective_from = 1970-01-01T00:00:00Z\nincrement = "0.000001"\n'
TIERS = """\
[tiers]
flex = "0.5"
priority = 2
[tiers.speed]
fast = 6
[tiers.some]
flex = "0.25"
Scale = 0
region = { us = "1.1" }
[[text.models]]
model = "own"
input = 10
output = 20
per_call = "0.001"
long_context = [{ above_input_tokens = 1000000, input = 30 }]
"""


def rates(usd: int) -> TextRates:
    """Input at a price, and output at twice that."""
    one, two = Decimal(usd), Decimal(2 * usd)
    return TextRates(one, two, one, one, one, two, one, two, one, two)


LIST = PriceList(
    "list.1",
    (
        Provider(
            "some",
            (
                Model(
                    "listed",
                    Clause(Operator.EQUALS, "listed"),
                    (Conditional(TextPrices(rates(10))),),
                    (
                        Variant("service_tier", "flex", (Conditional(TextPrices(rates(4)), Instant(NOW - 1)),)),
                        Variant("service_tier", "late", (Conditional(TextPrices(rates(7)), Instant(NOW + 1)),)),
                        Variant("speed", "fast", (Conditional(TextPrices(rates(60), (LongContext(5, rates(70)),))),)),
                    ),
                ),
            ),
            Clause(Operator.EQUALS, "some"),
            Clause(Operator.STARTS_WITH, "listed"),
        ),
    ),
)
CARD = parse_rate_card(HEAD + TIERS + '[text]\nminimum = 0\nsource = "genai-prices"\n', lambda: LIST)
UNKNOWN = (ChargeFlag.UNKNOWN_TIER,)


def of(model: str, provider: str = "", tokens: int = 1_000, **served: str) -> Usage:
    """A usage of so many input tokens, served in some way."""
    return Usage("text", provider, model, input_tokens=tokens, output_tokens=0, served=Served(**served))


@pytest.mark.parametrize(
    ("usage", "usd", "flags"),
    [
        # A card's own model: 1,000 x 10 for a million are 0.01, times the factor, and 0.001 for the call.
        (of("own"), "0.011", ()),
        (of("own", service_tier="flex"), "0.006", ()),
        (of("own", service_tier="priority"), "0.021", ()),
        (of("own", service_tier="batch"), "0.011", UNKNOWN),
        (of("own", speed="fast"), "0.061", ()),
        (of("own", service_tier="flex", speed="fast"), "0.031", ()),  # 0.01 x 0.5 x 6
        (of("own", service_tier="batch", speed="fast"), "0.061", UNKNOWN),
        (of("own", region="us"), "0.011", UNKNOWN),
        (of("own", search_type="deep"), "0.011", UNKNOWN),
        # At a provider that has factors of its own, these count; the others are those of any provider.
        (of("own", "some", service_tier="flex"), "0.0035", ()),
        (of("own", "some", service_tier="priority"), "0.021", ()),
        (of("own", "some", service_tier="scale"), "0.001", ()),
        (of("own", "some", region="us", speed="fast", service_tier="flex"), "0.0175", ()),  # 0.01 x 0.25 x 6 x 1.1
        # All tokens of a long input have its rates, times the factor: 1,000,001 x 30 x 0.5, and the call.
        (of("own", tokens=1_000_001, service_tier="flex"), "15.001015", ()),
        # The list's price of a tier counts before the card's factor; the provider is the list's where none is named.
        (of("listed"), "0.01", ()),
        (of("listed", service_tier="flex"), "0.004", ()),
        (of("listed", service_tier="priority"), "0.02", ()),
        (of("listed", service_tier="scale"), "0", ()),
        (of("listed", service_tier="late"), "0.01", UNKNOWN),
        (of("listed", service_tier="unheard-of"), "0.01", UNKNOWN),
        (of("listed", tokens=5, speed="fast"), "0.0003", ()),
        (of("listed", tokens=6, speed="fast"), "0.00042", ()),
        # Two ways at once: one has the list's price, the other the card's factor, or none.
        (of("listed", service_tier="flex", speed="fast"), "0.024", ()),  # 1,000 x 4 x 6
        (of("listed", service_tier="flex", region="us"), "0.0044", ()),  # 1,000 x 4 x 1.1
        (of("listed", service_tier="flex", region="eu"), "0.004", UNKNOWN),
        # A tier of the name of a speed that has a price is that speed, and the other way round; both at once are one.
        (of("listed", tokens=5, service_tier="fast"), "0.0003", ()),
        (of("listed", tokens=5, service_tier="fast", speed="fast"), "0.0003", ()),
        (of("listed", speed="flex"), "0.004", ()),
        (of("own", service_tier="fast"), "0.061", ()),
        (of("own", service_tier="fast", speed="FAST"), "0.061", ()),
        (of("own", speed="priority"), "0.021", ()),
        (of("listed", service_tier="fast", speed="flex"), "0.0175", ()),  # 1,000 x 70 x 0.25
        # What means the standard price.
        (of("own", service_tier="on_demand", speed="standard", region="global"), "0.011", ()),
        (of("own", service_tier="DEFAULT", region="not_available"), "0.011", ()),
    ],
)
def test_what_served_a_call_decides_its_rates(usage: Usage, usd: str, flags: tuple[ChargeFlag, ...]) -> None:
    """What nothing has a price for costs what is standard, and the charge says so."""
    found = price(CARD, usage)
    assert (found.usd, found.flags) == (Decimal(usd), flags)


@pytest.mark.parametrize(
    ("tier", "credits"), [("", "1.1"), ("flex", "0.6"), ("priority", "2.1"), ("fast", "6.1"), ("unheard-of", "1.1")]
)
def test_a_hold_follows_the_tier_that_is_asked_for(tier: str, credits: str) -> None:
    """And so does the low end of a quote, which is the same here."""
    work = Work("text", "", "own", 1_000, 0, service_tier=tier)
    assert bound(CARD, work).amount == low_price(CARD, work, bound(CARD, work), NOW) == from_credits(credits)


@pytest.mark.parametrize(
    ("tiers", "usd", "flags"),
    [
        ("", "0.012", UNKNOWN),
        ('[tiers.aws]\noptimized = "1.25"\n', "0.015", ()),
        ('[tiers.aws.speed]\noptimized = "1.25"\n', "0.015", ()),
        ('[tiers.azure]\noptimized = "1.25"\n', "0.012", UNKNOWN),
    ],
)
def test_optimized_latency_of_bedrock_has_the_cards_price_or_a_flag(
    tiers: str, usd: str, flags: tuple[ChargeFlag, ...]
) -> None:
    """1,000 x 10 and 100 x 20 for a million are 0.012 dollars; times 1.25 they are 0.015."""
    model = '[[text.models]]\nmodel = "nova"\ninput = 10\noutput = 20\n'
    card = parse_rate_card(HEAD + "[text]\nminimum = 0\n" + tiers + model)
    report = {"usage": {"inputTokens": 1_000, "outputTokens": 100}, "performanceConfig": {"latency": "optimized"}}
    usage = Usage("text", "aws.bedrock", "nova", provider_usage_json=json.dumps(report))
    found = Pricing(RateCards(card)).cost(usage, None, NOW)
    assert isinstance(found, Cost)
    assert (found.usd, found.flags) == (Decimal(usd), flags)
    work = Work("text", "aws.bedrock", "nova", 1_000, 100, service_tier="optimized")
    assert bound(card, work).amount == from_credits(Decimal(usd) * 100)


def test_a_rule_that_is_named_with_a_route_has_the_factors_of_its_provider() -> None:
    """1,000 x 10 for a million, half of it, also where the call names no provider but by the route."""
    card = parse_rate_card(
        HEAD + '[text]\nminimum = 0\n[tiers.azure]\nbatch = "0.5"\n'
        '[[text.models]]\nmodel = "azure/m"\ninput = 10\noutput = 20\n'
    )
    for usage in (of("azure/m", service_tier="batch"), of("m", "azure", service_tier="batch")):
        assert (price(card, usage).usd, price(card, usage).flags) == (Decimal("0.005"), ())


@pytest.mark.parametrize(
    ("asked", "reported", "served"),
    [("flex", "", "flex"), ("flex", "default", "default"), ("", "priority", "priority"), ("", "", "")],
)
def test_the_tier_that_was_reserved_counts_if_none_is_reported(asked: str, reported: str, served: str) -> None:
    """The provider's word is the better one: it may have served the call at another tier."""
    work = Work("text", "", "own", 1, 1, service_tier=asked)
    complete, is_estimated = complete_usage(Usage("text", "", "own", "", 1, 1, served=Served(reported, speed="fast")), work)
    assert (complete.served, is_estimated) == (Served(served, speed="fast"), False)


@pytest.mark.parametrize(
    ("reported", "tier"),
    [
        (Served("", "standard"), ""),
        (Served("", "fast"), ""),
        (Served("standard", "fast"), "standard"),
        (Served(), "fast"),
    ],
)
def test_a_speed_that_is_reported_says_whether_the_fast_tier_served_the_call(reported: Served, tier: str) -> None:
    """Anthropic's fast mode may fall back to the standard speed, which costs what is standard."""
    work = Work("text", "", "own", 1, 1, service_tier="fast")
    complete, _ = complete_usage(Usage("text", "", "own", "", 1, 1, served=reported), work)
    assert complete.served == replace(reported, service_tier=tier)


@pytest.mark.parametrize("tier", ["fast", "Fast"])
def test_fast_mode_of_anthropic_is_held_and_charged_at_its_own_price(tier: str) -> None:
    """The list has 10 and 50 dollars a million for Opus 4.8 at fast speed, twice the standard."""
    work = Work("text", "anthropic", "claude-opus-4-8", 1_000, 100, service_tier=tier)
    usage = Usage("text", "anthropic", "claude-opus-4-8", "", 1_000, 100, served=Served(service_tier=tier))
    by_speed = replace(usage, served=Served("standard", speed="fast"))
    # 1,000 x 10 and 100 x 50 for a million are 0.01 + 0.005 dollars: 1.5 credits, rounded up to 2.
    assert bound(DEFAULT, work).amount == from_credits(2)
    assert (price(DEFAULT, usage).usd, price(DEFAULT, usage).flags) == (Decimal("0.015"), ())
    assert price(DEFAULT, by_speed).usd == Decimal("0.015")


@given(cards(), usages(), st.sampled_from(["0", "0.5", "1", "1.75", "999.9999"]), st.integers(0, 3))
def test_no_usage_at_the_tier_asked_for_costs_more_than_the_hold(card: RateCard, usage: Usage, factor: str, more: int) -> None:
    """Whatever the factor."""
    card = unbounded(dataclasses.replace(card, tiers={("", "service_tier", "t"): Decimal(factor)}, cap=None))
    served = replace(usage, served=Served("t"))
    work = replace(work_for(usage, 0, more), service_tier="t")
    assume(work.input_tokens or work.max_output_tokens)
    assert price(card, served).amount <= bound(card, work).amount
    assert ChargeFlag.UNKNOWN_TIER not in price(card, served).flags


@given(cards(), usages(), st.sampled_from(["flex", "batch"]), st.sampled_from(["fast", "slow"]))
def test_a_way_without_a_price_never_costs_less_without_a_flag(card: RateCard, usage: Usage, tier: str, speed: str) -> None:
    """It costs exactly what is standard."""
    card = dataclasses.replace(card, tiers={("", "speed", "fast"): Decimal(3)})
    plain, found = price(card, usage), price(card, replace(usage, served=Served(tier, speed)))
    assert ChargeFlag.UNKNOWN_TIER in found.flags
    assert speed == "fast" or (found.amount, found.usd) == (plain.amount, plain.usd)
