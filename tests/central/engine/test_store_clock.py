"""Readings of the central store's clock."""

import pytest
from sqlalchemy import text

from creditmeter.central.engine import clock as engine_clock
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.core.instants import DAY, HOUR, SECOND, Instant, Span
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


@pytest.mark.parametrize("step", [-400 * DAY, -HOUR, HOUR, 400 * DAY])
async def test_a_step_of_a_server_has_to_last(
    new_central_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """What it says for a moment only is not believed. What it goes on saying is, once that has lasted."""
    read = StoreClock(None, clock.boot, Span(30 * SECOND))
    database = Database(new_central_url)

    async def reading() -> Instant:
        monkeypatch.setattr(engine_clock, "_SERVER_NOW", text(f"SELECT {clock.wall()}"))
        async with database.read() as connection:
            return await read.now(connection)

    try:
        assert await reading() == NOON
        clock.step_wall(step)
        assert await reading() == NOON
        clock.step_wall(-step)
        clock.advance(SECOND)
        assert await reading() == NOON + SECOND
        clock.step_wall(step)
        clock.advance(SECOND)
        assert await reading() == NOON + 2 * SECOND
        clock.advance(30 * SECOND)
        assert await reading() == NOON + 32 * SECOND + step
    finally:
        await database.close()
