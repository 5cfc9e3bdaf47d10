"""The central store's database in memory: SQLite, run in line.

A transaction never waits in the middle, so between two turns of the loop whatever looks at the database finds it whole. The
engine is shared by all runs of a process, since it is the engine that remembers how its statements are put together.
"""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection as EngineConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.connections import AsyncEngine
from creditmeter.central.store import CentralStore
from creditmeter.core.instants import Instant

_NOWHERE = "sqlite:////nowhere/central.db"


class _InLine(sqlite.Connection):
    """The store's connection, without a thread."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__(lambda: raw, iter_chunk_size=64)  # which is never called: nobody awaits this connection
        self._connection = raw

    def __del__(self) -> None:
        """The database outlives its connections."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    async def close(self) -> None:
        """Leave the database to the next run."""


@cache
def _database() -> tuple[sqlite3.Connection, AsyncEngine]:
    """The one database, and the engine on it."""
    raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    async def connect() -> _InLine:
        return _InLine(raw)

    engine = AsyncEngine.of("sqlite+aiosqlite://", connect, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)

    def begin(connection: EngineConnection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "begin", begin)
    return raw, engine


@cache
def _empty() -> sqlite3.Connection:
    """A database with the schema and nothing else, made by the migrations in a file."""

    async def make(path: Path) -> None:
        async with CentralStore(f"sqlite:///{path}", lambda: Instant(0)) as store:
            await store.migrate()

    empty = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "central.db"
        asyncio.run(make(path))
        with contextlib.closing(sqlite3.connect(path)) as made:
            made.backup(empty)
    return empty


def open_store(now: Callable[[], Instant]) -> tuple[CentralStore, sqlite3.Connection]:
    """A new central store, and the connection behind it to look at what is stored."""
    empty = _empty()
    raw, engine = _database()
    if raw.in_transaction:
        raw.execute("ROLLBACK")
    empty.backup(raw)
    store = CentralStore(_NOWHERE, now)
    store.database.engine = engine
    store.database.connect_observer = None
    store.database._slots = None  # the pool has one connection, and nobody else has the file: transactions take turns by it
    return store, raw


def leave() -> None:
    """Forget the connections of a run, which wait for each other in its event loop."""
    _, engine = _database()
    engine.sync_engine.dispose(close=False)
