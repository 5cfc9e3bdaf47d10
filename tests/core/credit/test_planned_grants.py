"""What a plan's grants count of what the plan gives for a period, and what of those that waited for it is too much."""

import pytest

from creditmeter.core.credit.grants import Grant
from creditmeter.core.credit.planned_grants import beyond, counted
from creditmeter.core.ids import GrantId
from creditmeter.core.instants import Instant
from creditmeter.core.values import replace
from tests.core.builders import grant

USED = grant("a", 10, drawn=7, period_key="2026-03-10")
SECOND = grant("b", 5, begins=Instant(USED.effective_at + 1), period_key="2026-03-10")

CASES = {
    "as much as the plan gives": (15, (USED, SECOND), "ab", {}),
    "less than the plan gives": (20, (USED, SECOND), "ab", {}),
    "of the last one first": (12, (USED, SECOND), "ab", {"b": 3}),
    "of all, but what was drawn stays": (4, (USED, SECOND), "ab", {"b": 5, "a": 3}),
    "of those alone that waited": (4, (USED, SECOND), "a", {"a": 3}),
    "none waited": (0, (USED, SECOND), "", {}),
    "none": (0, (), "", {}),
    "what was taken back is not there": (12, (USED, SECOND.void(3)), "ab", {}),
    "what an operator voided is left alone": (8, (USED, replace(SECOND.void(2), voided_at=Instant(0))), "ab", {"a": 3}),
}


@pytest.mark.parametrize(("planned", "named", "waited", "expected"), CASES.values(), ids=CASES)
def test_what_is_too_much(planned: int, named: tuple[Grant, ...], waited: str, expected: dict[str, int]) -> None:
    """In whatever order they were loaded."""
    names = frozenset(GrantId(each) for each in waited)
    for loaded in (named, named[::-1]):
        assert {each.grant_id: amount for each, amount in beyond(planned, loaded, names)} == expected


def test_what_counts_as_given() -> None:
    """What an operator took back does, and what was taken back for the plan's sake does not."""
    assert counted(USED) == 10
    assert counted(SECOND.void(3)) == 2
    assert counted(replace(SECOND.void(3), voided_at=Instant(0))) == 5
