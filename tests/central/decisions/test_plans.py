"""Plans: what they give by themselves, and from when on a change of theirs counts."""

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import DAY, HOUR
from tests.central.accounts import ACME, account, count, create, lines, opened, put_plan, remaining
from tests.clocks import ManualClock


def plan(name: str, daily: int, monthly: int = 0) -> Plan:
    """A plan."""
    return Plan(PlanId(name), Microcredits(daily), Microcredits(monthly))


async def test_plans_are_listed_by_id_as_they_stand(store: CentralStore, clock: ManualClock) -> None:
    """Each once, page by page, in its newest version."""
    for name in ("pro", "free", "max"):
        await put_plan(store, name, 1)
    clock.advance(HOUR)
    await put_plan(store, "free", 2, 3)
    assert await store.administration.list_plans(2) == [plan("free", 2, 3), plan("max", 1)]
    assert await store.administration.list_plans(2, "max") == [plan("pro", 1)]
    assert await store.administration.list_plans(2, "pro") == []


async def test_putting_a_plan_again_changes_nothing(store: CentralStore, clock: ManualClock) -> None:
    """It needs no request id."""
    await put_plan(store, "pro", 3)
    clock.advance(HOUR)
    await put_plan(store, "pro", 3)
    assert await count(store, "plans") == 1


async def test_a_changed_plan_counts_from_the_next_period(store: CentralStore, clock: ManualClock) -> None:
    """The running day and month stay what they were, also for an account that was not touched in them yet."""
    await opened(store, daily=3, monthly=10)
    clock.advance(1)
    await put_plan(store, f"plan of {ACME}", 5, 20)
    assert await remaining(store) == (3, 10, 0)
    clock.advance(DAY)
    assert await remaining(store) == (5, 10, 0)
    clock.advance(30 * DAY)
    assert await remaining(store) == (5, 20, 0)


async def test_two_changes_within_one_instant_are_two(store: CentralStore, clock: ManualClock) -> None:
    """The last one counts."""
    await put_plan(store, "pro", 1)
    await put_plan(store, "pro", 2)
    await put_plan(store, "pro", 3)
    clock.advance(DAY)
    assert await store.administration.list_plans(1) == [plan("pro", 3)]
    await create(store, account(plan="pro"))
    assert await remaining(store) == (3, 0, 0)


async def test_a_plan_that_changed_before_an_account_came_counts_at_once(store: CentralStore, clock: ManualClock) -> None:
    """Its first period begins with the plan as it was then."""
    await put_plan(store, "pro", 1)
    clock.advance(HOUR)
    await put_plan(store, "pro", 2)
    clock.advance(HOUR)
    await create(store, account(plan="pro"))
    assert await remaining(store) == (2, 0, 0)


async def test_a_plan_grants_once_a_period(store: CentralStore, clock: ManualClock) -> None:
    """However often the account is read; what is left over lapses, with its line, and then comes the new day's."""
    await opened(store, daily=3, monthly=10)
    for _ in range(3):
        await put_plan(store, "another", 1)
        assert await remaining(store) == (3, 10, 0)
    first = [("GRANTED", 3, 3), ("GRANTED", 10, 13)]
    assert await lines(store) == first
    clock.advance(DAY)
    assert await remaining(store) == (3, 10, 0)
    assert await lines(store) == [*first, ("LAPSED", -3, 10), ("GRANTED", 3, 13)]


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 12), ("Asia/Tokyo", 3), ("America/Los_Angeles", 20)])
async def test_the_day_begins_at_the_accounts_midnight(store: CentralStore, clock: ManualClock, zone: str, hours: int) -> None:
    """To the microsecond: the start is inclusive."""
    await opened(store, daily=3, time_zone=zone)
    clock.advance(HOUR)
    await put_plan(store, f"plan of {ACME}", 5)
    clock.advance((hours - 1) * HOUR - 1)
    assert await remaining(store) == (3, 0, 0)
    clock.advance(1)
    assert await remaining(store) == (5, 0, 0)
