"""Prices: what a call costs, and the most that it can cost."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import MAX_AMOUNT, Microcredits, from_credits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.reservations import Hold
from creditmeter.core.instants import Instant
from creditmeter.core.prices.completing import complete_usage
from creditmeter.core.prices.item_prices import MAX_QUANTITY
from creditmeter.core.prices.rate_card import (
    MAX_TOKENS,
    PriceUnit,
    RateCard,
    TextRule,
)
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.prices.work_bounds import affordable_output_tokens, bounded_output_tokens, low_price, price_bound
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.work import ChargeFlag, Usage, Work
from tests.core.prices.cards import cards, counts, usages

NOW = Instant(1_800_000_000_000_000)

CARD = parse_rate_card(
    files("creditmeter.core.prices").joinpath("default_rate_card.toml").read_text(encoding="utf-8"), bundled_price_list
)

TEST_CARD = parse_rate_card(
    """\
    version = "test"
    effective_from = 1970-01-01T00:00:00Z
    higher_cost_models = ["all-classes"]
    free = ["view"]
    [actions.engagement]
    [tools]
    cheap_search = "0.4"
    gratis_search = 0
    [image]
    models = [{ model = "paint", credits = 10, variants = { hd = 20 } }, { model = "draw", variants = { hd = 15 } }]
    [[text.models]]
    model = "plain"
    input = "0.07"
    output = 7
    [[text.models]]
    model = "in-credits"
    unit = "credits"
    input = 100
    output = 400
    [[text.models]]
    model = "all-classes"
    input = 1000
    cache_read = 100
    cache_write = 1250
    cache_write_1h = 2000
    audio_input = 3000
    image_input = 5000
    output = 10000
    reasoning = 20000
    audio_output = 30000
    image_output = 50000
    [[text.models]]
    model = "gratis"
    input = 0
    output = 0
    """
)


def text(model: str, input_tokens: int | None = 0, output_tokens: int | None = 0, **parts: int) -> Usage:
    """A usage of a language model; the parts without their suffix, such as `cache_read`."""
    suffixes = {"reasoning": "_output_tokens", "audio_output": "_tokens", "image_output": "_tokens"}
    suffixes |= {"audio_input": "_tokens", "image_input": "_tokens"}
    counts: dict[str, Any] = {part + suffixes.get(part, "_input_tokens"): count for part, count in parts.items()}
    usage = Usage(action="text", response_model=model, input_tokens=input_tokens, output_tokens=output_tokens)
    return replace(usage, **counts)


def price(card: RateCard, usage: Usage) -> Cost:
    """The price of what has one."""
    outcome = price_usage(card, usage, NOW)
    assert isinstance(outcome, Cost), outcome
    return outcome


def bound(card: RateCard, work: Work) -> Hold:
    """The bound of what has one."""
    outcome = price_bound(card, work, NOW)
    assert isinstance(outcome, Hold), outcome
    return outcome


def unbounded(card: RateCard) -> RateCard:
    """The same prices to the microcredit, without a minimum."""
    return replace(card, increment=Microcredits(1), minimum=Microcredits(0))


# --- Text -------------------------------------------------------------------------------------------------------------


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


def test_dollars_that_credits_do_not_divide_into_have_28_digits() -> None:
    """The only quotient there is; what is charged does not depend on it."""
    usage = text("in-credits", 10_000)
    cost = price(replace(TEST_CARD, credits_per_usd=Decimal(3)), usage)
    assert cost == Cost(from_credits(1), Decimal(1), Decimal("0.3333333333333333333333333333"), "test", usage)


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
    card = replace(
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


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        (Usage(), "action"),
        (text("plain", None, 1), "input_tokens"),
        (text("plain", 1, None), "output_tokens"),
        (text("plain", -1), "input_tokens"),
        (text("plain", 0, MAX_TOKENS + 1), "output_tokens"),
        (text("plain", 1, cache_read=-1), "cache_read_input_tokens"),
        (text("plain", 1, reasoning=-1), "reasoning_output_tokens"),
        (text("all-classes", MAX_TOKENS, MAX_TOKENS), ""),
        (Usage(action="tool"), "tool"),
        (Usage(action="image"), "request_model"),
        (text("", 1, 1), "request_model"),
        (Usage(action="tool", quantity=-1), "quantity"),
        (Usage(action="tool", quantity=MAX_QUANTITY + 1), "quantity"),
    ],
)
def test_what_cannot_be_priced_is_invalid(usage: Usage, field: str) -> None:
    """A count that is missing, out of range, or makes a price beyond all amounts."""
    outcome = price_usage(TEST_CARD, usage, NOW)
    assert isinstance(outcome, InvalidRequest)
    ((path, why),) = outcome.violations
    assert path == (f"usage.{field}" if field else "usage")
    assert why


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


def test_the_most_that_a_call_may_count_has_a_price() -> None:
    """A billion tool calls of one credit cost the largest amount there is."""
    usage = Usage(action="tool", tool="web_search", quantity=MAX_QUANTITY)
    assert price(CARD, usage).amount == MAX_AMOUNT
    work = Work("tool", tool="web_search", quantity=MAX_QUANTITY)
    assert bound(CARD, work) == Hold(MAX_AMOUNT, CARD.version, work)


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


# --- Which model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_model", "response_model", "usd"),
    [
        ("gpt-4o", "", "2.5"),
        ("gpt-4o", "gpt-4o-mini", "0.15"),
        ("gpt-4o-mini", "gpt-4o-2024-08-06", "2.5"),
        ("unheard-of", "gpt-4o-2024-05-13", "5"),
    ],
)
def test_the_price_follows_the_model_that_served(request_model: str, response_model: str, usd: str) -> None:
    """The model asked for counts only where the one that served is not known."""
    usage = replace(text(response_model, 1_000_000), request_model=request_model)
    assert price(CARD, usage).usd == Decimal(usd)


@pytest.mark.parametrize("model", ["unheard-of"])
@pytest.mark.parametrize("action", ["text", "image"])
def test_a_model_without_a_price_is_unpriced(action: str, model: str) -> None:
    """It is never free for that, neither before nor after the call."""
    usage = replace(text(model, 1, 1), action=action, provider="acme")
    work = Work(action=action, provider="acme", request_model=model, input_tokens=1)
    for outcome in (price_usage(CARD, usage, NOW), price_bound(CARD, work, NOW)):
        message = f"the rate card has no price for {action} by the model {model!r} of provider 'acme'"
        assert outcome == UnpricedWork(message)
    assert affordable_output_tokens(CARD, work, from_credits(100), NOW) is None


def test_a_fallback_prices_any_text_and_says_so() -> None:
    """At the rates of the model that the card names."""
    card = replace(CARD, fallback="gpt-4o")
    usage = text("unheard-of", 8_001)
    at_fallback = price(card, text("gpt-4o", 8_001))
    assert price(card, usage) == replace(at_fallback, usage=usage, flags=(ChargeFlag.FALLBACK_PRICE,))
    work = Work(action="text", request_model="gpt-4o", input_tokens=8_001)
    assert bound(card, replace(work, request_model="unheard-of")).amount == bound(card, work).amount
    assert isinstance(price_usage(card, Usage(action="image", request_model="unheard-of"), NOW), UnpricedWork)


def test_all_flags_are_kept() -> None:
    """One charge may have several."""
    card = replace(CARD, fallback="gpt-4o", cap=from_credits(1))
    flags = price(card, text("unheard-of", 8_000, cache_read=8_001)).flags
    assert flags == (ChargeFlag.FALLBACK_PRICE, ChargeFlag.CONTRADICTORY_USAGE, ChargeFlag.CAPPED)


# --- Everything else --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "credits"),
    [
        (Usage(action="tool", tool="web_search"), "1"),
        (Usage(action="tool", tool="anything"), "1"),
        (Usage(action="tool", tool="anything", quantity=3), "3"),
        (Usage(action="tool", tool="cheap_search"), "1"),
        (Usage(action="tool", tool="cheap_search", quantity=10), "4"),
        (Usage(action="tool", tool="gratis_search", quantity=10), "0"),
        (Usage(action="image", request_model="paint"), "10"),
        (Usage(action="image", request_model="paint", variant="hd"), "20"),
        (Usage(action="image", request_model="paint", variant="other", quantity=4), "40"),
        (Usage(action="image", request_model="paint", response_model="draw", variant="hd"), "15"),
        (Usage(action="engagement"), "1"),
        (Usage(action="engagement", request_model="plain"), "1"),
        (Usage(action="engagement", request_model="unheard-of"), "1"),
        (Usage(action="engagement", request_model="all-classes"), "2"),
        (Usage(action="engagement", request_model="all-classes-2026-01-31", quantity=5), "10"),
        (Usage(action="engagement", request_model="all-classes", response_model="plain"), "1"),
        (Usage(action="view"), "0"),
        (Usage(action="view", request_model="all-classes", quantity=5), "0"),
    ],
)
def test_items_have_a_price_each(usage: Usage, credits: str) -> None:
    """Times their quantity, rounded once; and what is free is free."""
    outcome = price(TEST_CARD, usage)
    assert outcome.amount == from_credits(credits)
    assert outcome.usd == outcome.exact_credits / 100
    work = Work(usage.action, "", usage.response_model or usage.request_model, None, None, usage.quantity)
    work = replace(work, variant=usage.variant, tool=usage.tool)
    assert price_bound(TEST_CARD, work, NOW) == Hold(outcome.amount, "test", work)
    assert low_price(TEST_CARD, work, bound(TEST_CARD, work), NOW) == outcome.amount
    assert affordable_output_tokens(TEST_CARD, work, from_credits(1_000), NOW) is None


def test_the_cap_is_for_every_action() -> None:
    """One call never costs more."""
    card = replace(TEST_CARD, cap=from_credits(15))
    usage = Usage(action="image", request_model="paint", variant="hd")
    cost = price(card, usage)
    assert cost == Cost(from_credits(15), Decimal(20), Decimal("0.2"), "test", usage, (ChargeFlag.CAPPED,))


def test_the_minimum_is_for_text() -> None:
    """An action's price is what the card says."""
    card = replace(unbounded(TEST_CARD), minimum=from_credits(1))
    assert price(card, Usage(action="tool", tool="cheap_search")).amount == from_credits("0.4")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(action="teleport"),
        Usage(action="Text"),
        Usage(action="image", request_model="draw"),
        Usage(action="image", request_model="draw", variant="sd"),
        Usage(action="image", request_model="plain"),
    ],
)
def test_what_the_card_does_not_list_is_unpriced(usage: Usage) -> None:
    """An action that nobody heard of, or a variant that the card's rule leaves out."""
    assert isinstance(price_usage(TEST_CARD, usage, NOW), UnpricedWork)
    nothing = RateCard(version="v", effective_from=Instant(0))
    assert isinstance(price_usage(nothing, Usage(action="tool", tool="t"), NOW), UnpricedWork)


# --- What is unset comes from the work --------------------------------------------------------------------------------

WORK = Work("text", "openai", "gpt-4o", input_tokens=100, max_output_tokens=50, quantity=2, variant="hd", tool="t")


@pytest.mark.parametrize(
    ("usage", "expected", "estimated"),
    [
        (Usage(), Usage("text", "openai", "gpt-4o", "", 100, 50, quantity=2, variant="hd", tool="t"), True),
        (
            Usage(input_tokens=0, output_tokens=0),
            Usage("text", "openai", "gpt-4o", "", 0, 0, quantity=2, variant="hd", tool="t"),
            False,
        ),
        (
            Usage(output_tokens=7, response_model="gpt-4o-mini"),
            Usage("text", "openai", "gpt-4o", "gpt-4o-mini", 100, 7, quantity=2, variant="hd", tool="t"),
            True,
        ),
        (
            Usage(input_tokens=100, output_tokens=50, quantity=0, cache_read_input_tokens=5),
            Usage("text", "openai", "gpt-4o", "", 100, 50, 5, quantity=0, variant="hd", tool="t"),
            False,
        ),
        (
            Usage("text", "acme", "m", "r", 1, 2, quantity=3, variant="v", tool="w"),
            Usage("text", "acme", "m", "r", 1, 2, quantity=3, variant="v", tool="w"),
            False,
        ),
        (Usage("tool"), Usage("tool", "openai", "gpt-4o", quantity=2, variant="hd", tool="t"), False),
    ],
)
def test_a_usage_is_completed_from_its_work(usage: Usage, expected: Usage, estimated: bool) -> None:
    """An explicit 0 stays; a missing count of tokens is its bound, and only that makes an estimate."""
    assert complete_usage(usage, WORK) == (expected, estimated)


def test_missing_output_is_what_the_reservation_paid_for() -> None:
    """That may be less than the work, or the card's default where the work names no bound."""
    assert complete_usage(Usage(input_tokens=1), WORK, 20)[0].output_tokens == 20
    unknown = replace(WORK, max_output_tokens=None)
    assert complete_usage(Usage(input_tokens=1), unknown, 4096) == (
        replace(complete_usage(Usage(input_tokens=1), WORK)[0], output_tokens=4096),
        True,
    )
    usage, estimated = complete_usage(Usage(input_tokens=1), unknown)
    assert (usage.output_tokens, estimated) == (None, False)
    assert price_usage(CARD, usage, NOW) == InvalidRequest((("usage.output_tokens", "is needed to price text"),))


# --- The worst case ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "credits", "max_output_tokens"),
    [
        (Work("text", "openai", "gpt-4o", 8_000, 0), 2, 0),
        (Work("text", "openai", "gpt-4o", 8_001, 0), 3, 0),
        (Work("text", "openai", "gpt-4o", 8_000, 2_000), 4, 2_000),
        (Work("text", "openai", "gpt-4o", 8_000), 7, 4_096),
        (Work("text", "openai", "gpt-4o", 1, 0), 1, 0),
        # Every input token may turn out to be written to the cache for an hour, at twice the price.
        (Work("text", "anthropic", "claude-sonnet-4-5", 10_000, 1_000), 8, 1_000),
    ],
)
def test_the_bound_of_text(work: Work, credits: int, max_output_tokens: int) -> None:
    """The dearest that the tokens can turn out, rounded like a price."""
    assert price_bound(CARD, work, NOW) == Hold(from_credits(credits), CARD.version, work)
    assert bounded_output_tokens(CARD, work) == max_output_tokens


def test_no_tokens_may_be_reserved_where_they_cost_nothing() -> None:
    """Or where the call costs something beside them."""
    assert bound(TEST_CARD, Work("text", "", "gratis", 0, 0)).amount == 0
    rules = 'model = "m"\ninput = 1\noutput = 1\nper_call = 1'
    per_call = parse_rate_card(f'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n[[text.models]]\n{rules}')
    assert bound(per_call, Work("text", "", "m", 0, 0)).amount == from_credits(100)


def test_the_bound_takes_every_token_for_the_dearest() -> None:
    """Here all input for images at 5,000 dollars a million, and all output at 50,000."""
    assert bound(TEST_CARD, Work("text", "", "all-classes", 1_000, 0)).amount == from_credits(500)
    assert bound(TEST_CARD, Work("text", "", "all-classes", 0, 1_000)).amount == from_credits(5_000)


def test_no_bound_is_above_the_cap() -> None:
    """However long the work."""
    card = replace(CARD, cap=from_credits(10))
    assert bound(card, Work("text", "", "gpt-4o", MAX_TOKENS, MAX_TOKENS)).amount == from_credits(10)


@pytest.mark.parametrize(
    ("work", "field"),
    [
        (Work(""), "action"),
        (Work("text", "", "gpt-4o"), "input_tokens"),
        (Work("text", "", "gpt-4o", -1), "input_tokens"),
        (Work("text", "", "gpt-4o", 1, -1), "max_output_tokens"),
        (Work("text", "", "gpt-4o", 1, MAX_TOKENS + 1), "max_output_tokens"),
        (Work("text", "", "all-classes", MAX_TOKENS, MAX_TOKENS), ""),
        (Work("text", "", "gpt-4o", 0, 0), "input_tokens"),
        (Work("tool", quantity=-1), "quantity"),
        (Work("tool", tool="web_search", quantity=0), "quantity"),
        (Work("image", request_model="dall-e-3", quantity=0), "quantity"),
        (Work("tool"), "tool"),
        (Work("image"), "request_model"),
        (Work("text", input_tokens=1), "request_model"),
    ],
)
def test_work_without_bounds_is_invalid(work: Work, field: str) -> None:
    """Text needs its input tokens, and a count is a count."""
    card = TEST_CARD if work.request_model == "all-classes" else CARD
    outcome = price_bound(card, work, NOW)
    assert isinstance(outcome, InvalidRequest)
    assert [path for path, _ in outcome.violations] == [f"work.{field}" if field else "work"]
    assert affordable_output_tokens(card, work, from_credits(100), NOW) is None


@pytest.mark.parametrize(
    ("budget", "tokens"),
    [("0", None), ("1.999999", None), ("2", 0), ("2.9", 0), ("3", 1_000), ("4", 2_000), ("6.999", 4_000), ("7", 4_096)],
)
def test_the_output_tokens_that_a_budget_pays_for(budget: str, tokens: int | None) -> None:
    """8,000 input tokens of gpt-4o are 2 credits, and a credit is a thousand output tokens."""
    work = Work("text", "openai", "gpt-4o", 8_000)
    assert affordable_output_tokens(CARD, work, from_credits(budget), NOW) == tokens


@pytest.mark.parametrize(
    ("work", "credits"),
    [
        (Work("text", "", "gpt-4o", 8_001, 1_000_000), "2"),
        (Work("text", "", "gpt-4o", 1, 1_000_000), "1"),
        (Work("text", "", "gpt-4o", 0, 1), "0"),
        (Work("image", "", "dall-e-3", variant="hd", quantity=2), "40"),
        (Work("view"), "0"),
    ],
)
def test_the_low_end_of_a_quote(work: Work, credits: str) -> None:
    """Text costs at least its input, read from the cache; the rest costs what it costs."""
    assert low_price(CARD, work, bound(CARD, work), NOW) == from_credits(credits)


# --- Properties -------------------------------------------------------------------------------------------------------


@given(cards(), usages(), st.integers(0, 3), st.integers(0, 3))
def test_no_usage_within_the_bounds_costs_more_than_the_bound(
    card: RateCard, usage: Usage, more_input: int, more_output: int
) -> None:
    """Whatever its parts, and however they contradict each other; parts that add up to more than the bounds are not within."""
    written = max(usage.cache_creation_input_tokens or 0, usage.cache_creation_1h_input_tokens or 0)
    of_input = (usage.cache_read_input_tokens or 0) + written, (usage.audio_input_tokens or 0) + (usage.image_input_tokens or 0)
    of_output = usage.reasoning_output_tokens, usage.audio_output_tokens, usage.image_output_tokens
    most_input = max(usage.input_tokens or 0, *of_input)
    most_output = max(usage.output_tokens or 0, sum(filter(None, of_output)))
    assume(most_input + more_input or most_output + more_output)
    work = Work("text", "", "m", most_input + more_input, most_output + more_output)
    assert price(card, usage).amount <= bound(card, work).amount


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
    card = replace(card, text=(replace(card.text[0], prices=replace(prices, long_context=())),))
    plain = Usage("text", "", "m", "", usage.input_tokens, usage.output_tokens)
    larger = replace(plain, **{total: getattr(plain, total) + more})
    assert price(card, plain).amount <= price(card, larger).amount


@given(cards(), counts, st.none() | counts, st.integers(0, 200_000_000).map(Microcredits))
def test_the_affordable_tokens_are_the_most_that_are(
    card: RateCard, input_tokens: int, max_output_tokens: int | None, budget: Microcredits
) -> None:
    """Their bound is within the budget, and that of one more is not."""
    assume(input_tokens)
    work = Work("text", "", "m", input_tokens, max_output_tokens)
    most = bounded_output_tokens(card, work)
    assert most == (card.default_max_output_tokens if max_output_tokens is None else max_output_tokens)
    tokens = affordable_output_tokens(card, work, budget, NOW)
    if tokens is not None:
        assert bound(card, replace(work, max_output_tokens=tokens)).amount <= budget
    if tokens != most:
        one_more = 0 if tokens is None else tokens + 1
        assert bound(card, replace(work, max_output_tokens=one_more)).amount > budget


@given(cards(), usages())
def test_a_quote_has_its_ends_in_order(card: RateCard, usage: Usage) -> None:
    """The low end is not above the high one, and no call that has the input costs less, whatever its parts."""
    written = max(usage.cache_creation_input_tokens or 0, usage.cache_creation_1h_input_tokens or 0)
    of_input = (usage.cache_read_input_tokens or 0) + written, (usage.audio_input_tokens or 0) + (usage.image_input_tokens or 0)
    whole = replace(usage, input_tokens=max(usage.input_tokens or 0, *of_input))
    assume(whole.input_tokens or whole.output_tokens)
    work = Work("text", "", "m", whole.input_tokens, whole.output_tokens)
    low = low_price(card, work, bound(card, work), NOW)
    assert low <= min(bound(card, work).amount, price(card, whole).amount)


@given(cards(), counts)
def test_the_low_end_is_reached(card: RateCard, tokens: int) -> None:
    """By the call whose input is all of the cheapest class, without any output."""
    assume(tokens)
    work = Work("text", "", "m", tokens, 0)
    classes: list[dict[str, Any]] = [
        {},
        {"cache_read_input_tokens": tokens},
        {"cache_creation_input_tokens": tokens},
        {"cache_creation_input_tokens": tokens, "cache_creation_1h_input_tokens": tokens},
        {"audio_input_tokens": tokens},
        {"image_input_tokens": tokens},
    ]
    outcomes = [price(card, Usage("text", "", "m", "", tokens, 0, **each)).amount for each in classes]
    assert low_price(card, work, bound(card, work), NOW) == min(outcomes)


@given(cards(), st.sampled_from(["image", "tool", "engagement"]), st.integers(0, 1_000))
def test_items_are_rounded_together(card: RateCard, action: str, quantity: int) -> None:
    """Many in one call never cost more than each in a call of its own."""
    one = price(card, Usage(action, "", "m", tool="t"))
    many = price(card, Usage(action, "", "m", tool="t", quantity=quantity))
    assert many.exact_credits == one.exact_credits * quantity
    assert many.amount <= one.amount * quantity
