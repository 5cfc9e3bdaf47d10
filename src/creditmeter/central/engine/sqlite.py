"""Connections to the embedded central store: SQLite, with one hop to its thread for each statement.

SQLite runs in a thread of its own. The driver, aiosqlite, hops there four times for each statement: to create a cursor,
execute, fetch and close. Here one hop runs a statement and fetches all of its rows.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.engine.write_lock import LockingConnection
from creditmeter.files.checkpoints import Checkpoints
from creditmeter.files.condition import is_written_over, unwritable
from creditmeter.files.placement import Placement

PATIENCE_SECONDS = 1.75
"""Longest wait until a transaction that a caller waits for has begun: for its slot in this process, for the file, for SQLite's
lock. A caller waits 2 s in all, so that it learns from the store itself that this is locked.
"""

LONG_PATIENCE_SECONDS = 10.0
"""Longest wait for SQLite's lock of what is done seldom and must not fail for a moment's sake: an upgrade of the schema, while
another process may be at the same, and `creditmeter verify`. No caller of a sidecar waits for these.
"""

FILE_MODE = 0o640
"""Permissions of a new store's file, before the umask. SQLite gives the files beside it the same permissions."""

_ASK_AGAIN_SECONDS = 0.01

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_TEXT = "Could not decode to UTF-8"
"""The beginning of the driver's message about stored text that is not UTF-8. That error has no code."""

_UNUSABLE = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    *_DAMAGED,
}
"""What will not pass by itself: no such file, no database, not this program's, not writable."""


class Connection(aiosqlite.Connection):
    """A connection whose cursors hop once for each statement: see this module."""

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed."""
        return self._connection is not None

    def cursor(self) -> "Cursor":  # type: ignore[override]  # what SQLAlchemy asks of a cursor, and no more
        """A new cursor, without a hop."""
        return Cursor(self)


class Cursor:
    """What SQLAlchemy needs of a driver's cursor."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._connection = connection
        self._rows: Iterable[Any] = ()

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Self:
        """Run a statement and fetch all of its rows."""
        return await self._run(sqlite3.Cursor.execute, sql, parameters)

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Self:
        """Run a statement for each set of parameters."""
        return await self._run(sqlite3.Cursor.executemany, sql, parameters)

    async def fetchall(self) -> Iterable[Any]:
        """The rows of the last statement."""
        return self._rows

    async def close(self) -> None:
        """Do nothing: no cursor stays open in the thread."""

    async def _run(self, method: Callable[..., sqlite3.Cursor], sql: str, parameters: Iterable[Any]) -> Self:
        await self._connection._execute(self._run_there, method, sql, parameters)  # type: ignore[no-untyped-call]  # noqa: SLF001 - the driver's own hop
        return self

    def _run_there(self, method: Callable[..., sqlite3.Cursor], sql: str, parameters: Iterable[Any]) -> None:
        """Run in the connection's thread. A reading that meets text that is none is repeated, and has its bytes instead."""
        try:
            self._run_and_fetch(method, sql, parameters)
        except sqlite3.OperationalError as error:
            if not str(error).startswith(_NO_TEXT) or not sql.startswith(("SELECT", "WITH")):
                raise
            connection = self._connection._conn  # noqa: SLF001 - the connection behind it
            connection.text_factory = _text_of
            try:
                self._run_and_fetch(method, sql, parameters)
            finally:
                connection.text_factory = str

    def _run_and_fetch(self, method: Callable[..., sqlite3.Cursor], sql: str, parameters: Iterable[Any]) -> None:
        cursor = self._connection._conn.cursor()  # noqa: SLF001 - the connection behind it
        try:
            method(cursor, sql, parameters)
            self._rows = cursor.fetchall() if cursor.description else ()
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


_ANY_READ = "SELECT 1 FROM sqlite_master LIMIT 1"


class OpenFiles:
    """The connections of this process to one file, and whether that is still where it was first opened.

    SQLite makes the files beside a database anew after its last connection was closed, of whatever process. So those count
    while a connection is open that has read: from then on they stay. The database itself counts from the first connection on.
    """

    def __init__(self, path: Path, *, read_only: bool = False, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._path = path
        self._read_only = read_only
        self._patience_seconds = patience_seconds
        self._is_written_over = False
        self._database: Placement | None = None
        self._placements: weakref.WeakKeyDictionary[Connection, Placement] = weakref.WeakKeyDictionary()
        self._checkpoints: Checkpoints | None = None

    async def connect(self) -> Connection:
        """Open the file once more."""
        connection = await connect(self._path, read_only=self._read_only, patience_seconds=self._patience_seconds)
        with contextlib.suppress(sqlite3.Error):  # it is told by the first statement
            await connection.execute_fetchall(_ANY_READ)
        self._database = self._database or Placement(self._path, ("",))
        self._placements[connection] = Placement(self._path)
        return connection

    def missing(self) -> Path | None:
        """The first file that was deleted or replaced since it was opened; None if there is none."""
        known = [each for connection, each in self._placements.items() if connection.is_open]
        if self._database is not None:
            known.append(self._database)
        return next((path for each in known if (path := each.missing()) is not None), None)

    async def check_disk(self) -> None:
        """Find out what SQLite does not notice before it writes, or reads again what it remembers.

        Raises:
            CentralUnavailable: the file was written over, or the file system is read-only or full.
        """
        self._is_written_over = await asyncio.to_thread(is_written_over, self._path)
        self.check_header()
        reason = await asyncio.to_thread(unwritable, self._path)
        if reason is not None:
            raise CentralUnavailable(reason)

    def check_header(self) -> None:
        """Refuse a file that was written over when it was last looked at: SQLite goes on with the pages that it remembers.

        Raises:
            CentralUnavailable: it was.
        """
        if self._is_written_over:
            raise CentralUnavailable(f"{self._path} is not a database any more", is_lasting=True, is_damage=True)

    async def keep_log_short(self) -> None:
        """Look after the log of the file, after a transaction that wrote and before the next one. A file that was replaced, or
        that no connection was opened to, is left alone.
        """
        if self._placements and self.missing() is None:
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # the next transaction meets what is wrong with the file
            self._checkpoints = self._checkpoints or Checkpoints(self._path)
            self._checkpoints.look()

    async def close(self) -> None:
        """End what is done beside the connections, before these are closed."""
        checkpoints, self._checkpoints = self._checkpoints, None
        if checkpoints is not None:
            await asyncio.to_thread(checkpoints.close)


async def connect(path: Path, *, read_only: bool = False, patience_seconds: float = PATIENCE_SECONDS) -> Connection:
    """Open the file. A missing file is created, unless it is opened `read_only`. The thread does not keep the process alive.
    Its statements wait for a lock that another process has, for `patience_seconds` at most.
    """
    opens = open_to_read if read_only else _open
    connection = Connection(lambda: opens(path, patience_seconds), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 - the driver has no setting for it
    try:
        await connection
    except BaseException:
        # A thread that outlives the event loop complains on stderr.
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001 - the driver has no other way to wait for it
        raise
    return connection


def _open(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> sqlite3.Connection:
    """Open the file for writing. Statements begin transactions, and not the driver on its own."""
    _make(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=LockingConnection)
    try:
        connection.wait_for(patience_seconds)
        _use_wal(connection, patience_seconds)
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # `Database` has them made
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Create the file before SQLite does, which would let everybody read it. If that fails, SQLite reports why.

    A file that is there is not opened: closing it would drop every lock that this process has on it, those of other connections
    too (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))


def _use_wal(connection: sqlite3.Connection, patience_seconds: float) -> None:
    """Switch the file to WAL mode, trying again until `patience_seconds` are over.

    If several connections open a new file at the same time, SQLite may refuse all but one at once, whatever their time-outs,
    because each holds a lock that another one waits for.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_ASK_AGAIN_SECONDS)
        else:
            return


def open_to_read(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> sqlite3.Connection:
    """Open the file for reading.

    SQLite creates an index of changes beside the file (https://www.sqlite.org/wal.html#readonly). Where no file may be created
    and no connection has the file open, it is opened as one that never changes.
    """
    is_still = not path.with_name(f"{path.name}-wal").exists() and not os.access(path.parent, os.W_OK)
    how = "immutable=1" if is_still else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {patience_seconds * 1_000:.0f}")
    return connection


def _text_of(cell: bytes) -> str | bytes:
    """A text in a cell; its bytes if it is none any more. So a row that is damaged is read, and says whose it is."""
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell


ASKS_FOR_SECONDS = 0.25
"""How long after the last write SQLite is asked each time. A write is visible when it is on disk, which takes a moment."""

ASKS_EVERY_SECONDS = 1.0
"""Between questions to SQLite while nothing is written: a disk may be slower than that moment."""


class Observer:
    """A connection that shows whether others have changed the database.

    SQLite knows (PRAGMA data_version), but each question is a hop to its thread: fifty a second take a hundredth of a core.
    Each change is first written to the log beside the database. So SQLite is asked while that was written lately, and now and
    then.
    """

    def __init__(self, connection: Connection, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._log = f"{path}-wal"
        self._clock = clock
        self._written: tuple[int, int] | None = None
        self._asks_until = clock()
        self._ask_at = clock()
        self._version = 0
        self._rest: asyncio.Future[None] | None = None
        self.is_quiet = False
        """Whether nobody has written for a while, as of the last call of `has_changed`."""

    async def has_changed(self) -> bool:
        """Whether the database may have changed since the last call."""
        now = self._clock()
        written = self._last_write()
        if written != self._written:
            self._written, self._asks_until = written, now + ASKS_FOR_SECONDS
        self.is_quiet = now > self._asks_until
        if self.is_quiet and now < self._ask_at:
            return False
        self._ask_at = now + ASKS_EVERY_SECONDS
        cursor = await self._connection.cursor().execute("PRAGMA data_version")
        ((version,),) = await cursor.fetchall()
        before, self._version = self._version, int(version)
        return before != self._version

    async def has_rows(self, table: str) -> bool:
        """Whether a table has any rows."""
        cursor = await self._connection.cursor().execute(f"SELECT EXISTS (SELECT 1 FROM {table})")  # noqa: S608 - the schema's own name
        ((found,),) = await cursor.fetchall()
        return bool(found)

    async def rest(self, interval_seconds: float) -> None:
        """Wait, while nobody writes, until somebody does or SQLite is to be asked again. The log is looked at every interval.
        `end_rest` ends it at once.

        The event loop itself calls these looks: as a task of its own that sleeps in between, they took a thousandth of a core.
        """
        loop = asyncio.get_running_loop()
        over = self._rest = loop.create_future()
        looks: list[asyncio.TimerHandle] = []

        def look() -> None:
            if self._last_write() == self._written and self._clock() < self._ask_at:
                looks[:] = [loop.call_later(interval_seconds, look)]
            elif not over.done():
                over.set_result(None)

        look()
        try:
            await over
        finally:
            for next_look in looks:
                next_look.cancel()

    def end_rest(self) -> None:
        """End a rest that is under way."""
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    def _last_write(self) -> tuple[int, int] | None:
        """When the log was written last, and how long it is; None if there is none yet."""
        try:
            found = os.stat(self._log)  # noqa: PTH116 - fifty times a second: a third of the time of Path.stat
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


async def observe(path: Path) -> Observer:
    """Connect to see whether the database changes."""
    return Observer(await connect(path), path)


def unavailable(error: BaseException | None, reason: str) -> CentralUnavailable:
    """The fault of the store behind an error of the driver."""
    if not isinstance(error, sqlite3.Error):
        return CentralUnavailable(reason)
    is_damage = _code(error) in _DAMAGED or str(error).startswith(_NO_TEXT)
    return CentralUnavailable(reason, is_lasting=is_damage or _code(error) in _UNUSABLE, is_damage=is_damage)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code (https://www.sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
