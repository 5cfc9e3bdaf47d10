"""The most and the least that work can cost, and what a budget pays for."""

import dataclasses
from itertools import product
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
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from tests.core.prices.cards import cards, counts, usages, work_for
from tests.core.prices.priced import CARD, NOW, TEST_CARD, bound, price, unbounded

KINDS = ("audio_input_tokens", "image_input_tokens")
VIDEO = "units.video_input_tokens"
PART = "must not be above input_tokens, of which it is a part"


@pytest.mark.parametrize(
    ("work", "credits", "max_output_tokens"),
    [
        (Work("text", "openai", "gpt-4o", 8_000, 0), 2, 0),
        (Work("text", "openai", "gpt-4o", 8_001, 0), 3, 0),
        (Work("text", "openai", "gpt-4o", 8_000, 2_000), 4, 2_000),
        (Work("text", "openai", "gpt-4o", 8_000), 7, 4_096),
        (Work("text", "openai", "gpt-4o", 1, 0), 1, 0),
        # Anthropic's model: plain input at 3 dollars a million, output at 15.
        (Work("text", "anthropic", "claude-sonnet-4-5", 10_000, 1_000), 5, 1_000),  # 3 + 1.5
    ],
)
def test_the_bound_of_text(work: Work, credits: int, max_output_tokens: int) -> None:
    """Plain input and the most output, rounded like a price."""
    assert price_bound(CARD, work, NOW) == Hold(from_credits(credits), CARD.version, work)
    assert bounded_output_tokens(CARD, work) == max_output_tokens


def sonnet(
    tokens: int = 100_000, *, service_tier: str = "", units: dict[str, int] | None = None, written: tuple[int, int] = (0, 0)
) -> Work:
    """Input without output: 3 dollars a million, 3.75 written to the cache, 6 for an hour; above 200,000 tokens twice that.

    `written` are all that may be written to the cache, and those of them that may be kept for an hour.
    """
    work = Work("text", "anthropic", "claude-sonnet-4-5", tokens, 0, None, "", "", service_tier, *written)
    return replace(work, units=units or {})


@pytest.mark.parametrize(
    ("work", "credits"),
    [
        (sonnet(), "30"),
        (sonnet(300_000), "180"),
        (sonnet(written=(100_000, 0)), "37.5"),
        (sonnet(written=(100_000, 100_000)), "60"),
        (sonnet(written=(0, 100_000)), "60"),
        (sonnet(written=(0, 50_000)), "45"),  # 15 plain, 30 for an hour
        (sonnet(written=(40_000, 10_000)), "35.25"),  # 18 plain, 11.25 for minutes, 6 for an hour
        (sonnet(300_000, written=(300_000, 0)), "225"),
        (sonnet(written=(0, 100_000), service_tier="batch"), "30"),
        (sonnet(units={"web_searches": 10}), "40"),
        (sonnet(0, units={"web_searches": 10}), "10"),
        (sonnet(units={"web_searches": 10}, service_tier="batch"), "25"),
        (sonnet(units={"unheard_of": 10, "cached_audio_input_tokens": 10}), "30"),
    ],
)
def test_a_hold_is_the_worst_of_what_the_work_says(work: Work, credits: str) -> None:
    """Writes to the cache, things with a fee and a tier, and nothing that is not said."""
    assert bound(unbounded(CARD), work).amount == from_credits(credits)


@pytest.mark.parametrize(
    ("parts", "credits"),
    [
        ({}, "30"),
        ({"audio_input_tokens": 1_000_000}, "100"),
        ({"audio_input_tokens": 200_000}, "44"),
        ({"image_input_tokens": 1_000_000}, "30"),
    ],
)
def test_audio_is_held_where_it_is_said(parts: dict[str, Any], credits: str) -> None:
    """A million tokens of Gemini: text and images at 0.30 dollars, audio at 1."""
    work = Work("text", "google", "gemini-2.5-flash", 1_000_000, 0, **parts)
    assert bound(unbounded(CARD), work).amount == from_credits(credits)


@pytest.mark.parametrize(
    ("work", "credits"),
    [
        (Work("text", "", "all-classes", 1_000, 0, image_input_tokens=1_000, cache_creation_1h_input_tokens=1_000), "500"),
        (Work("text", "", "all-classes", 1_000, 0, image_input_tokens=400, cache_creation_1h_input_tokens=1_000), "320"),
        (Work("text", "", "all-classes", 1_000, 0, audio_input_tokens=1_000, cache_creation_1h_input_tokens=100), "300"),
    ],
)
def test_a_token_that_may_be_of_two_classes_is_of_the_dearer_one(work: Work, credits: str) -> None:
    """In dollars a million: images 5,000, audio 3,000, an hour of the cache 2,000."""
    assert bound(TEST_CARD, work).amount == from_credits(credits)


def own_card(rates: str) -> RateCard:
    """A card with one model, `m`, and its rates."""
    head = 'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n[[text.models]]\nmodel = "m"\noutput = 1\n'
    return unbounded(parse_rate_card(head + rates))


def test_cached_audio_and_images_may_be_dearer_than_new_ones() -> None:
    """A card may say so: audio at 2, cached at 4; images at 3, cached at 5."""
    card = own_card("input = 1\naudio_input = 2\nimage_input = 3\ncached_audio = 4\ncached_image = 5")
    work = Work("text", "", "m", 1_000_000, 0, audio_input_tokens=200_000, image_input_tokens=300_000)
    assert bound(card, work).amount == from_credits(50 + 80 + 150)


def test_a_shorter_input_may_be_dearer() -> None:
    """Up to 1,000 tokens at 10 dollars a million, above that all of them at 1: so 1,001 tokens are held as 1,000 are."""
    card = own_card("input = 10\nlong_context = [{ above_input_tokens = 1000, input = 1, output = 1 }]")
    assert bound(card, Work("text", "", "m", 1_001, 0)).amount == from_credits(1)
    assert bound(card, Work("text", "", "m", 20_000, 0)).amount == from_credits(2)


def test_video_and_citations_are_held_where_they_are_said() -> None:
    """Video is part of the input, citations are beside it."""
    card = own_card("input = 1\nvideo_input = 3\ncitation = 2")
    units = {"video_input_tokens": 250_000, "citation_tokens": 500_000}
    held = bound(card, Work("text", "", "m", 1_000_000, 0, units=units)).amount
    assert held == from_credits(75 + 75 + 100)


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        ({"cache_creation_input_tokens": 101}, {"cache_creation_input_tokens": PART}),
        ({"cache_creation_1h_input_tokens": 101}, {"cache_creation_1h_input_tokens": PART}),
        (
            {"cache_creation_input_tokens": 50, "cache_creation_1h_input_tokens": 51},
            {"cache_creation_1h_input_tokens": "must not be above cache_creation_input_tokens, of which it is a part"},
        ),
        (
            {"audio_input_tokens": 101, "image_input_tokens": -1},
            {"audio_input_tokens": PART, "image_input_tokens": "must not be negative"},
        ),
        ({"units": {"video_input_tokens": 101}}, {"units.video_input_tokens": PART}),
        (
            {"audio_input_tokens": 50, "image_input_tokens": 51},
            {"audio_input_tokens": "must not be above input_tokens together with image_input_tokens"},
        ),
        (
            {"audio_input_tokens": 50, "image_input_tokens": 1, "units": {"video_input_tokens": 50}},
            {"audio_input_tokens": f"must not be above input_tokens together with image_input_tokens and {VIDEO}"},
        ),
        ({"units": {"web_searches": MAX_TOKENS + 1}}, {"units.web_searches": "must not be above 1,000,000,000"}),
    ],
)
def test_parts_of_the_input_are_no_more_than_it(parts: dict[str, Any], wrong: dict[str, str]) -> None:
    """Each by itself, those for an hour within all that is written, and audio, images and video together."""
    refused = price_bound(CARD, Work("text", "", "gpt-4o", 100, 1, **parts), NOW)
    assert refused == InvalidRequest(tuple((f"work.{name}", why) for name, why in wrong.items()))


def test_parts_of_the_input_may_be_all_of_it() -> None:
    """All of it written to the cache, and all of it images."""
    work = Work("text", "", "gpt-4o", 8_000, 0, image_input_tokens=8_000, cache_creation_input_tokens=8_000)
    assert bound(CARD, work).amount == from_credits(2)


def test_no_tokens_may_be_reserved_where_they_cost_nothing() -> None:
    """Or where the call costs something beside them."""
    assert bound(TEST_CARD, Work("text", "", "gratis", 0, 0)).amount == 0
    rules = 'model = "m"\ninput = 1\noutput = 1\nper_call = 1'
    per_call = parse_rate_card(f'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n[[text.models]]\n{rules}')
    assert bound(per_call, Work("text", "", "m", 0, 0)).amount == from_credits(100)


def test_the_bound_takes_every_token_for_the_dearest_that_it_may_be() -> None:
    """Plain input at 1,000 dollars a million, images at 5,000 where they are said, and all output at 50,000."""
    assert bound(TEST_CARD, Work("text", "", "all-classes", 1_000, 0)).amount == from_credits(100)
    assert bound(TEST_CARD, Work("text", "", "all-classes", 1_000, 0, image_input_tokens=1_000)).amount == from_credits(500)
    assert bound(TEST_CARD, Work("text", "", "all-classes", 0, 1_000)).amount == from_credits(5_000)


def test_no_bound_is_above_the_cap() -> None:
    """However long the work."""
    card = dataclasses.replace(CARD, cap=from_credits(10))
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
    """Whatever its parts, and however they contradict each other. The bounds are those of the parts that the work says, too;
    parts that add up to more than the bounds are not within.
    """
    work = work_for(usage, more_input, more_output)
    assume(work.input_tokens or work.max_output_tokens)
    assert price(card, usage).amount <= bound(card, work).amount


@given(cards(), usages(), st.integers(0, 100_000), st.integers(0, 100_000))
def test_no_plain_usage_costs_more_than_the_bound_of_work_that_says_no_more(
    card: RateCard, usage: Usage, citations: int, fewer: int
) -> None:
    """Without a write to a cache, audio, images or video of the input; with no more citations than are said."""
    no_parts = dict.fromkeys((*("cache_creation_input_tokens", "cache_creation_1h_input_tokens"), *KINDS))
    units = {"citation_tokens": citations, "video_output_tokens": usage.units.get("video_output_tokens", 0)}
    plain = replace(usage, units=units, **no_parts)
    most_input = max(plain.input_tokens or 0, input_parts(plain))
    most_output = max(plain.output_tokens or 0, output_parts(plain))
    assume(most_input or most_output)
    work = Work("text", "", "m", most_input, most_output, units={"citation_tokens": citations})
    shorter = replace(plain, input_tokens=max(most_input - fewer, input_parts(plain)))
    assert max(price(card, plain).amount, price(card, shorter).amount) <= bound(card, work).amount


@given(cards(), counts, counts, counts)
def test_the_bound_is_reached(card: RateCard, tokens: int, written: int, kept_1h: int) -> None:
    """By the dearest of the calls that the work allows: a longer or a shorter input, cached or not, in each way."""
    assume(tokens)
    written = min(written, tokens)
    kept_1h = min(kept_1h, written)
    work = Work("text", "", "m", tokens, 0, cache_creation_input_tokens=written, cache_creation_1h_input_tokens=kept_1h)
    prices = card.text[0].prices
    assert prices is not None
    lengths = {tokens, *(min(tokens, tier.above_input_tokens) for tier in prices.long_context)}
    calls = (
        Usage(
            *("text", "", "m", "", length, 0),
            cache_read_input_tokens=(length - min(each, length)) * is_read,
            cache_creation_input_tokens=min(each, length),
            cache_creation_1h_input_tokens=min(each, length, kept_1h * is_kept),
        )
        for length, each, is_read, is_kept in product(lengths, {0, kept_1h, written}, (0, 1), (0, 1))
    )
    assert bound(card, work).amount == max(price(card, each).amount for each in calls)


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
