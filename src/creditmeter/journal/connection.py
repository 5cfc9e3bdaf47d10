"""Opening the journal's file."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiosqlite
import structlog

from creditmeter.files.descriptors import why_none_left
from creditmeter.journal import older, version_3
from creditmeter.journal.durability import Durability
from creditmeter.journal.faults import JournalUnusable, damaged
from creditmeter.journal.quarantine import accounts_set_aside
from creditmeter.journal.records import last_written
from creditmeter.journal.rows import RowUnreadable, read_identity, read_rate_cards
from creditmeter.journal.schema import APPLICATION_ID, FIRST_WITH_RECORDS, TABLES, VERSION, Progress

BUSY_TIMEOUT_MILLISECONDS = 2_000

FILE_MODE = 0o640
"""Permissions of a new journal, less what the umask takes away; SQLite gives the files beside it the same."""

_UPGRADES = (version_3, older)
"""The ways from older versions, in the order in which a file goes them."""

_Result = TypeVar("_Result")

_log = structlog.get_logger()


class Connection(aiosqlite.Connection):
    """A connection that runs a whole transaction in one hop to its thread, which is what makes group commit cheap."""

    async def run(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Call `function(connection, *arguments)` in the connection's thread."""
        result: _Result = await self._execute(function, self._conn, *arguments)  # type: ignore[no-untyped-call]  # the library's own, untyped
        return result

    def post(self, function: Callable[[sqlite3.Connection], _Result], then: Callable[[_Result | Exception], None]) -> None:
        """Have `function(connection)` called in the thread, then `then` in the event loop, with its result or what it raised.

        A caller of `run` goes on two turns of the loop later, because its future and its task each take one.
        """
        loop, connection = asyncio.get_running_loop(), self._conn

        def call() -> None:
            try:
                result: _Result | Exception = function(connection)
            except Exception as error:  # noqa: BLE001 - it goes to the caller, whatever it is
                result = error
            loop.call_soon_threadsafe(then, result)

        self._tx.put_nowait((None, call))

    async def ended(self) -> None:
        """Wait until the thread has ended: a thread that outlives the event loop complains on stderr."""
        await asyncio.to_thread(self._thread.join)


def log_fault(outcome: object) -> None:
    """For `Connection.post`: log what was raised. Nobody waits for it."""
    if isinstance(outcome, Exception):
        _log.error("a look after the journal's log failed", reason=str(outcome), exc_info=outcome)


async def connect(path: Path, durability: Durability, progress: Progress) -> Connection:
    """Open the journal at `path`, making a new one if there is none. One of an older version is brought up to this one, and
    `progress` is called on the way.

    Raises:
        JournalUnusable: the file is damaged, is no journal, is of a newer version, or cannot be written.
    """

    def connector() -> sqlite3.Connection:
        return _open(path, durability, progress)

    connection = Connection(connector, iter_chunk_size=64)
    try:
        await connection
    except BaseException:
        await connection.ended()
        raise
    return connection


def _open(path: Path, durability: Durability, progress: Progress) -> sqlite3.Connection:
    try:
        if path.is_file() and path.stat().st_size:
            _examine(path)
        return _open_to_write(path, durability, progress)
    except RowUnreadable as error:
        raise JournalUnusable(damaged(path, error)) from error
    except JournalUnusable:
        raise
    except (OSError, sqlite3.Error) as error:
        if (why := why_none_left(error)) is not None:
            raise JournalUnusable(f"the journal {path} cannot be opened: {why}") from error
        problem = str(error).splitlines()[0]
        raise JournalUnusable(
            f"the journal {path} cannot be used: {problem}. Restore the file, or move it away only if you accept that charges"
            " not yet settled are lost"
        ) from error
    except Exception as error:
        raise JournalUnusable(damaged(path, first_line(error))) from error


def _examine(path: Path) -> None:
    """Refuse a file that is damaged or no journal of this version, whatever row the damage is in. The file is only read."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = _text_of
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        damage = file_damage(connection)
        if damage is not None:
            raise JournalUnusable(damaged(path, damage))
        version = version_of(connection, path)
        if version is not None:
            _examine_rows(connection, version)


def file_damage(connection: sqlite3.Connection) -> str | None:
    """What SQLite says is wrong with the file; None if nothing is."""
    damage: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return None if damage == "ok" else damage.splitlines()[-1]


def version_of(connection: sqlite3.Connection, path: Path) -> int | None:
    """The version of the journal at `path`; None if it has no tables yet, because a process died before it could make them.

    Raises:
        JournalUnusable: it is no journal, or a newer one.
    """
    version = version_3.stored_version(connection)
    if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalUnusable(f"{path} is a database, but not a journal of this program")
    if version > VERSION:
        raise JournalUnusable(f"the journal {path} is of a newer version ({version}) than this program ({VERSION})")
    return version


def is_being_upgraded(connection: sqlite3.Connection) -> bool:
    """Whether a process was killed while it brought a journal of an older version up to this one. The next start goes on."""
    return any(each.is_unfinished(connection) for each in _UPGRADES)


def _examine_rows(connection: sqlite3.Connection, version: int) -> None:
    """Read who the sidecar is, whose rows are in quarantine, and the rate cards; of an older version all that can still change,
    since it is written anew.

    Raises:
        RowUnreadable: a row is not as it was written.
    """
    if version < FIRST_WITH_RECORDS:
        older.examine(connection, version)
        return
    if version < VERSION:
        version_3.examine(connection)
        older.examine_left(connection)
        return
    examine_tables(connection)
    read_identity(connection)
    accounts_set_aside(connection)
    read_rate_cards(connection)


def examine_tables(connection: sqlite3.Connection) -> None:
    """Look whether the tables are those that this program makes.

    Raises:
        RowUnreadable: one is not.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as made:
        made.executescript(TABLES)
        for (table,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            if _columns(connection, table) != _columns(made, table):
                raise RowUnreadable("sqlite_master", table, "it is gone, or has other columns")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[object, ...]]:
    """The columns of a table, each with its type, and whether it may be NULL and is in the key."""
    return {name: tuple(rest) for _, name, *rest in connection.execute(f"PRAGMA table_info({table})")}


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that only reads, for any thread. The journal exists."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text_of
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
    return connection


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is damaged, or no database any more."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_blank(path: Path) -> bool:
    """Whether no sidecar took its identity in the file at `path`: it is missing or empty, or a process died right after it
    had made it. A file that cannot be read is not blank. The file is only read.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return True
    try:
        with contextlib.closing(open_still(path)) as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return True
            return connection.execute("SELECT 1 FROM identity").fetchone() is None
    except sqlite3.Error:
        return False


def last_record(path: Path) -> int | None:
    """The number of the last record of the journal at `path`; None where that cannot be read. The file is only read."""
    try:
        with contextlib.closing(open_still(path)) as connection:
            return last_written(connection)[0]
    except (sqlite3.Error, TypeError, ValueError):
        return None


def bytes_on_disk(path: Path) -> int:
    """How many bytes a journal takes, with its log; 0 where the system does not know."""
    total = 0
    for each in (path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            total += each.stat().st_size
    return total


def open_still(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and makes no log where there is none: a missing one is to be found out."""
    if path.with_name(f"{path.name}-wal").exists():
        return open_to_read(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
    connection.text_factory = _text_of
    return connection


def _text_of(cell: bytes) -> str:
    """A text in a cell, even if it is none: one flipped bit makes text of bytes, and the row has to say whose it is all the
    same.
    """
    return cell.decode(errors="surrogateescape")


def _open_to_write(path: Path, durability: Durability, progress: Progress) -> sqlite3.Connection:
    _make(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text_of
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability is Durability.FULL else 'NORMAL'}")
        version = version_3.stored_version(connection)
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
        elif version < FIRST_WITH_RECORDS:
            older.begin(connection, version)
        elif version < VERSION:
            version_3.begin(connection)
        elif connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
            connection.execute(f"PRAGMA user_version = {VERSION}")
        for each in _UPGRADES:
            if each.is_unfinished(connection):
                each.finish(connection, progress)
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the journal's `Checkpoints` make them
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make the file with `FILE_MODE`, before SQLite makes it readable for all users. SQLite reports it if the file cannot be
    made. A file that is there is not opened: closing it would drop every lock that this process has on it.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
