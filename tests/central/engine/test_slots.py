"""How long a transaction of an embedded store waits until it begins, and what becomes of one that is too late."""

import asyncio
import contextlib
import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.engine.slots import Slots
from creditmeter.central.engine.write_queue import SHARE

PATIENCE = 0.3
MARGIN = 0.5
"""Seconds that a slow machine may take beside the wait itself."""


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A store with a table, whose callers wait for a moment only."""
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", PATIENCE)
    database = Database(f"sqlite:///{tmp_path / 'central.db'}")
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE things (id)"))
    yield database
    await database.close()


@contextlib.contextmanager
def locked(tmp_path: Path) -> Iterator[None]:
    """Somebody else writes, and does not end."""
    with contextlib.closing(sqlite3.connect(tmp_path / "central.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def add(database: Database) -> None:
    """Write something."""
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO things VALUES (1)"))


async def count(database: Database) -> int:
    """Read something."""
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM things"))).scalar_one())


async def refused(database: Database) -> CentralUnavailable:
    """The fault of a write that did not begin, within its time."""
    began = time.monotonic()
    with pytest.raises(CentralUnavailable) as caught:
        await add(database)
    assert time.monotonic() - began < PATIENCE + MARGIN
    return caught.value


async def test_callers_that_pile_up_fail_together(database: Database, tmp_path: Path) -> None:
    """Each after its own time: nobody waits for the waits of others. Reading goes on, and so does writing afterwards."""
    with locked(tmp_path):
        faults = await asyncio.gather(*(refused(database) for _ in range(12)))
        assert await count(database) == 0
    assert sorted({each.is_crowded for each in faults}) == [False, True]
    assert not any(each.is_lasting for each in faults)
    await add(database)
    assert await count(database) == 1


async def test_what_did_not_begin_in_time_takes_no_effect(database: Database, tmp_path: Path) -> None:
    """SQLite may have the lock a moment later. It is given back."""
    with locked(tmp_path):
        await refused(database)
    await database._slots.close()  # type: ignore[union-attr]  # an embedded store has them
    assert await count(database) == 0
    with locked(tmp_path):  # nobody else has the lock
        pass


async def test_a_caller_that_goes_away_keeps_no_slot(database: Database, tmp_path: Path) -> None:
    """Its transaction is undone when it has begun."""
    with locked(tmp_path):
        caller = asyncio.create_task(add(database))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await add(database)
    assert await count(database) == 1


async def test_a_write_waits_in_the_queue_of_all_processes(database: Database, tmp_path: Path) -> None:
    """But for no longer than a part of its patience, in case that the next one was stopped."""
    began = time.monotonic()
    with (tmp_path / "central.db-queue").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        await add(database)
    assert SHARE * PATIENCE <= time.monotonic() - began < PATIENCE + MARGIN
    assert await count(database) == 1


@pytest.mark.long
async def test_a_locked_file_is_never_taken_for_a_crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes wait for it, and however often they come again: the sidecar has to know that the store is away."""
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 1.0)
    async with contextlib.AsyncExitStack() as stack:
        processes = [Database(f"sqlite:///{tmp_path / 'central.db'}") for _ in range(4)]
        for each in processes:
            stack.push_async_callback(each.close)
        async with processes[0].write() as connection:
            await connection.execute(text("CREATE TABLE things (id)"))
        with locked(tmp_path):
            for _ in range(4):
                faults = await asyncio.gather(*map(add, processes), return_exceptions=True)
                assert [getattr(each, "is_crowded", each) for each in faults] == [False] * 4
        await asyncio.gather(*map(add, processes))
        assert await count(processes[0]) == 4


async def test_a_call_of_this_process_that_takes_long(database: Database) -> None:
    """Others are told that they were in the way, which is no fault of the store."""
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO things VALUES (1)"))
        assert (await refused(database)).is_crowded
    assert await count(database) == 1


async def test_readers_leave_a_connection_to_the_writer(database: Database) -> None:
    """As many as may read at a time do, and one more waits in vain."""
    async with contextlib.AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(database.read())
        await add(database)
        with pytest.raises(CentralUnavailable) as caught:
            await count(database)
        assert caught.value.is_crowded
    assert await count(database) == 1


async def test_an_upgrade_waits_longer(database: Database, tmp_path: Path) -> None:
    """It is not to fail for another process's moment."""
    with locked(tmp_path):
        upgrade = asyncio.create_task(_write_for_long(database))
        await refused(database)
        assert not upgrade.done()
    await upgrade
    assert await count(database) == 1


async def _write_for_long(database: Database) -> None:
    async with database.write_for_long() as connection:
        await connection.execute(text("INSERT INTO things VALUES (1)"))


async def test_a_beginning_that_never_ends_is_left_behind() -> None:
    """As on a disk that does not answer. It keeps its slot, for SQLite does one thing at a time."""
    slots = Slots(1, 0.05)
    disk = asyncio.Event()

    @contextlib.asynccontextmanager
    async def transaction() -> AsyncIterator[None]:
        await disk.wait()
        yield

    async def use() -> None:
        async with slots.to_write() as slot, slot.begun(transaction()):
            pass

    for says in ("locked, or did not answer", "kept it busy"):
        with pytest.raises(CentralUnavailable, match=says):
            await use()
    await slots.close()
    disk.set()
    await slots.close()
    await use()


async def test_a_caller_that_goes_away_at_the_moment_of_the_beginning() -> None:
    """What has begun by then is undone, and its slot is free."""
    slots = Slots(1, 30)
    ended: list[str] = []

    @contextlib.asynccontextmanager
    async def transaction() -> AsyncIterator[None]:
        caller.cancel()
        try:
            yield
        finally:
            ended.append("it")

    async def use() -> None:
        async with slots.to_write() as slot, slot.begun(transaction()):
            pass

    caller = asyncio.create_task(use())
    with pytest.raises(asyncio.CancelledError):
        await caller
    await slots.close()
    assert ended == ["it"]
    async with slots.to_write():
        pass
