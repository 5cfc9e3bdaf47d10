"""Looking at a journal's file, and holding up the thread that writes it."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from creditmeter.core.ids import SidecarId
from creditmeter.journal.connection import Durability
from creditmeter.journal.journal import Journal

HERE = SidecarId("s1")


@contextlib.asynccontextmanager
async def journal_at(path: Path, durability: Durability = Durability.FULL) -> AsyncIterator[Journal]:
    """A journal that is open for the length of a block."""
    journal = await Journal.open(path, HERE, durability)
    try:
        yield journal
    finally:
        await journal.close()


def rows(path: Path, table: str) -> list[str]:
    """The ids of what is on disk in a table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]


def run(path: Path, script: str) -> None:
    """Do something to a file behind the journal's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


@contextlib.asynccontextmanager
async def held_up(journal: Journal) -> AsyncIterator[None]:
    """Keep the thread of the journal's connection busy for the length of a block, as a slow disk does."""
    released = threading.Event()
    busy = asyncio.ensure_future(journal._connection.run(lambda _connection: released.wait()))
    await asyncio.sleep(0)  # until it is in the thread's queue
    try:
        yield
    finally:
        released.set()
        await busy


async def until_taken(journal: Journal) -> None:
    """Return when the writer has taken the group that was gathered."""
    while journal._gathering:
        await asyncio.sleep(0)
