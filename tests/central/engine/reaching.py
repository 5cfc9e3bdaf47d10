"""Trying to reach a central store, at a clock that stands still."""

from sqlalchemy import select

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.instants import Instant
from tests.clocks import NOON


def noon() -> Instant:
    """A clock that stands still."""
    return NOON


async def reach(store: CentralStore) -> None:
    """Have the store answer, whatever tables it has."""
    async with store.database.read() as connection:
        await connection.execute(select(1))


async def attempted(store: CentralStore) -> CentralUnavailable | None:
    """Why the store could not be reached just now, if it could not."""
    try:
        await reach(store)
    except CentralUnavailable as error:
        return error
    return None
