"""Reading touches: history, grants and balance agree whenever an account is read, and a reading that has nothing to write stays
one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, event

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant
from creditmeter.core.reports.usage_summary import UsageQuery
from tests.cases import more
from tests.central.accounts import ACME, balance_summary, count, give, history, lines, opened, refund, update, void
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

Read = Callable[[CentralStore], Awaitable[object]]

READS: dict[str, Read] = {
    "history": history,
    "grants": lambda store: store.reader.list_grants(ACME, 50),
    "balance": balance_summary,
    "usage": lambda store: store.usage.summarize(UsageQuery(ACME), 50),
    "forecast": lambda store: store.forecasts.forecast(ACME),
}

reads = pytest.mark.parametrize("read", READS.values(), ids=READS)


def written(store: CentralStore) -> list[str]:
    """The statements that write or wait for a lock, from now on."""
    found: list[str] = []

    def look(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE")) or "FOR UPDATE" in statement:
            found.append(statement)

    event.listen(store.database.engine.sync_engine, "before_cursor_execute", look)
    return found


@reads
async def test_what_midnight_brought_is_written_before_it_is_read(store: CentralStore, clock: ManualClock, read: Read) -> None:
    """First what ended, then what the plan gives, once; and the first grants of an account that nobody touched yet."""
    await opened(store, daily=3, monthly=10)
    await read(store)
    assert await count(store, "history") == 2
    clock.advance(DAY)
    await read(store)
    assert await count(store, "history") == 4
    first = [("GRANTED", 3, 3), ("GRANTED", 10, 13)]
    assert await lines(store) == [*first, ("LAPSED", -3, 10), ("GRANTED", 3, 13)]


@reads
async def test_a_reading_that_has_nothing_to_write_writes_nothing(store: CentralStore, clock: ManualClock, read: Read) -> None:
    """Neither does it wait for those who write: later on the same day, nor days later if no credit came or went."""
    await opened(store, daily=3)
    await balance_summary(store)
    statements = written(store)
    clock.advance(HOUR)
    await read(store)
    assert statements == []
    await update(store, "no plan", AccountUpdate(plan_id=PlanId("")))
    clock.advance(DAY)
    await balance_summary(store)
    clock.advance(DAY)
    statements.clear()
    await read(store)
    assert statements == []


@reads
async def test_an_account_without_credit_is_only_read(store: CentralStore, clock: ManualClock, read: Read) -> None:
    """It has no plan: no midnight brings anything."""
    await opened(store)
    statements = written(store)
    for _ in range(2):
        await read(store)
        clock.advance(DAY)
    assert statements == []


async def test_readers_that_race_at_midnight_write_once(central_url: str, store: CentralStore, clock: ManualClock) -> None:
    """Through several programs."""
    await opened(store, daily=3)
    await balance_summary(store)
    clock.advance(DAY)
    async with CentralStore(central_url, clock.wall) as other:
        await asyncio.gather(*(read(each) for read in READS.values() for each in (store, other)))
    assert await lines(store) == [("GRANTED", 3, 3), ("LAPSED", -3, 0), ("GRANTED", 3, 3)]


@reads
async def test_a_store_that_cannot_be_written_is_not_read_at_midnight(
    central_url: str, store: CentralStore, clock: ManualClock, read: Read
) -> None:
    """Rather than show what no longer is, or what no line explains. As long as nothing is due it is read."""
    await opened(store, daily=3)
    await balance_summary(store)

    def only_read(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only = ON" if store.database.is_sqlite else "SET TRANSACTION READ ONLY")

    async with CentralStore(central_url, clock.wall) as read_only:
        event.listen(read_only.database.engine.sync_engine, "begin", only_read)
        await read(read_only)
        clock.advance(DAY)
        with pytest.raises(CentralUnavailable):
            await read(read_only)
    assert await count(store, "history") == 1


async def test_what_comes_home_later_lapses_when_it_does(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """At midnight all lapses that is on no lease, then comes the new day's credit; each line has the midnight as its moment."""
    await opened(store, daily=8)
    await here.exchange(need=2)
    await elsewhere.exchange(need=3)
    clock.advance(12 * HOUR)
    await balance_summary(store)
    midnight = [("GRANTED", 8, 8), ("LAPSED", -3, 5), ("GRANTED", 8, 13)]
    assert await lines(store) == midnight
    await here.exchange(leases=())
    clock.advance(HOUR)
    await elsewhere.exchange(leases=elsewhere.reports(held=1, idle=False))
    assert await lines(store) == [*midnight, ("LAPSED", -2, 11), ("LAPSED", -2, 9)]
    await elsewhere.exchange(elsewhere.charge("late", 1))
    assert (await lines(store))[5:] == [("CHARGED", -1, 8)]
    lapsed = [each for each in await history(store) if each.type.value == "LAPSED"]
    assert {each.occurred_at for each in lapsed} == {NOON + 12 * HOUR}


@pytest.mark.parametrize("seed", [0, *more(*range(1, 4))])
async def test_history_grants_and_balance_agree_at_every_moment(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock, seed: int
) -> None:
    """The lines add up to the last one's balance, which is what is left of all grants. All but what has not begun and what is
    out on leases of ended days is in the buckets.
    """
    chance = random.Random(seed)  # noqa: S311 - a scenario, no secret
    await opened(store, daily=7, monthly=20, permanent=30, overdraft=5, time_zone="Africa/Cairo")
    charges: list[Charge] = []
    for number in range(50):
        clock.advance(chance.choice((0, MINUTE, HOUR, 9 * HOUR, 30 * HOUR)))
        sidecar = chance.choice((here, elsewhere))
        match chance.choice(("charge", "charge", "lease", "return", "refund", "give", "void", "read")):
            case "charge" if sidecar.leases.get(ACME):
                charges.append(sidecar.charge(f"{number}", 1, excess=chance.choice((0, 0, 4))))
                await sidecar.exchange(charges[-1])
            case "lease":
                await sidecar.exchange(need=chance.randint(1, 5))
            case "return":
                await sidecar.exchange(leases=sidecar.reports(idle=False))
            case "refund" if charges:
                await refund(store, charges.pop().charge_id, name=f"refund {number}")
            case "give":
                end = clock.wall() + chance.randint(1, 50) * HOUR
                await give(store, f"{number}", 2, chance.choice(list(GrantKind)), expires_at=Instant(end))
            case "void":
                now = clock.wall()
                given = await store.reader.list_grants(ACME, 50)
                assert isinstance(given, list)
                left = [each for each in given if each.voided_at is None and not each.has_ended(now)]
                if left:
                    await void(store, chance.choice(left).grant_id, f"void {number}")
            case _:
                pass
        await _assert_agreed(store, clock)


async def _assert_agreed(store: CentralStore, clock: ManualClock) -> None:
    order = random.Random(clock.wall()).sample(("history", "grants", "balance"), 3)  # noqa: S311 - as above
    found = {name: await READS[name](store) for name in order}
    entries, shown = await history(store), await balance_summary(store)
    grants = found["grants"]
    assert isinstance(grants, list)
    left = [each for each in grants if isinstance(each, Grant)]
    balance = entries[-1].balance_after
    assert sum(each.amount for each in entries) == balance == sum(each.remaining for each in left)
    ended = [each.remaining for each in left if each.has_ended(clock.wall())]
    to_come = sum(each.remaining for each in left if each.effective_at > clock.wall())
    assert sum(each.remaining for each in shown.buckets) == balance - sum(ended) - to_come
    assert all(each <= shown.leased for each in ended), "no more than is out is kept from lapsing"
