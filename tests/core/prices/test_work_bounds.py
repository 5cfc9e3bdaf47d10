"""The most and the least that work can cost, and what a budget pays for."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.reservations import Hold
from creditmeter.core.prices.rate_card import MAX_TOKENS, RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.token_costs import input_parts, output_parts
from creditmeter.core.prices.work_bounds import affordable_output_tokens, bounded_output_tokens, low_price, price_bound
from creditmeter.core.work import Usage, Work
from tests.core.prices.cards import cards, counts, usages
from tests.core.prices.priced import CARD, NOW, TEST_CARD, bound, price


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


@given(cards(), usages(), st.integers(0, 3), st.integers(0, 3))
def test_no_usage_within_the_bounds_costs_more_than_the_bound(
    card: RateCard, usage: Usage, more_input: int, more_output: int
) -> None:
    """Whatever its parts, and however they contradict each other; parts that add up to more than the bounds are not within."""
    most_input = max(usage.input_tokens or 0, input_parts(usage))
    most_output = max(usage.output_tokens or 0, output_parts(usage))
    assume(most_input + more_input or most_output + more_output)
    work = Work("text", "", "m", most_input + more_input, most_output + more_output)
    assert price(card, usage).amount <= bound(card, work).amount


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
    whole = replace(usage, input_tokens=max(usage.input_tokens or 0, input_parts(usage)))
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
        {"units": {"video_input_tokens": tokens}},
        {"audio_input_tokens": tokens, "units": {"cached_audio_input_tokens": tokens}},
        {"image_input_tokens": tokens, "units": {"cached_image_input_tokens": tokens}},
    ]
    outcomes = [price(card, Usage("text", "", "m", "", tokens, 0, **each)).amount for each in classes]
    assert low_price(card, work, bound(card, work), NOW) == min(outcomes)
