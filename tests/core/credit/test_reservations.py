"""Reservations: parts are used oldest first and to the last microcredit, and a deadline is past when it is reached."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Part
from creditmeter.core.credit.reservations import ReservationState, take, total
from creditmeter.core.instants import Instant
from tests.core.builders import at, part, reservation

MORNING, NOON, EVENING = at("10 09:00"), at("10 12:00"), at("10 18:00")
PARTS = (part(3, MORNING), part(4, NOON), part(2, EVENING))


@pytest.mark.parametrize(
    ("amount", "taken", "left"),
    [
        (0, (), PARTS),
        (1, (part(1, MORNING),), (part(2, MORNING), part(4, NOON), part(2, EVENING))),
        (3, (part(3, MORNING),), (part(4, NOON), part(2, EVENING))),
        (5, (part(3, MORNING), part(2, NOON)), (part(2, NOON), part(2, EVENING))),
        (9, PARTS, ()),
        (20, PARTS, ()),
    ],
)
def test_parts_are_taken_oldest_first(amount: int, taken: tuple[Part, ...], left: tuple[Part, ...]) -> None:
    """Each part keeps the moment at which it was authorised, and no part is empty."""
    assert take(PARTS, amount) == (taken, left)


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(0, 60))
def test_taking_loses_nothing(amounts: Sequence[int], amount: int) -> None:
    """What is taken and what stays make up what there was, and as much is taken as was asked for, if there is."""
    parts = tuple(part(each, MORNING) for each in amounts)
    taken, left = take(parts, amount)
    assert total(taken) + total(left) == total(parts)
    assert total(taken) == min(amount, sum(amounts))
    assert all(each.amount > 0 for each in taken + left)


def test_a_reservation_is_due_at_its_deadline() -> None:
    """The deadline itself is past; a reservation that has ended is never due."""
    held = reservation("r", PARTS, created=MORNING, expires=NOON)
    assert [held.is_due(moment) for moment in (MORNING, Instant(NOON - 1), NOON, EVENING)] == [False, False, True, True]
    assert not held.end(ReservationState.RELEASED, MORNING).is_due(EVENING)


def test_an_ended_reservation_holds_nothing() -> None:
    """Its end lets go of all parts and says when; one that holds on to credit cannot be made."""
    held = reservation("r", PARTS, created=MORNING, expires=EVENING)
    ended = held.end(ReservationState.RELEASED, NOON)
    assert (held.held, ended.held, ended.ended_at) == (9, 0, NOON)
    with pytest.raises(AssertionError, match="only an open reservation"):
        reservation("r", PARTS, created=MORNING, expires=EVENING, state=ReservationState.RELEASED)
