"""What the store remembers of a clock that went back, for sidecars that were started later.

| what the clock did | a lease of a sidecar that is cut off |
| --- | --- |
| it went on | is lost when anything authorised on it is over |
| it was behind when the lease was renewed, and was put right | is lost as much later as the clock was behind |
| the same, with no heartbeat before the renewal | the same: the renewal notes it first |
| it was behind before the sidecar was started | the same: its registration notes it |
| it was ahead, and was put right before the lease was renewed | the same: nobody knows which time was wrong |
| it went back by less than a transaction may wait | is lost when it would have been without the step |
| it went back a month ago | is lost when it would have been |
| it went back, and another sidecar notes that after the renewal | is lost as much later |
"""

import asyncio

import pytest
from sqlalchemy import select

from creditmeter.central.decisions.clock_runs import MOST_UNNOTED, NOTED_EVERY, RIGHT_AFTER
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import AccountId, LeaseId
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.settlement.setting_back import MOST_AHEAD
from tests.central.accounts import ACME, opened
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

pytestmark = pytest.mark.both_engines

BEHIND = 2 * HOUR


async def runs(store: CentralStore) -> list[tuple[int, int]]:
    """The runs of the clock that are remembered, from NOON on."""
    query = select(tables.clock_runs.c.first_at, tables.clock_runs.c.last_at).order_by(tables.clock_runs.c.number)
    async with store.database.read() as connection:
        return [(first - NOON, last - NOON) for first, last in await connection.execute(query)]


async def kept_for(store: CentralStore) -> Span:
    """For how long the only lease is kept without a renewal."""
    async with store.database.read() as connection:
        (row,) = await connection.execute(select(tables.leases.c.reclaim_at, tables.leases.c.renewed_at))
    return Span(row[0] - row[1])


async def is_lost(store: CentralStore) -> bool:
    """Whether the leases on the account are taken for lost; a sidecar that asks for them to be reclaimed has them reclaimed."""
    named = await store.exchanges.reclaimable(None, 9) == [ACME]
    doubted = bool(await store.exchanges.doubtful(9))
    assert not (named and doubted)
    await store.exchanges.reclaim(ACME)
    async with store.database.read() as connection:
        assert (await connection.execute(select(tables.leases.c.closed))).scalars().all() == [named]
    return named


async def is_lost_after(store: CentralStore, clock: ManualClock, span: int) -> None:
    """The only lease is lost after so long, and not a microsecond earlier."""
    clock.advance(span - 1)
    assert not await is_lost(store)
    clock.advance(1)
    assert await is_lost(store)


async def test_a_clock_that_goes_on(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """It is one run, which is noted with the heartbeats."""
    await opened(store, permanent=10)
    for _ in range(4):
        clock.advance(NOTED_EVERY // 2)
        await store.registration.beat(here.sidecar_id, here.epoch)
    assert await runs(store) == [(0, 2 * NOTED_EVERY)]
    await here.exchange(need=10)
    await is_lost_after(store, clock, await kept_for(store))


@pytest.mark.parametrize("beats", [True, False])
async def test_a_clock_that_was_behind_at_a_renewal(store: CentralStore, here: Peer, clock: ManualClock, beats: bool) -> None:
    """The lease is as old as it is by the right clock. Its holder is cut off, and no sidecar saw the clock go back."""
    await opened(store, permanent=10)
    await here.exchange(need=10)
    clock.step_wall(-BEHIND)
    if beats:
        await store.registration.beat(here.sidecar_id, here.epoch)
    await here.exchange()
    assert await runs(store) == [(0, 0), (-BEHIND, -BEHIND)]
    clock.step_wall(BEHIND)
    await is_lost_after(store, clock, await kept_for(store) + MOST_UNNOTED)


async def test_a_clock_that_is_behind_before_a_sidecar_is_started(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Another one was there before: the store knows later times."""
    await opened(store, permanent=10)
    clock.step_wall(-BEHIND)
    late = await Peer.registered(store, clock, "late")
    await late.exchange(need=10)
    clock.step_wall(BEHIND)
    await is_lost_after(store, clock, await kept_for(store) + MOST_UNNOTED)
    assert here.leases == {}


async def test_a_clock_that_was_ahead_for_a_while(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """The lease is in doubt until then: who watches it as long by a clock that nobody sets has it reclaimed."""
    await opened(store, permanent=10)
    clock.step_wall(400 * DAY)
    await store.registration.beat(here.sidecar_id, here.epoch)
    clock.step_wall(-400 * DAY)
    await here.exchange(need=10)
    clock.advance(await kept_for(store))
    assert not await is_lost(store)
    ((account_id, lease_id, renewed_at, span),) = await store.exchanges.doubtful(9)
    assert (account_id, lease_id, renewed_at, span) == (ACME, here.lease, NOON, await kept_for(store))
    await store.exchanges.reclaim(ACME, watched=(LeaseId(lease_id),))
    assert not await store.exchanges.doubtful(9)


@pytest.mark.parametrize("step", [SECOND, MOST_AHEAD])
async def test_a_small_step_back(store: CentralStore, here: Peer, clock: ManualClock, step: int) -> None:
    """A transaction reads the clock before it waits for a lock."""
    await opened(store, permanent=10)
    clock.step_wall(-step)
    await store.registration.beat(here.sidecar_id, here.epoch)
    await here.exchange(need=10)
    assert await runs(store) == [(0, 0)]
    await is_lost_after(store, clock, await kept_for(store) + step)  # decisions do not go back so far either


async def test_a_step_back_of_long_ago(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """After a month the clock is right, also if it was ahead by more; the run that it went back from is pruned."""
    await opened(store, permanent=10)
    clock.step_wall(400 * DAY)
    await store.registration.beat(here.sidecar_id, here.epoch)
    clock.step_wall(-400 * DAY)
    await store.registration.beat(here.sidecar_id, here.epoch)
    clock.advance(RIGHT_AFTER)
    await store.registration.beat(here.sidecar_id, here.epoch)
    assert await runs(store) == [(0, 400 * DAY), (0, RIGHT_AFTER)]
    await here.exchange(need=10)
    await is_lost_after(store, clock, await kept_for(store))
    await store.pruning.prune()
    clock.advance(15 * MINUTE)
    assert (await store.pruning.prune())["clock_runs"] == 1
    assert await runs(store) == [(0, RIGHT_AFTER)]


async def test_a_renewal_before_the_run_is_noted(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock, central_url: str
) -> None:
    """By a process that saw no later time. Another one notes the run with its next heartbeat."""
    await opened(store, permanent=10)
    clock.step_wall(-BEHIND)
    async with CentralStore(central_url, clock.wall) as another:
        await Peer(another, clock, here.sidecar_id, here.epoch).exchange(need=10)
    clock.advance(15 * SECOND)
    await store.registration.beat(elsewhere.sidecar_id, elsewhere.epoch)
    clock.step_wall(BEHIND)
    clock.advance(await kept_for(store) + MINUTE)
    assert not await is_lost(store)


async def test_many_leases_in_doubt_are_paged(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Each is named once."""
    names = [AccountId(f"account-{number}") for number in range(5)]
    clock.step_wall(400 * DAY)
    await store.registration.beat(here.sidecar_id, here.epoch)
    clock.step_wall(-400 * DAY)
    for name in names:
        await opened(store, name, permanent=10)
        await here.exchange(account=name, need=10)
    clock.advance(2 * HOUR)
    found = page = await store.exchanges.doubtful(2)
    while page:
        page = await store.exchanges.doubtful(2, after=page[-1][:2])
        found = found + page
    assert [each[0] for each in found] == names


async def test_sidecars_that_find_it_at_once(store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock) -> None:
    """One of them begins the run."""
    await opened(store, permanent=10)
    clock.step_wall(-BEHIND)
    beats = (store.registration.beat(each.sidecar_id, each.epoch) for each in (here, elsewhere) * 3)
    assert await asyncio.gather(*beats) == [None] * 6
    assert await runs(store) == [(0, 0), (-BEHIND, -BEHIND)]
    assert Instant(clock.wall()) == NOON - BEHIND
