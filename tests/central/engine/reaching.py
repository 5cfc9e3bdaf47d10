"""Trying to reach a central store, at a clock that stands still."""

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.instants import Instant
from tests.clocks import NOON


def noon() -> Instant:
    """A clock that stands still."""
    return NOON


async def attempted(store: CentralStore) -> CentralUnavailable | None:
    """Why the store could not be reached just now, if it could not."""
    try:
        await store.ping()
    except CentralUnavailable as error:
        return error
    return None
