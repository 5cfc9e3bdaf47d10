"""A central store on each engine, at a clock that the test moves. After each test what is stored must add up."""

from collections.abc import AsyncIterator

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify_database
from tests.central.peer import Peer
from tests.clocks import ManualClock


@pytest.fixture
async def store(central_url: str, clock: ManualClock) -> AsyncIterator[CentralStore]:
    """A store without accounts."""
    async with CentralStore(central_url, clock.wall) as store:
        yield store
        assert (await verify_database(store.database)).problems == ()


@pytest.fixture
async def here(store: CentralStore, clock: ManualClock) -> Peer:
    """A sidecar that is registered."""
    return await Peer.registered(store, clock, "s1")


@pytest.fixture
async def elsewhere(store: CentralStore, clock: ManualClock) -> Peer:
    """Another sidecar that is registered."""
    return await Peer.registered(store, clock, "s2")
