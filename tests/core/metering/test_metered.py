"""Metered calls: how far ahead a hold is kept, when a call should stop, and what reports mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.metered import (
    LEAST_AHEAD,
    MOST_BURNT,
    Cover,
    Pace,
    as_reported,
    carried_on,
    fallen,
    interrupted,
)
from creditmeter.core.values import replace
from creditmeter.core.work import Served, Usage, UsageSource

BEGAN = Span(50 * SECOND)


def pace(*reports: int, first: int = 0) -> Pace:
    """The pace of a stream that began with `first` tokens, after these reports."""
    found = Pace(BEGAN, first, first)
    for each in reports:
        found = found.after(each)
    return found


@pytest.mark.parametrize(
    ("reports", "first", "seconds", "ahead"),
    [
        ((), 0, 0, LEAST_AHEAD),
        ((20,), 0, 60, LEAST_AHEAD),
        ((100, 200, 300), 0, 1, 3_000),
        ((100, 200, 300), 0, 6, LEAST_AHEAD),
        ((4_000,), 0, 100, 8_000),
        ((9_100,), 9_000, 1, 1_000),
        ((30_000, 60_000, 90_000), 0, 1, 60_000),
        ((10_000, 20_000, 30_000, 40_000), 0, 1, MOST_BURNT),
    ],
)
def test_a_hold_is_kept_ahead_by_the_burn(reports: tuple[int, ...], first: int, seconds: int, ahead: int) -> None:
    """Ten seconds of it, by what this stream burnt, and at least twice its largest step; within bounds."""
    assert pace(*reports, first=first).ahead(Span(BEGAN + seconds * SECOND)) == ahead


@pytest.mark.parametrize(
    ("cover", "left", "ahead", "used_up"),
    [
        pytest.param(Cover(1_000, 2_000, None, is_covered=True), 1_000, True, False, id="far ahead"),
        pytest.param(Cover(1_000, 1_249, None, is_covered=True), 249, False, False, id="not far enough"),
        pytest.param(Cover(1_000, 1_101, None, is_covered=True), 101, False, False, id="one more report"),
        pytest.param(Cover(1_000, 1_100, None, is_covered=True), 100, False, True, id="the next may be too much"),
        pytest.param(Cover(1_000, 1_000, None, is_covered=False), 0, False, True, id="beyond it"),
        pytest.param(Cover(1_000, 1_050, 1_050, is_covered=True), 50, True, False, id="all that the work may come to"),
        pytest.param(Cover(1_100, 1_150, 1_050, is_covered=True), 50, False, True, id="beyond the work"),
        pytest.param(Cover(0, None, None, is_covered=True), 0, True, False, id="not by tokens"),
        pytest.param(Cover(0, None, None, is_covered=False), 0, False, True, id="not by tokens, and beyond it"),
    ],
)
def test_a_call_should_stop_before_its_next_report_may_be_beyond_its_hold(
    cover: Cover, left: int, ahead: bool, used_up: bool
) -> None:
    """Reports of 100 tokens. What the work itself bounds ends by itself."""
    assert (cover.left, cover.is_ahead(pace(100), BEGAN), cover.is_used_up(pace(100))) == (left, ahead, used_up)


def test_a_hold_is_wanted_up_to_the_bound_of_the_work() -> None:
    """Beyond that as long as the call goes on all the same."""
    assert Cover(700, 800, 1_000, is_covered=True).wanted(pace(100), BEGAN) == 1_000
    assert Cover(700, 800, None, is_covered=True).wanted(pace(100), BEGAN) == 1_700
    assert Cover(1_200, 1_200, 1_000, is_covered=False).wanted(pace(100), BEGAN) == 2_200


def test_what_a_report_leaves_out_is_as_before() -> None:
    """Counts, names, units and what served it."""
    before = Usage("text", input_tokens=9, output_tokens=5, units={"web_searches": 1}, served=Served("flex"), response_id="r")
    now = carried_on(before, Usage(output_tokens=7))
    assert now == replace(before, output_tokens=7)
    assert carried_on(None, before) is before
    assert carried_on(before, Usage(units={"images": 2})).units == {"web_searches": 1, "images": 2}


def test_a_provider_s_report_is_charged_as_it_is_if_it_says_all() -> None:
    """Its responses have prices of their own. If it leaves out what was known before, the counts of the whole are charged."""
    before = Usage("text", "openai", input_tokens=9, output_tokens=5)
    reported = Usage(provider_usage_json="…")
    whole = replace(before, output_tokens=7)
    assert as_reported(reported, replace(whole, action=""), whole) == replace(reported, action="text", provider="openai")
    assert as_reported(reported, Usage(output_tokens=7), whole) == whole
    assert as_reported(Usage(output_tokens=7), Usage(output_tokens=7), whole) == whole


def test_a_count_that_falls_is_named() -> None:
    """Each of them. One that is unknown has not fallen."""
    before = Usage(input_tokens=9, output_tokens=5, quantity=2, units={"web_searches": 3})
    assert list(fallen(before, Usage(input_tokens=8, output_tokens=5, units={"web_searches": 2}))) == [
        ("input_tokens", "must not fall: it was 9"),
        ("units['web_searches']", "must not fall: it was 3"),
    ]
    assert list(fallen(None, before)) == []


def test_a_call_that_was_broken_off_is_charged_for_what_it_reported() -> None:
    """As the counts of a stream that broke."""
    assert interrupted(Usage(input_tokens=3)) == Usage(input_tokens=3, source=UsageSource.PARTIAL_STREAM)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20).map(sorted), st.integers(0, 3_600))
def test_the_hold_is_always_wanted_beyond_the_next_report(reports: list[int], seconds: int) -> None:
    """By more than the largest step so far, so that a call which can be paid is not told to stop."""
    found = pace(*reports)
    wanted = Cover(reports[-1], 0, None, is_covered=False).wanted(found, Span(BEGAN + seconds * SECOND))
    assert wanted > reports[-1] + found.largest
