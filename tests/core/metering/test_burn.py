"""How fast credit is used: a rate that follows what happens within two stretches, and forgets what is longer ago."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.instants import Span
from creditmeter.core.metering.burn import HORIZON, SHORTEST, Burn
from tests.core.builders import mc

START = Span(7 * HORIZON + 12_345)
"""A stretch begins whenever the account was first used, not on a round number."""


def burnt(*uses: tuple[int, int]) -> Burn:
    """A burn after these amounts were used, each so many microseconds after the start."""
    burn = Burn(since=START)
    for amount, after in uses:
        burn = burn.used(mc(amount), Span(START + after))
    return burn


@pytest.mark.parametrize(
    ("what", "uses", "after", "expected"),
    [
        ("nothing was used", (), 0, 0),
        ("the first use is taken to go on, over no less than the shortest time", ((60, 0),), 0, 360),
        ("until that is over", ((60, 0),), SHORTEST, 360),
        ("and then over the time since", ((60, 0),), 2 * SHORTEST, 180),
        ("with all that was used meanwhile", ((60, 0), (30, SHORTEST)), 2 * SHORTEST, 270),
        ("all of the running stretch", ((60, 0), (30, HORIZON - 1)), HORIZON - 1, 90),
        ("the whole stretch before counts as the next begins", ((60, 0), (30, HORIZON - 1)), HORIZON, 90),
        ("half of it when half of the next is over", ((60, 0),), HORIZON * 3 // 2, 30),
        ("with all that was used since", ((60, 0), (5, HORIZON)), HORIZON * 3 // 2, 35),
        ("a trace of it at the end, rounded down", ((60, 0),), 2 * HORIZON - 1, 0),
        ("nothing of what is longer ago", ((60, 0),), 2 * HORIZON, 0),
        ("after a pause it begins anew, however much it was", ((10**12, 0), (1, 5 * HORIZON)), 5 * HORIZON, 6),
        ("a stretch without use in between forgets", ((60, 0), (7, 2 * HORIZON)), 3 * HORIZON - 1, 7),
        ("amounts up to all there is", ((2**62, 0),), HORIZON, 2**62),
    ],
)
def test_the_rate(what: str, uses: tuple[tuple[int, int], ...], after: int, expected: int) -> None:
    """What is used in a horizon at the recent rate."""
    assert burnt(*uses).in_a_horizon(Span(START + after)) == expected, what


def test_looking_changes_nothing() -> None:
    """A rate may be asked for at a later moment than that of the next use."""
    burn = burnt((60, 0))
    assert burn.in_a_horizon(Span(START + 2 * HORIZON)) == 0
    assert burn.in_a_horizon(START) == 360


def test_stretches_follow_each_other_without_gaps() -> None:
    """They begin at multiples from the first use, also after a pause."""
    burn = burnt((1, 0), (1, 3 * HORIZON + 5))
    assert burn.since == START + 3 * HORIZON
    assert (burn.now, burn.before) == (1, 0)
    assert burn.at(Span(START + 4 * HORIZON)) == Burn(Span(START + 4 * HORIZON), mc(0), mc(1))
    assert burn.at(Span(START + 4 * HORIZON - 1)) is burn


@given(st.integers(1, 100), st.integers(2, 60))
def test_a_steady_use_is_seen_as_it_is(amount: int, times: int) -> None:
    """So much so often in each horizon: after two of them the rate is that, give or take one use."""
    step = HORIZON // times
    burn = burnt(*((amount, number * step) for number in range(3 * times)))
    rate = burn.in_a_horizon(Span(START + (3 * times - 1) * step))
    assert abs(rate - amount * times) <= 2 * amount


@given(st.integers(1, 100), st.integers(12, 60), st.integers(1, 60))
def test_a_young_rate_is_seen_soon(amount: int, times: int, uses: int) -> None:
    """After the shortest time it is taken for what it will be, give or take one use."""
    step = HORIZON // times
    elapsed = min(uses, times - 1) * step
    if elapsed < SHORTEST:
        return
    burn = burnt(*((amount, number * step) for number in range(elapsed // step)))
    assert abs(burn.in_a_horizon(Span(START + elapsed)) - amount * times) <= amount
