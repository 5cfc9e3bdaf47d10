"""Opening the journal's file."""

import sqlite3
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeVar

import aiosqlite

from creditmeter.journal.schema import TABLES, VERSION

_Result = TypeVar("_Result")


class Durability(Enum):
    """What a reply that says yes survives: FULL a loss of power, PROCESS the death of the process only."""

    FULL = "full"
    PROCESS = "process"


class JournalUnusable(Exception):
    """The journal's file cannot be used; the message says why and what to do. Nothing was changed."""


class Connection(aiosqlite.Connection):
    """A connection that runs a whole transaction in one hop to its thread, which is what makes group commit cheap."""

    async def run(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Call `function(connection, *arguments)` in the connection's thread."""
        result: _Result = await self._execute(function, self._conn, *arguments)  # type: ignore[no-untyped-call]  # the library's own, untyped
        return result


async def connect(path: Path, durability: Durability) -> Connection:
    """Open the journal at `path`, making a new one if there is none.

    Raises:
        JournalUnusable: the file is damaged, is no journal, is of a newer version, or cannot be written.
    """

    def connector() -> sqlite3.Connection:
        return _open(path, durability)

    connection = Connection(connector, iter_chunk_size=64)
    await connection
    return connection


def _open(path: Path, durability: Durability) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path, durability)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise JournalUnusable(
            f"the journal {path} cannot be used: {error}. Restore the file, or move it away only if you accept that charges"
            " not yet settled are lost"
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, durability: Durability) -> None:
    connection.execute("PRAGMA busy_timeout = 2000")
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise JournalUnusable(f"the journal {path} is damaged: {damage}. Restore it from a copy")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability is Durability.FULL else 'NORMAL'}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise JournalUnusable(f"the journal {path} is of a newer version ({version}) than this program ({VERSION})")
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise JournalUnusable(f"{path} is a database, but not a journal of this program")
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
