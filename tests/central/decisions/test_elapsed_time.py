"""The store's elapsed time: for how long a lease is kept that its holder cannot renew, whatever clocks show.

| what happens after the holder was cut off | its lease is lost |
| --- | --- |
| time passes, and another sidecar sends heartbeats | when anything authorised on it is over, and not a microsecond sooner |
| the store's clock is set, forward or back, for a while or for good | at the same moment |
| the clock was wrong already when the lease was renewed, and is put right | at the same moment |
| a sidecar is started while the clock is wrong | at the same moment |
| no sidecar is in touch with the store for longer than a heartbeat may count | as much later |
| sidecars count at once, or one after another | at the same moment: it is the same time |
| a sidecar is started again | what passed until its next heartbeat but one is counted by the others alone |
| the reply to a heartbeat is lost | at the same moment: the next heartbeat counts it |
| an older program renewed it, or knows nothing of elapsed time | as long after the clock says that it is due |
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, select, text

from creditmeter.central.decisions.elapsed_time import elapsed_time
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.elapsed import LONGEST_COUNTED
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Span
from creditmeter.core.settlement.answering import RECLAIM_GRACE, SKEW_MARGIN
from tests.central.accounts import ACME, opened
from tests.central.peer import Peer
from tests.clocks import ManualClock

pytestmark = pytest.mark.both_engines

KEPT_FOR = 10 * MINUTE + SKEW_MARGIN + HOUR + RECLAIM_GRACE
STEPS = [75 * MINUTE, -75 * MINUTE, 400 * DAY, -400 * DAY, SECOND, -SECOND]


async def elapsed(store: CentralStore) -> Span:
    """The store's elapsed time."""
    async with store.database.read() as connection:
        return await elapsed_time(connection)


async def is_lost(store: CentralStore) -> bool:
    """Whether the only lease is taken for lost. A sidecar that reclaims what is lost closes it then."""
    found = await store.exchanges.reclaimable(None, 9)
    assert await store.exchanges.reclaim(ACME) == (found == [ACME])
    async with store.database.read() as connection:
        assert (await connection.execute(select(tables.leases.c.closed))).scalars().all() == [found == [ACME]]
    return found == [ACME]


async def is_lost_after(store: CentralStore, witness: Peer, span: int) -> None:
    """The only lease is lost after so long, and not a microsecond sooner."""
    await witness.counts(span - 1)
    assert not await is_lost(store)
    await witness.counts(1)
    assert await is_lost(store)


async def test_time_that_passes(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """It is counted by heartbeats, from the second one on."""
    await opened(store, permanent=10)
    assert await elapsed(store) == 0
    assert await elsewhere.beat() == 0
    await elsewhere.counts(MINUTE)
    assert await elapsed(store) == MINUTE
    await here.exchange(need=10)
    await is_lost_after(store, elsewhere, KEPT_FOR)


@pytest.mark.parametrize("lasts", [True, False])
@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_is_set(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock, step: int, lasts: bool
) -> None:
    """After the lease was renewed; for a minute, or for good."""
    await opened(store, permanent=10)
    await elsewhere.beat()
    await here.exchange(need=10)
    clock.step_wall(step)
    await elsewhere.counts(MINUTE)
    if not lasts:
        clock.step_wall(-step)
    await is_lost_after(store, elsewhere, KEPT_FOR - MINUTE)


@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_was_wrong_at_the_renewal(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock, step: int
) -> None:
    """It is put right afterwards. No sidecar was in touch with the store before."""
    await opened(store, permanent=10)
    clock.step_wall(step)
    await here.exchange(need=10)
    clock.step_wall(-step)
    await elsewhere.beat()
    await is_lost_after(store, elsewhere, KEPT_FOR)


@pytest.mark.parametrize("step", STEPS)
async def test_a_sidecar_that_is_started_while_the_clock_is_wrong(
    store: CentralStore, here: Peer, clock: ManualClock, step: int
) -> None:
    """It knows of no other time, and the clock stays so for long."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    clock.step_wall(step)
    late = await Peer.registered(store, clock, "late")
    await late.beat()
    await is_lost_after(store, late, KEPT_FOR)


async def test_time_in_which_nobody_is_in_touch(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """It does not count: another sidecar may have renewed its lease just before the next heartbeat."""
    await opened(store, permanent=10)
    await elsewhere.beat()
    await here.exchange(need=10)
    clock.advance(LONGEST_COUNTED)
    await elsewhere.beat()
    clock.advance(LONGEST_COUNTED + 1)
    await elsewhere.beat()
    assert await elapsed(store) == LONGEST_COUNTED
    await is_lost_after(store, elsewhere, KEPT_FOR - LONGEST_COUNTED)


async def test_a_sidecar_that_comes_back_after_an_outage(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """The other one was faster, and renewed its lease: what passed before that is no silence."""
    await opened(store, permanent=10)
    await elsewhere.beat()
    await here.exchange(need=10)
    clock.advance(5 * HOUR)
    await here.exchange()
    await elsewhere.beat()
    await is_lost_after(store, elsewhere, KEPT_FOR)


async def test_sidecars_that_count_in_turn(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """They count the same time. One that was away for a while counts nothing anew."""
    await here.beat()
    await elsewhere.beat()
    for _ in range(6):
        clock.advance(20 * SECOND)
        await here.beat()
        clock.advance(10 * SECOND)
        await elsewhere.beat()
    assert await elapsed(store) == 3 * MINUTE
    await here.beat()
    await here.counts(10 * MINUTE)
    assert await elsewhere.beat() == 13 * MINUTE
    assert await elapsed(store) == 13 * MINUTE


async def test_sidecars_that_count_at_once(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """Each moment counts once, also where the first row is made."""
    for halves in range(4):
        await asyncio.gather(*(each.beat() for each in (here, elsewhere) * 3))
        assert await elapsed(store) == halves * 30 * SECOND
        clock.advance(30 * SECOND)


async def test_a_sidecar_that_is_started_again(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its machine's clock may have been started again as well. It counts from its first heartbeat on."""
    await here.beat()
    await here.counts(MINUTE)
    clock.reboot(HOUR)
    again = Peer(store, clock, here.sidecar_id, here.epoch)
    await again.beat()
    assert await elapsed(store) == MINUTE
    await again.counts(SECOND)
    assert await elapsed(store) == MINUTE + SECOND


async def test_a_heartbeat_whose_reply_is_lost(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """What it counted is counted once."""
    await here.beat()
    clock.advance(30 * SECOND)
    await store.registration.beat(here.sidecar_id, here.epoch, Span(30 * SECOND))
    clock.advance(10 * SECOND)
    assert await here.beat() == 40 * SECOND
    assert await elapsed(store) == 40 * SECOND


async def test_a_lease_that_an_older_program_renewed(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """It writes when, and nothing of elapsed time. What a newer one wrote before says nothing any more."""
    await opened(store, permanent=10)
    await elsewhere.beat()
    await here.exchange(need=10)
    await elsewhere.counts(HOUR)
    async with store.database.write() as connection:
        moved = f"renewed_at = {clock.wall()}, reclaim_at = reclaim_at + {HOUR}"
        await connection.execute(text(f"UPDATE leases SET {moved}"))
    await elsewhere.counts(KEPT_FOR - 1)
    assert await store.exchanges.reclaimable(None, 9) == []
    await elsewhere.counts(1)
    assert await store.exchanges.reclaimable(None, 9) == [ACME]
    assert not await store.exchanges.reclaim(ACME)
    await is_lost_after(store, elsewhere, KEPT_FOR)


async def test_a_lease_of_before_is_counted_once_it_is_due(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """As after an upgrade. The exchange of another sidecar begins the count as well."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    async with store.database.write() as connection:
        await connection.execute(text("UPDATE leases SET lost_after = NULL, lost_after_renewal = NULL"))
    await elsewhere.beat()
    await elsewhere.counts(KEPT_FOR)
    await elsewhere.exchange()
    await is_lost_after(store, elsewhere, KEPT_FOR)


async def test_what_is_lost_is_found_by_an_index(store: CentralStore, here: Peer) -> None:
    """Each heartbeat of each sidecar asks for it, and there are many leases."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    asked: list[tuple[str, Any]] = []

    def seen(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if "FROM leases" in statement:
            asked.append((statement, parameters))

    event.listen(store.database.engine.sync_engine, "before_cursor_execute", seen)
    await store.exchanges.reclaimable(None, 9)
    event.remove(store.database.engine.sync_engine, "before_cursor_execute", seen)
    ((statement, parameters),) = asked
    async with store.database.write() as connection:
        if not store.database.is_sqlite:  # of so few rows it would read all, whatever there is to find them by
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
        plan = [str(row) for row in await connection.exec_driver_sql(f"{explain} {statement}", parameters)]
    for name in ("leases_by_loss", "leases_uncounted"):
        assert [line for line in plan if name in line], plan
    assert not [line for line in plan if "SCAN leases" in line], plan
