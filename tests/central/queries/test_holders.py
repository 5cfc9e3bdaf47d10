"""Who holds what: sidecars and leases as operators see them, on each engine."""

from sqlalchemy import update

from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.holders import AccountLease, LeaseCursor, SeenSidecar, SidecarCursor, SidecarState
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import DAY, MINUTE, SECOND, Instant
from tests.central.accounts import ACME, opened
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

OTHER = AccountId("other")
TTL = 10 * MINUTE


async def sidecars(store: CentralStore, state: SidecarState | None = None) -> list[tuple[str, str]]:
    """The sidecars that are listed, and how they stand."""
    return [(each.sidecar_id, each.state.value) for each in await store.listing.sidecars(100, state)]


async def the(store: CentralStore, name: str) -> SeenSidecar:
    """One sidecar."""
    (found,) = [each for each in await store.listing.sidecars(100) if each.sidecar_id == name]
    return found


async def leases(store: CentralStore, account: AccountId | None = None, sidecar: str | None = None) -> list[tuple[str, str]]:
    """The leases that are listed: of which account, and which sidecar has them."""
    found = await store.listing.leases(100, account, SidecarId(sidecar) if sidecar else None)
    return [(each.account_id, each.lease.sidecar_id) for each in found]


# Sidecars.


async def test_nobody_ever_came(store: CentralStore) -> None:
    """Nothing is listed."""
    assert await store.listing.sidecars(10) == []
    assert await store.listing.leases(10) == []


async def test_what_a_sidecar_has_is_summed_over_its_accounts(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """As of its last report about each; what others have does not count."""
    for account in (ACME, OTHER):
        await opened(store, account, permanent=100)
        await here.exchange(account=account, need=10)
    await elsewhere.exchange(need=7)
    await here.exchange(leases=here.reports(held=3, unposted=2))
    await here.exchange(account=OTHER, leases=here.reports(OTHER, held=4))
    found = await the(store, "s1")
    assert (found.epoch, found.state, found.leases) == (1, SidecarState.ACTIVE, 2)
    assert (found.out, found.held, found.unposted) == (20, 7, 2)
    assert (found.registered_at, found.last_seen_at) == (NOON, NOON)
    assert (await the(store, "s2")).out == 7


async def test_what_a_sidecar_has_may_be_more_than_an_int64_says(store: CentralStore, here: Peer) -> None:
    """Sums are exact, whatever the engine adds up by itself."""
    for account in (ACME, OTHER):
        await opened(store, account, permanent=100)
        await here.exchange(account=account, need=10)
    most = 2**63 - 1
    await put_all_leases(store, limit_microcredits=most, held_microcredits=most, unposted_microcredits=most)
    found = await the(store, "s1")
    await put_all_leases(store, limit_microcredits=10, held_microcredits=0, unposted_microcredits=0)
    assert (found.state, found.out, found.held, found.unposted) == (SidecarState.ACTIVE, 2 * most, 2 * most, 2 * most)


async def test_a_sidecar_falls_silent_and_is_gone(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """After a TTL it is not active any more. Silent is one with something out: that is what an operator looks for."""
    await opened(store, permanent=100)
    await here.exchange(need=10)
    clock.advance(TTL - 1)
    assert await sidecars(store) == [("s1", "ACTIVE")]
    clock.advance(1)
    assert await sidecars(store) == [("s1", "SILENT")]
    await here.exchange(leases=here.reports(idle=False))
    assert await sidecars(store) == [("s1", "ACTIVE")]
    clock.advance(TTL)
    assert await sidecars(store) == [("s1", "GONE")]
    found = await the(store, "s1")
    assert (found.last_seen_at, found.out, found.leases) == (NOON + TTL, 0, 1)


async def test_a_longer_ttl_is_a_longer_silence(store: CentralStore, clock: ManualClock) -> None:
    """Each sidecar says its own."""
    await Peer.registered(store, clock, "s1")
    await Peer.registered(store, clock, "s2")
    await put(store, "s2", lease_ttl=2 * TTL)
    clock.advance(TTL)
    assert await sidecars(store) == [("s2", "ACTIVE"), ("s1", "GONE")]
    assert await sidecars(store, SidecarState.ACTIVE) == [("s2", "ACTIVE")]
    assert await sidecars(store, SidecarState.GONE) == [("s1", "GONE")]
    assert await sidecars(store, SidecarState.SILENT) == []


async def test_whoever_was_seen_last_comes_first(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """Whether it renewed a lease or only said that it is there."""
    await opened(store, permanent=100)
    clock.advance(SECOND)
    await here.exchange(need=10)
    assert await sidecars(store) == [("s1", "ACTIVE"), ("s2", "ACTIVE")]
    await put(store, "s2", last_seen_at=NOON + 2 * SECOND)
    assert await sidecars(store) == [("s2", "ACTIVE"), ("s1", "ACTIVE")]
    clock.advance(2 * SECOND)
    await here.exchange()
    assert [each.last_seen_at - NOON for each in await store.listing.sidecars(10)] == [3 * SECOND, 2 * SECOND]


async def test_sidecars_come_in_pages(store: CentralStore, clock: ManualClock) -> None:
    """Each once, also those that were seen at the same moment."""
    for number in range(7):
        clock.advance(number % 3)
        await Peer.registered(store, clock, f"s{number}")
    everyone = await store.listing.sidecars(100)
    assert [each.sidecar_id for each in everyone] == ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]
    paged: list[SeenSidecar] = []
    while page := await store.listing.sidecars(
        2, after=SidecarCursor(paged[-1].last_seen_at, paged[-1].sidecar_id) if paged else None
    ):
        assert len(page) <= 2
        paged += page
    assert paged == everyone


async def put_all_leases(store: CentralStore, **values: int) -> None:
    """Change what is stored of every lease."""
    async with store.database.write() as connection:
        await connection.execute(update(tables.leases).values(**values))


async def put(store: CentralStore, name: str, **values: int) -> None:
    """Change what is stored of a sidecar."""
    table = tables.sidecars
    async with store.database.write() as connection:
        await connection.execute(update(table).where(table.c.sidecar_id == name).values(**values))


# Leases.


async def test_a_lease_is_shown_as_it_was_last_reported(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """With its moments: opened, renewed, and the ends that it has."""
    await opened(store, permanent=100)
    await here.exchange(need=10)
    clock.advance(MINUTE)
    await here.exchange(here.charge("c", 4), leases=here.reports(held=3, unposted=2))
    (found,) = await store.listing.leases(10)
    lease = found.lease
    assert (found.account_id, lease.lease_id, lease.sidecar_id) == (ACME, here.lease, "s1")
    assert (lease.out, lease.held, lease.unposted, lease.idle) == (6, 3, 2, 1)
    assert (lease.opened_at, lease.renewed_at) == (NOON, NOON + MINUTE)
    assert lease.ends_at == NOON + DAY // 2
    async with store.database.read() as connection:
        row = (await connection.execute(tables.leases.select())).mappings().one()
    assert (lease.trusted_until, lease.reclaim_at) == (row["trusted_until"], row["reclaim_at"])


async def test_leases_of_an_account_or_of_a_sidecar(
    store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer
) -> None:
    """The last opened first; both filters may be given."""
    for account in (ACME, OTHER):
        await opened(store, account, permanent=100)
        for sidecar in (here, elsewhere):
            clock.advance(SECOND)
            await sidecar.exchange(account=account, need=10)
    assert await leases(store) == [("other", "s2"), ("other", "s1"), ("acme", "s2"), ("acme", "s1")]
    assert await leases(store, ACME) == [("acme", "s2"), ("acme", "s1")]
    assert await leases(store, None, "s1") == [("other", "s1"), ("acme", "s1")]
    assert await leases(store, OTHER, "s1") == [("other", "s1")]
    assert await leases(store, AccountId("nobody")) == []


async def test_a_closed_lease_is_not_shown(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """Nothing is out on it, and nothing will be."""
    await opened(store, permanent=100)
    await here.exchange(need=10)
    clock.advance(DAY)
    await here.exchange(leases=here.reports(idle=False), need=5)
    (found,) = await store.listing.leases(10)
    assert found.lease.opened_at == NOON + DAY
    assert (await the(store, "s1")).leases == 1


async def test_leases_come_in_pages(store: CentralStore, clock: ManualClock, here: Peer, elsewhere: Peer) -> None:
    """Each once, also those that were opened at the same moment."""
    for number in range(4):
        account = AccountId(f"a{number}")
        await opened(store, account, permanent=100)
        clock.advance(number % 2)
        for sidecar in (here, elsewhere):
            await sidecar.exchange(account=account, need=1)
    everything = await store.listing.leases(100)
    assert len(everything) == 8
    assert [each.lease.opened_at for each in everything] == sorted((each.lease.opened_at for each in everything), reverse=True)
    paged: list[AccountLease] = []
    while page := await store.listing.leases(3, after=_cursor(paged)):
        assert len(page) <= 3
        paged += page
    assert paged == everything


def _cursor(paged: list[AccountLease]) -> LeaseCursor | None:
    """Where the pages so far ended."""
    if not paged:
        return None
    last = paged[-1]
    return LeaseCursor(Instant(last.lease.opened_at), last.account_id, last.lease.lease_id)
