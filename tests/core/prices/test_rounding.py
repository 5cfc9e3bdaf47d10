"""An exact price is rounded once, and bounded."""

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import MAX_TOKENS, RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.rounding import up_to_increment
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage
from tests.core.prices.cards import cards, usages
from tests.core.prices.priced import TEST_CARD, price, text, unbounded


@pytest.mark.parametrize(
    ("exact", "increment", "minimum", "cap", "credits", "flags"),
    [
        ("0", "1", "1", "10", "0", ()),
        ("0.0001", "1", "1", "10", "1", ()),
        ("1", "1", "1", "10", "1", ()),
        ("1.0001", "1", "1", "10", "2", ()),
        ("10", "1", "1", "10", "10", ()),
        ("10.0001", "1", "1", "10", "10", (ChargeFlag.CAPPED,)),
        ("10.0001", "1", "1", None, "11", ()),
        ("0.3", "0.5", "0", None, "0.5", ()),
        ("0.3", "0.25", "0", None, "0.5", ()),
        ("0.3", "0.1", "1", None, "1", (ChargeFlag.MINIMUM,)),
        ("0.3", "0.1", "2", "2", "2", (ChargeFlag.MINIMUM,)),
        ("0", "0.1", "1", None, "0", ()),
        ("2.5", "2", "1", "3", "3", (ChargeFlag.CAPPED,)),
        ("0.0001", "0.000001", "0", None, "0.0001", ()),
    ],
)
def test_rounding_then_minimum_then_cap(
    exact: str, increment: str, minimum: str, cap: str | None, credits: str, flags: tuple[ChargeFlag, ...]
) -> None:
    """Each bound is told by a flag where it changed the price; the exact price is kept whatever is charged."""
    card = dataclasses.replace(
        TEST_CARD,
        increment=from_credits(increment),
        minimum=from_credits(minimum),
        cap=None if cap is None else from_credits(cap),
    )
    usage = text("in-credits", int(Decimal(exact) * 10_000))
    assert price(card, usage) == Cost(from_credits(credits), Decimal(exact), Decimal(exact) / 100, "test", usage, flags)


def test_a_model_that_costs_nothing_costs_nothing() -> None:
    """The minimum is for what has a price."""
    assert price(TEST_CARD, text("gratis", 1000, 1000)).amount == 0


def test_the_minimum_is_for_text() -> None:
    """An action's price is what the card says."""
    card = dataclasses.replace(unbounded(TEST_CARD), minimum=from_credits(1))
    assert price(card, Usage(action="tool", tool="cheap_search")).amount == from_credits("0.4")


def test_the_cap_is_for_every_action() -> None:
    """One call never costs more."""
    card = dataclasses.replace(TEST_CARD, cap=from_credits(15))
    usage = Usage(action="image", request_model="paint", variant="hd")
    cost = price(card, usage)
    assert cost == Cost(from_credits(15), Decimal(20), Decimal("0.2"), "test", usage, (ChargeFlag.CAPPED,))


def test_dollars_that_credits_do_not_divide_into_have_28_digits() -> None:
    """The only quotient there is; what is charged does not depend on it."""
    usage = text("in-credits", 10_000)
    cost = price(dataclasses.replace(TEST_CARD, credits_per_usd=Decimal(3)), usage)
    assert cost == Cost(from_credits(1), Decimal(1), Decimal("0.3333333333333333333333333333"), "test", usage)


@pytest.mark.parametrize("decimals", ["0.000000000001", "123456789.123456789012", "999999999.999999999999"])
def test_the_longest_numbers_are_still_exact(decimals: str) -> None:
    """The widest rate times the most tokens times the widest exchange rate loses no digit."""
    rates = TextRates(*[Decimal(decimals)] * 10)
    rule = TextRule(model="m", prices=TextPrices(rates))
    card = RateCard(
        version="v",
        effective_from=Instant(0),
        credits_per_usd=Decimal(decimals),
        cap=from_credits(1),
        text=(rule,),
    )
    tokens = MAX_TOKENS - 1
    micro_usd = tokens * int(Decimal(decimals).scaleb(12))
    outcome = price(card, text("m", tokens, 0))
    assert Decimal(f"{micro_usd}E-18") == outcome.usd
    assert Decimal(f"{micro_usd * int(Decimal(decimals).scaleb(12))}E-30") == outcome.exact_credits


@given(cards(), usages())
def test_a_price_is_the_exact_one_rounded_up_once(card: RateCard, usage: Usage) -> None:
    """A multiple of the increment, less than one increment above it, unless a flag tells of another bound."""
    outcome = price(card, usage)
    if {ChargeFlag.MINIMUM, ChargeFlag.CAPPED} & set(outcome.flags):
        assert outcome.amount in {card.minimum, card.cap}
        return
    assert outcome.amount % card.increment == 0
    assert 0 <= outcome.amount - outcome.exact_credits * 1_000_000 < card.increment
    assert (outcome.amount == 0) == (outcome.exact_credits == 0)


@pytest.mark.parametrize(
    ("credits", "increment", "rounded"),
    [
        ("0", 1, 0),
        ("0.0000001", 1, 1),
        ("1", 300_000, 1_200_000),
        ("1.2", 300_000, 1_200_000),
        ("1.2000001", 300_000, 1_500_000),
    ],
)
def test_credits_are_rounded_up_to_an_increment(credits: str, increment: int, rounded: int) -> None:
    """In microcredits; a multiple of the increment stays."""
    assert up_to_increment(Decimal(credits), Microcredits(increment)) == rounded


def test_the_longest_factors_are_still_exact() -> None:
    """Three of them beside the widest rate, markup and exchange rate."""
    factors = {("", kind, kind): Decimal("999.9999") for kind in ("service_tier", "speed", "region")}
    wide = Decimal("999999999.999999999999")
    rule = TextRule(model="m", prices=TextPrices(TextRates(*[wide] * 10)), markup=wide)
    card = RateCard(
        version="v", effective_from=Instant(0), credits_per_usd=wide, cap=from_credits(1), text=(rule,), tiers=factors,
        fees={("", "", "web_searches"): wide},
    )  # fmt: skip
    usage = replace(
        text("m", MAX_TOKENS - 1, MAX_TOKENS - 1),
        served=Served("service_tier", "speed", "region"),
        units={"web_searches": MAX_TOKENS - 1},
    )
    tokens = (MAX_TOKENS - 1) * 2 * (10**21 - 1) * 9_999_999**3  # of 10**-30 dollars
    searches = (MAX_TOKENS - 1) * (10**21 - 1)  # of 10**-15 dollars
    assert price(card, usage).usd == Decimal(f"{tokens + searches * 10**15}E-30")
