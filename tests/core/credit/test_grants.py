"""Grants: the order in which they are used, when they are usable, and sums that always add up."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.grants import Draw, Grant, GrantKind, alive_between, draw_key, merged, usable
from creditmeter.core.instants import Instant
from creditmeter.core.values import replace
from tests.core.builders import at, daily, grant, mc, monthly

DAILY, MONTHLY, PERMANENT = GrantKind
NOON = at("10 12:00")

IN_ORDER = (
    grant("daily until tonight", 1, kind=DAILY, ends=at("11 00:00")),
    grant("daily until tomorrow", 1, kind=DAILY, ends=at("12 00:00")),
    grant("monthly until tonight", 1, kind=MONTHLY, ends=at("11 00:00")),
    grant("monthly without end", 1, kind=MONTHLY),
    grant("permanent, ends first", 1, begins=at("09 00:00"), ends=at("15 00:00")),
    grant("permanent, ends next", 1, begins=at("01 00:00"), ends=at("16 00:00")),
    grant("permanent, ends next too, begins later", 1, begins=at("02 00:00"), ends=at("16 00:00")),
    grant("permanent without end: a", 1),
    grant("permanent without end: b", 1),
    grant("a permanent without end, begins later", 1, begins=at("03 00:00")),
)
"""Kind before end, end before beginning, beginning before id; no end comes last."""


@given(st.permutations(IN_ORDER))
def test_the_order_of_deduction_is_total(stored: Sequence[Grant]) -> None:
    """However the grants are stored, they are drawn on in one order."""
    assert tuple(usable(stored, NOON)) == IN_ORDER
    assert tuple(alive_between(stored, NOON, NOON)) == IN_ORDER
    assert len({draw_key(each) for each in stored}) == len(IN_ORDER)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (Instant(at("10 00:00") - 1), False),
        (at("10 00:00"), True),
        (Instant(at("11 00:00") - 1), True),
        (at("11 00:00"), False),
        (at("12 00:00"), False),
    ],
)
def test_a_grant_is_usable_from_its_beginning_until_before_its_end(moment: Instant, expected: bool) -> None:
    """The beginning is inclusive, the end exclusive; without an end it never ends."""
    assert daily(10, 5).is_usable(moment) is expected
    assert bool(usable([daily(10, 5)], moment)) is expected
    assert grant("for good", 5, begins=at("10 00:00")).is_usable(moment) is (moment >= at("10 00:00"))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (at("09 00:00"), Instant(at("10 00:00") - 1), False),
        (at("09 00:00"), at("10 00:00"), True),
        (at("10 12:00"), at("10 13:00"), True),
        (at("09 00:00"), at("20 00:00"), True),
        (Instant(at("11 00:00") - 1), at("20 00:00"), True),
        (at("11 00:00"), at("20 00:00"), False),
    ],
)
def test_a_grant_is_alive_in_a_span_that_touches_it(start: Instant, end: Instant, expected: bool) -> None:
    """One usable moment within the span is enough; the span's last moment counts, the grant's end does not."""
    assert bool(alive_between([daily(10, 5)], start, end)) is expected


def test_a_grant_adds_up_through_its_life() -> None:
    """After each thing that can happen to it: amount = remaining + drawn - refunded + lapsed + voided."""
    drawn = monthly(20).draw(12)
    returned = drawn.give_back(2)
    voided = returned.void(3)
    drawn_again = voided.draw(1)
    steps = [monthly(20), drawn, returned, voided, drawn_again, drawn_again.lapse(drawn_again.remaining)]
    sums = [(it.remaining, it.drawn, it.refunded, it.lapsed, it.voided) for it in steps]
    assert sums == [
        (20, 0, 0, 0, 0),
        (8, 12, 0, 0, 0),
        (10, 12, 2, 0, 0),
        (7, 12, 2, 0, 3),
        (6, 13, 2, 0, 3),
        (0, 13, 2, 6, 3),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda it: replace(it, remaining=mc(21)),
        lambda it: replace(it, drawn=mc(1)),
        lambda it: replace(it, refunded=mc(1)),
        lambda it: replace(it, lapsed=mc(1)),
        lambda it: replace(it, voided=mc(1)),
    ],
)
def test_a_grant_that_does_not_add_up_cannot_be_made(change: Callable[[Grant], Grant]) -> None:
    """Not even by one microcredit, so that no fault reaches the store."""
    with pytest.raises(AssertionError, match="does not add up"):
        change(monthly(20))


def test_a_grant_is_never_overdrawn() -> None:
    """Drawing more than is left is a fault."""
    with pytest.raises(AssertionError, match="overdrawn"):
        monthly(20).draw(21)


# Draws.

DRAWS = st.lists(st.builds(Draw, st.sampled_from("abc"), st.sampled_from(GrantKind), st.integers(1, 9), st.integers(0, 1)))


@given(DRAWS)
def test_one_draw_for_each_grant_in_the_order_of_the_first(draws: list[Draw]) -> None:
    """What was drawn on each, and what came back to it, stays the same."""
    shown = merged(draws)
    assert [each.grant_id for each in shown] == list(dict.fromkeys(each.grant_id for each in draws))
    for each in shown:
        pieces = [draw for draw in draws if draw.grant_id == each.grant_id]
        assert each.kind is pieces[0].kind
        assert (each.amount, each.returned) == (sum(one.amount for one in pieces), sum(one.returned for one in pieces))
    assert merged(shown) == shown
