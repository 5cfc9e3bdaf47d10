"""Whether another connection has changed the embedded store: found soon, and cheap to ask while nobody writes."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from creditmeter.central.engine.sqlite import ASKS_EVERY_SECONDS, ASKS_FOR_SECONDS, Connection, Observer, connect


class Watch:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """What it shows, in seconds."""
        return self.now


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    """A connection to a new store."""
    made = await connect(tmp_path / "central.db")
    yield made
    await made.close()


def write(path: Path) -> None:
    """Change the store, over a connection that stays open no longer than that."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE IF NOT EXISTS some (one)")
        other.execute("INSERT INTO some VALUES (1)")
        other.commit()


async def test_each_change_is_found_once(connection: Connection, tmp_path: Path) -> None:
    """Also after a long rest, at the next question."""
    watch = Watch()
    observer = Observer(connection, tmp_path / "central.db", watch)
    await observer.has_changed()
    for rest in (0.02, 0.02, 3 * ASKS_FOR_SECONDS, 60.0):
        watch.now += rest
        write(tmp_path / "central.db")
        assert await observer.has_changed()
        assert not observer.is_quiet
        assert not await observer.has_changed()


async def test_a_quiet_store_is_asked_now_and_then(connection: Connection, tmp_path: Path) -> None:
    """A change of which the log's time says nothing, as on a disk that takes long, is found by that."""
    watch = Watch()
    path = tmp_path / "central.db"
    write(path)
    observer = Observer(connection, tmp_path / "another.db", watch)  # whose log does not exist
    await observer.has_changed()
    watch.now += ASKS_FOR_SECONDS + 0.1
    await observer.has_changed()
    write(path)
    assert not await observer.has_changed()
    assert observer.is_quiet
    watch.now += ASKS_EVERY_SECONDS
    assert await observer.has_changed()


async def test_nobody_is_woken_while_nobody_writes(connection: Connection, tmp_path: Path) -> None:
    """Until it is time to ask SQLite; a write ends the rest at once."""
    watch = Watch()
    path = tmp_path / "central.db"
    write(path)
    observer = Observer(connection, path, watch)
    for _ in range(2):
        await observer.has_changed()
        watch.now += ASKS_FOR_SECONDS + 0.1
    assert not await observer.has_changed()
    assert observer.is_quiet

    def later() -> None:
        watch.now += ASKS_EVERY_SECONDS

    for end in (later, lambda: write(path)):
        resting = asyncio.create_task(observer.rest(0))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not resting.done()
        end()
        await resting
        await observer.has_changed()


async def test_a_rest_is_ended_from_outside(connection: Connection, tmp_path: Path) -> None:
    """Before the next look at the log, however long that is away. When nobody rests, nothing happens."""
    observer = Observer(connection, tmp_path / "central.db", Watch())
    observer.end_rest()
    for _ in range(2):  # the first question makes the log
        await observer.has_changed()
    for _ in range(2):
        resting = asyncio.create_task(observer.rest(3_600))
        await asyncio.sleep(0)
        assert not resting.done()
        observer.end_rest()
        await resting


async def test_a_rest_may_be_ended(connection: Connection, tmp_path: Path) -> None:
    """No look comes after it."""
    observer = Observer(connection, tmp_path / "central.db", Watch())
    for _ in range(2):  # the first question makes the log
        await observer.has_changed()
    resting = asyncio.create_task(observer.rest(0))
    await asyncio.sleep(0)
    resting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await resting
    assert resting.cancelled()
