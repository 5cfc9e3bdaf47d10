"""What a call cost, by its usage."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import MAX_AMOUNT, from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.prices.item_prices import MAX_QUANTITY
from creditmeter.core.prices.rate_card import MAX_TOKENS, PriceUnit, RateCard
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage
from tests.core.prices.cards import cards, counts, usages
from tests.core.prices.priced import CARD, NOW, TEST_CARD, price, text


@pytest.mark.parametrize(
    ("usage", "usd", "credits"),
    [
        # Anthropic counts cached tokens apart: 3 + 12,304 written to the cache.
        (text("claude-sonnet-4-5", 12_307, 550, cache_creation=12_304), "0.054399", 6),
        (text("gpt-4o", 1_000, 97, cache_read=900), "0.002345", 1),
        (text("gpt-4o", 8_000), "0.02", 2),
        (text("gpt-4o", 8_001), "0.0200025", 3),
        (text("gpt-4o", 1), "0.0000025", 1),
        (text("gpt-4o"), "0", 0),
        (text("claude-sonnet-4-5", 10_000, 1, cache_creation=6_000, cache_creation_1h=4_000), "0.043515", 5),
        # A long input makes all tokens of the call dearer, and one token makes the difference.
        (text("gemini-2.5-pro", 200_000, 1_000), "0.260", 26),
        (text("gemini-2.5-pro", 200_001, 1_000), "0.5150025", 52),
        (text("gemini-2.5-pro", 1_000_000, 1_000_000), "17.50", 1_750),
    ],
)
def test_tokens_at_list_prices(usage: Usage, usd: str, credits: int) -> None:
    """Dollars are summed exactly and turned into credits at 100 a dollar, rounded up once."""
    assert price(CARD, usage) == Cost(from_credits(credits), Decimal(usd) * 100, Decimal(usd), CARD.version, usage)


def test_seven_cents_are_seven_credits() -> None:
    """Never 8, as 0.07 * 100 in binary floating point would make it."""
    assert price(TEST_CARD, text("plain", 1_000_000)).amount == from_credits(7)
    assert price(TEST_CARD, text("plain", 0, 10_000)).amount == from_credits(7)


@pytest.mark.parametrize(
    ("usage", "usd_per_thousand"),
    [
        (text("all-classes", 1000), 1000),
        (text("all-classes", 1000, cache_read=1000), 100),
        (text("all-classes", 1000, cache_creation=1000), 1250),
        (text("all-classes", 1000, cache_creation=1000, cache_creation_1h=1000), 2000),
        (text("all-classes", 1000, cache_creation_1h=1000), 2000),
        (text("all-classes", 1000, cache_creation=1000, cache_creation_1h=400), 400 * 2 + 600 * 1.25),
        (text("all-classes", 1000, cache_read=300, cache_creation=200), 500 + 30 + 250),
        (text("all-classes", 1000, audio_input=1000), 3000),
        (text("all-classes", 1000, audio_input=600, image_input=400), 1800 + 2000),
        (text("all-classes", 0, 1000), 10000),
        (text("all-classes", 0, 1000, reasoning=1000), 20000),
        (text("all-classes", 0, 1000, reasoning=100, audio_output=200, image_output=300), 2000 + 6000 + 15000 + 4000),
        # What is both audio and cached is not known: the discount goes to what audio leaves over.
        (text("all-classes", 1000, audio_input=800, cache_read=500), 2400 + 20),
        (text("all-classes", 1000, audio_input=1000, cache_read=1000), 3000),
        (text("all-classes", 1000, image_input=900, cache_creation=500, cache_read=500), 4500 + 125),
    ],
)
def test_each_class_of_tokens_has_its_rate(usage: Usage, usd_per_thousand: float) -> None:
    """Classes are parts of their total, so none is priced twice."""
    assert price(TEST_CARD, usage).usd == Decimal(usd_per_thousand) / 1000
    assert price(TEST_CARD, usage).flags == ()


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (text("all-classes", 1000, 10, cache_read=1001), "1.101"),
        (text("all-classes", 1000, 10, cache_read=600, cache_creation=500), "1.2"),
        (text("all-classes", 1000, 10, cache_creation=500, cache_creation_1h=501), "1.1"),
        (text("all-classes", 1000, 10, cache_read=600, cache_creation=300, cache_creation_1h=500), "1.2"),
        (text("all-classes", 1000, 10, audio_input=600, image_input=401), "1.101"),
        (text("all-classes", 1000, 10, audio_input=1200, cache_read=1100), "1.3"),
        (text("all-classes", 1000, 10, reasoning=11), "1.11"),
        (text("all-classes", 1000, 10, reasoning=5, audio_output=5, image_output=10), "1.2"),
        # The other side of the call keeps its discount.
        (text("all-classes", 1000, 10, cache_read=1000, reasoning=11), "0.21"),
        (text("all-classes", 0, 10, cache_read=1), "0.101"),
    ],
)
def test_a_contradiction_is_priced_without_the_discount(usage: Usage, usd: str) -> None:
    """Nothing is lost: the larger of total and parts counts, at the plain rate, and the charge says so."""
    outcome = price(TEST_CARD, usage)
    assert (outcome.usd, outcome.flags) == (Decimal(usd), (ChargeFlag.CONTRADICTORY_USAGE,))


def test_parts_above_a_long_input_have_its_rates() -> None:
    """What is priced is as long as it is taken to be."""
    outcome = price(CARD, text("gemini-2.5-pro", 3, cache_read=200_001))
    assert outcome.usd == price(CARD, text("gemini-2.5-pro", 200_001)).usd


def test_rates_in_credits() -> None:
    """No dollars are needed for them, and the cost in dollars is what the credits stand for."""
    usage = text("in-credits", 5_000, 2_500)
    assert price(TEST_CARD, usage) == Cost(from_credits(2), Decimal("1.5"), Decimal("0.015"), "test", usage)


@pytest.mark.parametrize(
    ("usage", "exact_credits"),
    [
        pytest.param(text("all-classes", MAX_TOKENS, MAX_TOKENS), "1100000000", id="text"),
        pytest.param(Usage(action="engagement", request_model="all-classes", quantity=MAX_QUANTITY), "2000000000", id="items"),
    ],
)
def test_a_fact_costs_no_more_than_any_amount_may_be_and_is_never_lost(usage: Usage, exact_credits: str) -> None:
    """What is asked for beforehand is refused; what has been is charged, with its exact price beside it."""
    assert isinstance(price_usage(TEST_CARD, usage, NOW), InvalidRequest)
    outcome = price_usage(TEST_CARD, usage, NOW, is_fact=True)
    assert isinstance(outcome, Cost)
    assert (outcome.amount, outcome.flags) == (MAX_AMOUNT, (ChargeFlag.CAPPED,))
    assert outcome.exact_credits == Decimal(exact_credits)


@given(cards(), st.lists(counts, min_size=10, max_size=10))
def test_the_exact_price_is_the_sum_of_its_components(card: RateCard, tokens: list[int]) -> None:
    """Tokens of each class at their rate, in fractions of whole numbers."""
    plain, read, written, written_1h, audio, image, plain_output, reasoning, audio_output, image_output = tokens
    usage = text(
        "m",
        plain + read + written + written_1h + audio + image,
        plain_output + reasoning + audio_output + image_output,
        cache_read=read,
        cache_creation=written + written_1h,
        cache_creation_1h=written_1h,
        audio_input=audio,
        image_input=image,
        reasoning=reasoning,
        audio_output=audio_output,
        image_output=image_output,
    )
    rule = card.text[0]
    inputs = ["input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "image_input"]
    outputs = ["output", "reasoning", "audio_output", "image_output"]
    components = zip(tokens, inputs + outputs, strict=True)
    assert rule.prices is not None
    assert usage.input_tokens is not None
    lower = [tier.rates for tier in rule.prices.long_context if usage.input_tokens > tier.above_input_tokens]
    its_rates = lower[-1] if lower else rule.prices.rates
    exact = sum((count * Fraction(getattr(its_rates, name)) for count, name in components), Fraction(0)) / 1_000_000
    exact += Fraction(rule.prices.per_call)
    outcome = price(card, usage)
    assert ChargeFlag.CONTRADICTORY_USAGE not in outcome.flags
    if rule.unit is PriceUnit.USD:
        assert Fraction(outcome.usd) == exact
        assert Fraction(outcome.exact_credits) == exact * Fraction(card.credits_per_usd)
    else:
        assert Fraction(outcome.exact_credits) == exact


@given(cards(), usages(), st.sampled_from(["input_tokens", "output_tokens"]), counts)
def test_more_tokens_never_cost_less(card: RateCard, usage: Usage, total: str, more: int) -> None:
    """Where only a total grows, by tokens of the plain class, and not into other rates."""
    prices = card.text[0].prices
    assert prices is not None
    rule = dataclasses.replace(card.text[0], prices=dataclasses.replace(prices, long_context=()))
    card = dataclasses.replace(card, text=(rule,))
    plain = Usage("text", "", "m", "", usage.input_tokens, usage.output_tokens)
    larger = replace(plain, **{total: getattr(plain, total) + more})
    assert price(card, plain).amount <= price(card, larger).amount
