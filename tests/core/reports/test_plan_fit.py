"""Which plan would have been enough."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import DAY, Instant, from_datetime
from creditmeter.core.reports.plan_fit import fits, size, smallest_plan

NOON = from_datetime(datetime(2026, 11, 24, 12, tzinfo=UTC))
UTC_DAYS = Schedule(Calendar("UTC", 1))


def plan(name: str, daily: int, monthly: int = 0) -> Plan:
    """A plan."""
    return Plan(PlanId(name), Microcredits(daily), Microcredits(monthly))


def midnights(count: int) -> list[Instant]:
    """The beginnings of the last days."""
    today = UTC_DAYS.day_at(NOON).starts_at
    return [Instant(today - back * DAY) for back in range(count)][::-1]


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        pytest.param([], "none", id="nobody needs anything"),
        pytest.param([1] * 30, "daily", id="an even use"),
        pytest.param([0] * 20 + [30], "monthly", id="one busy day"),
        pytest.param([3] * 20 + [9], "both", id="an even use with a peak"),
        pytest.param([1_000], None, id="more than any plan"),
    ],
)
def test_the_smallest_plan_that_would_have_been_enough(needs: list[int], expected: str | None) -> None:
    """By daily x 30 + monthly."""
    plans = [plan("both", 3, 20), plan("monthly", 0, 31), plan("daily", 1), plan("none", 0), plan("all", 9)]
    found = smallest_plan(plans, dict(zip(midnights(len(needs)), needs, strict=True)), UTC_DAYS)
    assert (found.plan_id if found else None) == expected


def test_of_equal_plans_the_first_by_id() -> None:
    """So that the answer is always the same."""
    found = smallest_plan([plan("b", 1), plan("a", 0, 30)], {}, UTC_DAYS)
    assert found is not None
    assert found.plan_id == "a"


CALLS = st.lists(st.tuples(st.integers(0, 30 * DAY), st.integers(0, 30)), max_size=40)
PLANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 300)), max_size=8, unique=True)


def refusals(given_plan: Plan, calls: list[tuple[Instant, int]], schedule: Schedule) -> int:
    """How many calls a plan refuses, call by call, as a ledger would take them."""
    day = month = Instant(-1)
    daily = monthly = refused = 0
    for at, cost in sorted(calls):
        if schedule.day_at(at).starts_at != day:
            day, daily = schedule.day_at(at).starts_at, given_plan.daily
        if schedule.month_at(at).starts_at != month:
            month, monthly = schedule.month_at(at).starts_at, given_plan.monthly
        if cost > daily + monthly:
            refused += 1
            continue
        from_daily = min(daily, cost)
        daily -= from_daily
        monthly -= cost - from_daily
    return refused


@given(CALLS, PLANS, st.sampled_from(["UTC", "Asia/Tokyo", "Africa/Cairo"]), st.integers(1, 31))
def test_the_smallest_plan_refuses_nothing_and_each_smaller_one_does(
    calls: list[tuple[int, int]], amounts: list[tuple[int, int]], zone: str, anchor: int
) -> None:
    """The sums by day say the same as a replay call by call."""
    schedule = Schedule(Calendar(zone, anchor))
    made = [(Instant(NOON - 30 * DAY + at), cost) for at, cost in calls]
    needs: Counter[Instant] = Counter()
    for at, cost in made:
        needs[schedule.day_at(at).starts_at] += cost
    plans = [plan(f"p{number}", *each) for number, each in enumerate(amounts)]
    assert [fits(each, needs, schedule) for each in plans] == [not refusals(each, made, schedule) for each in plans]
    found = smallest_plan(plans, needs, schedule)
    limit = size(found) if found else 10**9
    assert found is None or refusals(found, made, schedule) == 0
    assert all(refusals(each, made, schedule) for each in plans if size(each) < limit)
