"""Readings of the central store's clock."""

import pytest

from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.core.instants import SECOND, Instant, Span
from tests.clocks import NOON, ManualClock

pytestmark = pytest.mark.both_engines


async def test_each_reading_is_told_with_its_moments(new_central_url: str, clock: ManualClock) -> None:
    """So that the answer can be set beside the boot-time clock."""
    told: list[tuple[Instant, Span, Span]] = []

    def wall() -> Instant:
        clock.advance(3 * SECOND)
        return NOON

    read = StoreClock(wall, clock.boot)
    read.on_reading.append(lambda *reading: told.append(reading))
    database = Database(new_central_url)
    asked = clock.boot()
    try:
        async with database.read() as connection:
            assert await read.now(connection) == NOON
    finally:
        await database.close()
    assert told == [(NOON, asked, asked + 3 * SECOND)]


async def test_a_servers_own_clock_is_told_too(postgres_url: str) -> None:
    """It is the one that counts for all sidecars."""
    told: list[Instant] = []
    read = StoreClock(None)
    read.on_reading.append(lambda said, _asked, _answered: told.append(said))
    database = Database(postgres_url)
    try:
        async with database.read() as connection:
            said = await read.now(connection)
    finally:
        await database.close()
    assert told == [said]
