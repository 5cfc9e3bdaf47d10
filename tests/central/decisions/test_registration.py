"""Registration: each epoch is issued to one process, by compare-and-set."""

import asyncio

from creditmeter.central.store import CentralStore
from creditmeter.core.credit.messages import Fenced, Registered
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.instants import DAY
from tests.central.accounts import balance_summary, opened
from tests.central.peer import Peer
from tests.clocks import ManualClock

SIDECAR = SidecarId("s1")


async def test_a_new_sidecar_is_issued_its_first_epoch(store: CentralStore) -> None:
    """It has no leases yet."""
    assert await store.registration.register(SIDECAR, 0, "a") == Registered(1, ())


async def test_a_restart_is_issued_the_next_epoch(store: CentralStore) -> None:
    """It names its last epoch."""
    for epoch in range(3):
        assert await store.registration.register(SIDECAR, epoch, f"start {epoch}") == Registered(epoch + 1, ())


async def test_a_lost_answer_is_given_again(store: CentralStore) -> None:
    """The same start asks the same question, with the same nonce."""
    for _ in range(3):
        assert await store.registration.register(SIDECAR, 0, "a") == Registered(1, ())


async def test_a_copied_journal_is_found_out(store: CentralStore) -> None:
    """Whichever of the two comes first goes on; the other is fenced, and so it stays."""
    await store.registration.register(SIDECAR, 0, "a")
    assert await store.registration.register(SIDECAR, 1, "copy") == Registered(2, ())
    for _ in range(2):
        assert await store.registration.register(SIDECAR, 1, "original") == Fenced(SIDECAR)
    assert await store.registration.register(SIDECAR, 2, "copy, again") == Registered(3, ())
    assert await store.registration.register(SIDECAR, 1, "copy") == Fenced(SIDECAR), "its nonce is of an earlier epoch"


async def test_an_epoch_that_was_never_issued_is_fenced(store: CentralStore) -> None:
    """A journal from another store's time does not get in here, and leaves nothing."""
    assert await store.registration.register(SIDECAR, 7, "a") == Fenced(SIDECAR)
    assert await store.registration.register(SIDECAR, 0, "a") == Registered(1, ())


async def test_a_sidecar_is_told_where_it_has_leases(
    store: CentralStore, here: Peer, elsewhere: Peer, clock: ManualClock
) -> None:
    """Each account once, also those of ended days; not where they are closed, and not those of others."""
    names = [AccountId(f"account{number}") for number in range(3)]
    for name in names:
        await opened(store, name, permanent=10)
        await here.exchange(account=name, need=2)
    await elsewhere.exchange(account=names[2], need=2)
    clock.advance(DAY)
    await here.exchange(account=names[0], need=2)
    await here.exchange(account=names[2], leases=())
    assert await store.registration.register(SIDECAR, 1, "next") == Registered(2, (names[0], names[1]))
    assert (await balance_summary(store, names[1])).leased == 2, "until it has sent a message, it is not known what is held"


async def test_of_two_that_come_first_at_once_one_is_registered(
    store: CentralStore, central_url: str, clock: ManualClock
) -> None:
    """A journal that was copied before it ever registered is found out too."""
    async with CentralStore(central_url, clock.wall) as other:
        for number in range(20):
            sidecar = SidecarId(f"s{number}")
            outcomes = await asyncio.gather(
                store.registration.register(sidecar, 0, "original"), other.registration.register(sidecar, 0, "copy")
            )
            assert sorted(outcomes, key=repr) == [Fenced(sidecar), Registered(1, ())]
