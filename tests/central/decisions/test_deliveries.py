"""What is to be delivered: handed out when it is due, to one at a time, and for ever neither kept nor lost."""

import asyncio

import pytest
import structlog
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from creditmeter.central.decisions.deliveries import DAMAGED_FOR, KEPT_FOR, MOST_AT_ONCE, Deliveries
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, MINUTE, SECOND, Instant
from tests.central.accounts import count
from tests.clocks import NOON, ManualClock


async def fill(store: CentralStore, number: int, due_at: int = NOON) -> None:
    """Some deliveries that wait, each of another account."""
    rows = [
        {
            "account_id": f"a{each:05}",
            "delivery_id": f"low-{each}",
            "body": "{}",
            "created_at": NOON,
            "attempts": 0,
            "due_at": due_at + each,
        }
        for each in range(number)
    ]
    async with store.database.write() as connection:
        await connection.execute(insert(tables.alert_deliveries), rows)


async def claim(deliveries: Deliveries, limit: int = 9) -> list[str]:
    """Claim for a minute."""
    return [each.account_id for each in await deliveries.claim(limit, MINUTE)]


async def test_nothing_is_due(store: CentralStore) -> None:
    """Neither without any row, nor before the time of one."""
    assert await claim(store.deliveries) == []
    await fill(store, 1, NOON + 1)
    assert await claim(store.deliveries) == []


async def test_what_has_been_due_longest_comes_first_and_only_once(store: CentralStore, clock: ManualClock) -> None:
    """Until its claim is over."""
    await fill(store, 3)
    clock.advance(5)
    assert await claim(store.deliveries, 2) == ["a00000", "a00001"]
    assert await claim(store.deliveries, 2) == ["a00002"]
    assert await claim(store.deliveries, 2) == []
    clock.advance(MINUTE - 1)
    assert await claim(store.deliveries) == []
    clock.advance(1)
    again = await store.deliveries.claim(9, MINUTE)
    assert [(each.account_id, each.attempt) for each in again] == [("a00000", 2), ("a00001", 2), ("a00002", 2)]


async def _damage(store: CentralStore) -> None:
    async with store.database.write() as connection:
        await connection.exec_driver_sql("UPDATE alert_deliveries SET attempts = 'many' WHERE account_id = 'a00000'")


async def test_one_that_cannot_be_read_does_not_hold_up_the_others(store: CentralStore, clock: ManualClock) -> None:
    """The log names its account; it is tried again a day later. PostgreSQL keeps no text in the place of a number."""
    await fill(store, 3)
    clock.advance(5)
    if not store.database.is_sqlite:
        with pytest.raises(DBAPIError):
            await _damage(store)
        return
    await _damage(store)
    with structlog.testing.capture_logs() as entries:
        assert await claim(store.deliveries, 2) == ["a00001"]
        assert await claim(store.deliveries, 2) == ["a00002"]
        assert await claim(store.deliveries, 2) == []
    assert [(each["event"], each["account_id"]) for each in entries] == [("the central store is damaged", "a00000")]
    async with store.database.write() as connection:
        await connection.exec_driver_sql("UPDATE alert_deliveries SET attempts = 0 WHERE account_id = 'a00000'")
    clock.advance(DAMAGED_FOR)
    assert "a00000" in await claim(store.deliveries)


async def test_many_that_claim_at_once_get_different_ones(central_url: str, store: CentralStore, clock: ManualClock) -> None:
    """As sidecars do, each by connections of its own."""
    await fill(store, 40)
    clock.advance(60)
    others = [CentralStore(central_url, clock.wall) for _ in range(4)]
    claimed = await asyncio.gather(*(claim(each.deliveries, 10) for each in others for _ in range(2)))
    for each in others:
        await each.close()
    found = [account_id for each in claimed for account_id in each]
    assert len(found) == len(set(found))
    rest = await claim(store.deliveries, 99)
    assert sorted(found + rest) == [f"a{number:05}" for number in range(40)]


async def test_a_postponed_delivery_is_due_then(store: CentralStore, clock: ManualClock) -> None:
    """Neither earlier nor when its claim would have been over."""
    await fill(store, 1)
    (delivery,) = await store.deliveries.claim(9, MINUTE)
    assert (delivery.account_id, delivery.body, delivery.attempt) == (AccountId("a00000"), "{}", 1)
    assert (delivery.created_at, delivery.claimed_at) == (NOON, NOON)
    await store.deliveries.postpone(delivery, Instant(NOON + 5 * SECOND))
    clock.advance(5 * SECOND - 1)
    assert await claim(store.deliveries) == []
    clock.advance(1)
    assert await claim(store.deliveries) == ["a00000"]


async def test_a_claim_that_is_over_postpones_nothing(store: CentralStore, clock: ManualClock) -> None:
    """Somebody else has it by now."""
    await fill(store, 1)
    (late,) = await store.deliveries.claim(9, MINUTE)
    clock.advance(MINUTE)
    (mine,) = await store.deliveries.claim(9, MINUTE)
    await store.deliveries.postpone(late, NOON)
    assert await claim(store.deliveries) == []
    await store.deliveries.postpone(mine, clock.wall())
    assert await claim(store.deliveries) == ["a00000"]


async def test_what_is_finished_is_gone(store: CentralStore) -> None:
    """Whoever says so: it was delivered. To say it twice does no harm."""
    await fill(store, 2)
    (delivery,) = await store.deliveries.claim(1, MINUTE)
    for _ in range(2):
        await store.deliveries.finish(delivery)
    assert await count(store, "alert_deliveries") == 1


@pytest.mark.parametrize("number", [3, MOST_AT_ONCE + 5])
async def test_what_nobody_delivers_is_dropped(store: CentralStore, clock: ManualClock, number: int) -> None:
    """Some at a time, once it has been due for days; what is tried again and again is not old."""
    await fill(store, number)
    clock.advance(KEPT_FOR - 1)
    assert await store.deliveries.drop_old(clock.wall()) == 0
    (tried,) = await store.deliveries.claim(1, MINUTE)
    await store.deliveries.postpone(tried, Instant(clock.wall() + SECOND))
    clock.advance(number)
    dropped = [await store.deliveries.drop_old(clock.wall()) for _ in range(3)]
    assert dropped == [min(number - 1, MOST_AT_ONCE), max(0, number - 1 - MOST_AT_ONCE), 0]
    assert await count(store, "alert_deliveries") == 1


async def test_a_clock_that_is_ahead_drops_nothing(store: CentralStore, clock: ManualClock) -> None:
    """Whoever drops says as late as it surely is."""
    await fill(store, 2)
    surely = clock.wall()
    clock.step_wall(400 * DAY)
    assert await store.deliveries.drop_old(surely) == 0
    assert await store.deliveries.drop_old(clock.wall()) == 2


async def test_what_fired_while_the_clock_was_ahead(store: CentralStore, clock: ManualClock) -> None:
    """It is due at once, and tried again as soon as any other, though that moment is said to be far."""
    clock.step_wall(400 * DAY)
    await fill(store, 1)
    clock.step_wall(-400 * DAY)
    assert await claim(store.deliveries) == ["a00000"]
    assert await claim(store.deliveries) == []
    async with store.database.write() as connection:
        await connection.execute(tables.alert_deliveries.update().values(due_at=clock.wall() + 400 * DAY))
    assert await claim(store.deliveries) == ["a00000"]
