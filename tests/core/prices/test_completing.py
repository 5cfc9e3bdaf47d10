"""What a usage leaves unset comes from the work that was reserved."""

import pytest

from creditmeter.core.amounts import from_credits
from creditmeter.core.prices.completing import complete_usage
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from tests.core.prices.priced import CARD, NOW, bound, price, unbounded

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


UNITS = {"web_searches": 3, "file_searches": 2, "citation_tokens": 4, "video_input_tokens": 30, "cached_audio_input_tokens": 9}
MIXED = replace(
    WORK,
    cache_creation_input_tokens=40,
    cache_creation_1h_input_tokens=10,
    units=UNITS,
    audio_input_tokens=20,
    image_input_tokens=50,
)
HELD = {"web_searches": 3, "file_searches": 2, "citation_tokens": 4}
FILES = {"web_searches": 3, "storage_searches": 1, "citation_tokens": 4}


@pytest.mark.parametrize(
    ("usage", "parts", "units"),
    [
        (Usage(), (40, 10, 20, 50), HELD | {"video_input_tokens": 30}),
        (Usage(output_tokens=7), (40, 10, 20, 50), HELD | {"video_input_tokens": 30}),
        # A usage that names a part of its input knows what its input was.
        (Usage(output_tokens=7, cache_creation_input_tokens=5), (5, None, None, None), HELD),
        # With the whole input known, only units are not.
        (Usage(input_tokens=60), (None, None, None, None), HELD),
        (Usage(input_tokens=60, units={"web_searches": 0}), (None, None, None, None), HELD | {"web_searches": 0}),
        (Usage(input_tokens=60, units={"storage_searches": 1}), (None,) * 4, FILES),
        (Usage(input_tokens=60, output_tokens=7), (None, None, None, None), {}),
    ],
)
def test_an_estimate_has_the_parts_and_units_of_its_work(
    usage: Usage, parts: tuple[int | None, ...], units: dict[str, int]
) -> None:
    """As far as the usage does not say them itself, in whatever words."""
    complete, _ = complete_usage(usage, MIXED)
    found = complete.cache_creation_input_tokens, complete.cache_creation_1h_input_tokens
    assert (*found, complete.audio_input_tokens, complete.image_input_tokens) == parts
    assert complete.units == units


def test_what_is_no_text_has_no_parts_of_input() -> None:
    """Whatever its work says."""
    complete, estimated = complete_usage(Usage("tool"), MIXED)
    assert (complete.audio_input_tokens, complete.units, estimated) == (None, {}, False)


def test_an_estimate_costs_what_is_held() -> None:
    """100,000 tokens, of which 40,000 may be written to the cache, 10,000 of these for an hour, and 10 searches: in dollars
    0.18 + 0.1125 + 0.06 + 0.1.
    """
    work = Work(
        *("text", "anthropic", "claude-sonnet-4-5", 100_000, 0),
        cache_creation_input_tokens=40_000,
        cache_creation_1h_input_tokens=10_000,
        units={"web_searches": 10},
    )
    complete, estimated = complete_usage(Usage(), work)
    found = price(unbounded(CARD), complete)
    assert (estimated, found.amount) == (True, from_credits("45.25"))
    assert bound(unbounded(CARD), work).amount == found.amount
