"""Changing an account's time zone and anchor day at the central store: what moves, what stays, and how often it may be done."""

import asyncio

import pytest
from sqlalchemy import select

from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.administration import AccountUpdate, UpdateAccount
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.requests import Done
from creditmeter.core.ids import PlanId, RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant
from creditmeter.core.refusals import PlanNotFound, Refusal, TimeZoneChangeTooSoon
from tests.central.accounts import (
    ACME,
    account,
    balance_summary,
    create,
    give,
    lines,
    opened,
    put_plan,
    refund,
    remaining,
    update,
)
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

MIDNIGHT = Instant(NOON + 12 * HOUR)
"""Where the day ends in UTC in which these tests begin, 24 November 2026."""

IN_TOKYO = Instant(MIDNIGHT + 15 * HOUR)
"""The first midnight in Tokyo after it."""

TOKYO = AccountUpdate(time_zone="Asia/Tokyo")
MONTH_ENDS = Instant(MIDNIGHT + 29 * DAY)
"""24 December."""


async def updating(store: CentralStore, wanted: AccountUpdate, request_id: str = "update") -> Done[Account] | Refusal:
    """Ask for a change of the account."""
    return await store.administration.update_account(UpdateAccount(RequestId(request_id), ACME, wanted))


async def resets(store: CentralStore) -> tuple[int | None, ...]:
    """When the daily, the monthly and the permanent bucket are next refilled."""
    return tuple(each.next_reset_at for each in (await balance_summary(store)).buckets)


async def ends(store: CentralStore) -> dict[str, int | None]:
    """When each grant ends, as it is stored."""
    grants = tables.grants
    async with store.database.read() as connection:
        query = select(grants.c.grant_id, grants.c.expires_at).where(grants.c.account_id == ACME)
        return {row.grant_id: row.expires_at for row in await connection.execute(query)}


async def test_the_running_periods_and_their_grants_last_longer(store: CentralStore, clock: ManualClock) -> None:
    """Until the first midnights in Tokyo at or after their ends; the reply and every later look show the new calendar."""
    before = await opened(store, daily=3, monthly=10)
    assert await resets(store) == (MIDNIGHT, MONTH_ENDS, None)
    after = await update(store, "move", TOKYO)
    assert (after.time_zone, after.anchor_day) == ("Asia/Tokyo", before.anchor_day)
    assert await store.administration.get_account(ACME) == after
    month_ends = MONTH_ENDS + 15 * HOUR
    assert await resets(store) == (IN_TOKYO, month_ends, None)
    assert await ends(store) == {"daily-2026-11-24": IN_TOKYO, "monthly-2026-11-24": month_ends}
    clock.advance(IN_TOKYO - NOON - 1)
    assert await remaining(store) == (3, 10, 0)
    clock.advance(1)
    assert await resets(store) == (IN_TOKYO + DAY, month_ends, None)


async def test_every_other_end_moves_too(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Of grants of each kind, of those that are used up, and of those that have not begun; what has no end has none, and
    what has ended stays as it was.
    """
    await opened(store)
    over = await give(store, "over", 1, GrantKind.DAILY)
    clock.advance(DAY)
    given = [
        await give(store, "a day", 2, GrantKind.DAILY),
        await give(store, "a month", 3, GrantKind.MONTHLY),
        await give(store, "a while", 4, expires_at=Instant(MIDNIGHT + 3 * DAY)),
        await give(store, "later", 5, effective_at=Instant(MIDNIGHT + 2 * DAY), expires_at=Instant(MIDNIGHT + 4 * DAY)),
        await give(store, "for ever", 6),
    ]
    await here.exchange(need=2)
    await here.exchange(here.charge("all of the day", 2))
    await update(store, "move", TOKYO)
    moved = await ends(store)
    assert [moved[each.grant_id] for each in given] == [
        IN_TOKYO + DAY,
        MONTH_ENDS + 15 * HOUR,
        IN_TOKYO + 3 * DAY,
        IN_TOKYO + 4 * DAY,
        None,
    ]
    assert moved[over.grant_id] == MIDNIGHT


async def test_a_refund_after_the_old_end_is_given_back(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """The used-up grant goes on too, so nothing of it lapses."""
    await opened(store, daily=3)
    await here.exchange(need=3)
    spent = here.charge("c", 3)
    await here.exchange(spent)
    await update(store, "move", TOKYO)
    clock.advance(MIDNIGHT - NOON + HOUR)
    made = await refund(store, spent.charge_id)
    assert made.posting is not None
    assert (made.posting.restored, made.posting.lapsed) == (3, 0)
    assert await remaining(store) == (3, 0, 0)


async def test_a_new_grant_ends_with_the_longer_day(store: CentralStore, clock: ManualClock) -> None:
    """Also if its end would be a midnight in Tokyo that the running day goes over."""
    await opened(store)
    await update(store, "move", TOKYO)
    for name, end in (("at midnight there", NOON + 3 * HOUR), ("at the old midnight", MIDNIGHT)):
        assert (await give(store, name, 1, expires_at=Instant(end))).expires_at == IN_TOKYO
    assert (await give(store, "a day", 1, GrantKind.DAILY)).expires_at == IN_TOKYO


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AccountUpdate(anchor_day=1), (MIDNIGHT, MIDNIGHT + 37 * DAY)),
        (AccountUpdate(time_zone="America/New_York"), (MIDNIGHT + 5 * HOUR, MONTH_ENDS + 5 * HOUR)),
        (AccountUpdate(time_zone="Asia/Tokyo", anchor_day=1), (IN_TOKYO, MIDNIGHT + 36 * DAY + 15 * HOUR)),
    ],
)
async def test_each_part_moves_what_it_must(store: CentralStore, wanted: AccountUpdate, expected: tuple[int, int]) -> None:
    """An anchor leaves the day alone; both may change at once."""
    await opened(store, daily=3, monthly=10)
    await update(store, "move", wanted)
    assert await resets(store) == (*expected, None)


async def test_a_calendar_changes_once_in_thirty_days(store: CentralStore, clock: ManualClock) -> None:
    """Either part of it; the refusal changes nothing and burns no request id, and it says when it may change again."""
    await opened(store)
    after = await update(store, "move", TOKYO)
    clock.advance(30 * DAY - 1)
    too_soon = TimeZoneChangeTooSoon(Instant(NOON + 30 * DAY))
    assert await updating(store, AccountUpdate(time_zone="UTC")) == too_soon
    assert await updating(store, AccountUpdate(anchor_day=3, overdraft_limit=after.overdraft_limit), "both") == too_soon
    assert await store.administration.get_account(ACME) == after
    clock.advance(1)
    assert (await update(store, "update", AccountUpdate(time_zone="UTC"))).time_zone == "UTC"


async def test_repeating_the_change_is_not_another(store: CentralStore, clock: ManualClock) -> None:
    """It gets its first reply."""
    await opened(store)
    after = await update(store, "move", TOKYO)
    clock.advance(HOUR)
    assert await updating(store, TOKYO, "move") == Done(after, replayed=True)


async def test_naming_what_is_there_burns_nothing(store: CentralStore) -> None:
    """Neither does an update that is refused for another reason, nor one of other things."""
    await opened(store)
    await update(store, "same", AccountUpdate(time_zone="UTC", anchor_day=24))
    assert await updating(store, AccountUpdate(time_zone="Asia/Tokyo", plan_id=PlanId("no"))) == PlanNotFound("no")
    assert (await update(store, "move", TOKYO)).time_zone == "Asia/Tokyo"
    assert (await update(store, "again", TOKYO)).time_zone == "Asia/Tokyo"


async def test_an_anchor_of_0_is_the_day_of_creation(store: CentralStore, clock: ManualClock) -> None:
    """As when an account is made, in the zone that it then has."""
    clock.advance(10 * HOUR)
    await create(store, account(anchor_day=5))
    wanted = AccountUpdate(time_zone="Asia/Tokyo", anchor_day=0)
    assert (await update(store, "move", wanted)).anchor_day == 25


async def test_two_changes_at_once_are_one(store: CentralStore) -> None:
    """Whichever comes first; the other is refused."""
    await opened(store)
    wanted = [AccountUpdate(time_zone=zone) for zone in ("Asia/Tokyo", "Africa/Cairo", "Europe/Berlin")]
    outcomes = await asyncio.gather(*(updating(store, each, f"move {number}") for number, each in enumerate(wanted)))
    assert sorted(type(each).__name__ for each in outcomes) == ["Done", "TimeZoneChangeTooSoon", "TimeZoneChangeTooSoon"]


async def test_a_plan_and_a_calendar_change_together(store: CentralStore, clock: ManualClock) -> None:
    """What the new plan grants at once ends with the longer periods."""
    await opened(store, daily=3)
    await put_plan(store, "pro", 5)
    await update(store, "both", AccountUpdate(time_zone="Asia/Tokyo", plan_id=PlanId("pro")))
    assert await lines(store) == [("GRANTED", 3, 3), ("PLAN_CHANGED", 0, 3), ("GRANTED", 2, 5)]
    assert set((await ends(store)).values()) == {IN_TOKYO}
    clock.advance(MIDNIGHT - NOON)
    assert await remaining(store) == (5, 0, 0), "nothing is given at the old midnight"


async def test_leases_keep_their_end(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """One that runs serves until the old midnight, also at the very moment of the change; the next one lasts until the new."""
    await opened(store, daily=10)
    await here.exchange(need=2)
    await update(store, "move", TOKYO)
    answer = await here.exchange(need=3)
    assert [(each.limit, each.ends_at) for each in answer.leases] == [(5, MIDNIGHT)]
    answer = await elsewhere.exchange(need=1)
    assert [(each.limit, each.ends_at) for each in answer.leases] == [(1, IN_TOKYO)]
    clock.advance(MIDNIGHT - NOON - MINUTE)
    late = here.charge("late", 2)
    clock.advance(2 * MINUTE)
    answer = await here.exchange(late, need=4, leases=here.reports(held=0, idle=True))
    assert [(each.limit, each.ends_at) for each in answer.leases if each.ends_at > clock.wall()] == [(4, IN_TOKYO)]
    assert await remaining(store) == (8, 0, 0)


async def test_a_move_over_the_date_line_gives_no_month_twice(store: CentralStore, clock: ManualClock) -> None:
    """Where the month that ends has not ended in the new zone."""
    await opened(store, monthly=100, time_zone="Pacific/Apia")
    await updating(store, AccountUpdate(time_zone="Pacific/Pago_Pago"))
    for day in range(45):
        clock.advance(DAY)
        await updating(store, AccountUpdate(max_open_reservations=day + 1), f"touch-{day}")
    assert [each for each in await lines(store) if each[0] == "GRANTED"] == [("GRANTED", 100, 100)] * 2


@pytest.mark.long
async def test_very_many_grants_move(store: CentralStore, clock: ManualClock) -> None:
    """Each to the first boundary after its own end."""
    await opened(store)
    given = [await give(store, f"g{number:03}", 1, expires_at=Instant(MIDNIGHT + number * DAY)) for number in range(300)]
    await updating(store, TOKYO)
    assert await ends(store) == {each.grant_id: Instant(IN_TOKYO + number * DAY) for number, each in enumerate(given)}
