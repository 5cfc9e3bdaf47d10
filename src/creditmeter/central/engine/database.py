"""The connections to the central store's database, and the two kinds of transaction: those that write and those that read.

On SQLite one transaction of this process writes at a time. It begins with `BEGIN IMMEDIATE`, so it never waits in its middle
for a transaction of another process; `slots` bounds its wait until it has begun. On PostgreSQL transactions are READ COMMITTED,
and decisions lock their account's row first.
"""

import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog
from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.addresses import servers_in
from creditmeter.central.engine.connections import AsyncConnection, AsyncEngine
from creditmeter.central.engine.examination import WHOLE_CHECK, Examination, damaged, findings_in
from creditmeter.central.engine.faults import CentralMisconfigured, CentralRowDamaged, CentralUnavailable, NoFilesLeft
from creditmeter.central.engine.slots import Slot, Slots
from creditmeter.central.engine.write_lock import BEGIN_TO_WRITE
from creditmeter.central.engine.write_queue import WriteQueue
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.files.descriptors import why_none_left

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_SQLITE_READERS = 4
_TOLD_AGAIN_SECONDS = 60.0
"""Transactions of this process that read a SQLite file at a time, beside the one that writes."""

_FIRED = "creditmeter_fired"
_IS_READ_ONLY = text("SELECT current_setting('transaction_read_only')")
_log = structlog.get_logger()

HIDDEN = "***"
"""Stands for what is not shown of an address."""

_SHOWN_OPTIONS = frozenset(
    {"host", "port", "user", "dbname", "sslmode", "sslrootcert", "target_session_attrs", "connect_timeout", "application_name"}
)
_NAME_END = re.compile(r"[;&=?].*", re.DOTALL)
"""What is behind the name of a database, where other separators than those of an address were used."""

_Explanation: TypeAlias = Callable[[BaseException | None, str], CentralUnavailable | None]
"""From an error of the driver and what to say of it to the fault of the store; None for a fault of the program."""


def parse_url(text: str) -> URL:
    """The address of a central store: `sqlite:///PATH`, `postgresql://USER@HOST:PORT/NAME`, or
    `postgresql://USER@/NAME?host=HOST:PORT&host=HOST:PORT`.

    Raises:
        CentralMisconfigured: the text is not such an address.
    """
    try:
        url = make_url(text)
        servers_in(url)
    except (ArgumentError, ValueError):  # a port that is no number is the latter
        raise CentralMisconfigured(  # not with the text: it may have a password anywhere
            "this is not the address of a central store: use sqlite:///PATH or postgresql://USER@HOST:PORT/NAME, and write"
            " what is special in a user or password as in a URL (@ as %40, : as %3A, / as %2F)"
        ) from None
    driver = _DRIVERS.get(url.get_backend_name()) if url.drivername in _DRIVERS else None
    if driver is None:
        raise CentralMisconfigured(f"{url.drivername!r} is no central engine: use sqlite:///PATH or postgresql://…")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise CentralMisconfigured("the SQLite central store needs a file: sqlite:///PATH")
    return url.set(drivername=driver)


def shown_address(url: URL) -> str:
    """The address of a central store as it may be shown: without its password, and without the values of options that are not
    known to be harmless. A password may be in any of them, under a mistyped name too, or behind the database by mistake.
    """
    shown = url.set(drivername=url.get_backend_name())
    if shown.drivername != "sqlite" and shown.database is not None:
        shown = shown.set(database=_NAME_END.sub(HIDDEN, shown.database))
    hidden = {name: HIDDEN for name in shown.query if name not in _SHOWN_OPTIONS}
    return shown.update_query_dict(hidden).render_as_string(hide_password=True)


class Database:
    """A pool of connections. Creating it connects to nothing yet.

    `notifies`: PostgreSQL's NOTIFY is used. `is_timed`: statements have a time limit, and so has the beginning of a transaction
    on SQLite. `read_only`: a SQLite file is opened for reading. `on_low_balance` are the functions that are called with each
    alert that fired, after its transaction was committed, and `on_write` those that are called after each transaction that may
    have written.
    `connect_observer` connects outside of the pool; the observer shows whether the database has changed. It is None on engines
    that cannot show it.
    """

    def __init__(self, url: str | URL, *, notifies: bool = True, is_timed: bool = True, read_only: bool = False) -> None:
        self.url = parse_url(url) if isinstance(url, str) else url
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._unavailable: _Explanation
        self._examination: Examination | None = None
        self._slots: Slots | None = None
        self._files: sqlite.OpenFiles | None = None
        if self.is_sqlite:
            patience = sqlite.PATIENCE_SECONDS if is_timed else sqlite.LONG_PATIENCE_SECONDS
            path = Path(self.url.database or "")
            self._slots = Slots(_SQLITE_READERS, patience if is_timed else None, WriteQueue(path, patience))
            self._files = sqlite.OpenFiles(path, read_only=read_only, patience_seconds=patience)
            engine, self._unavailable = _sqlite_engine(self.url, self._files), sqlite.unavailable
        else:
            engine, self._unavailable = _server_engine(self.url, is_timed=is_timed)
        self.engine = engine.execution_options(notifies=notifies)
        self.on_low_balance: list[Callable[[LowBalance], None]] = []
        self.on_write: list[Callable[[], None]] = []
        self._told: set[str] = set()
        self._told_of_files_at: float | None = None
        self._last_write_failed = False
        self.connect_observer = partial(sqlite.observe, Path(self.url.database or "")) if self.is_sqlite else None

    @property
    def address(self) -> str:
        """The address of the database without its password, to be shown."""
        return shown_address(self.url)

    def missing_file(self) -> Path | None:
        """A file of the store that was deleted or replaced while it was open here; None if there is none, or on PostgreSQL."""
        return None if self._files is None else self._files.missing()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write. It is committed when the block ends, and rolled back when the block raises.

        Raises:
            CentralUnavailable: it did not begin, or it is unknown whether it was committed.
        """
        fired: list[LowBalance] = []
        async with self._slot(writes=True) as slot:
            async with self._noted(), self._transaction(self.engine, slot) as connection:
                connection.info[_FIRED] = fired
                yield connection
            if self._files is not None:
                await self._files.keep_log_short()
        self._check_files()
        for notify in self.on_write:
            notify()
        for each in fired:
            for listener in self.on_low_balance:
                listener(each)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, in one snapshot.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        options = {"read_only": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        async with (
            self._slot(writes=False) as slot,
            self._transaction(self.engine.execution_options(**options), slot) as connection,
        ):
            yield connection
        self._check_files()

    @contextlib.asynccontextmanager
    async def attempt(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that finds out whether reading and writing work: it undoes what it writes itself, is rolled back, and
        what it reads is not remembered from before.

        A rolled-back transaction of SQLite's writes nothing to disk. So whether the disk takes anything is known from the last
        transaction that wrote: if that failed, this one is committed.

        Raises:
            CentralUnavailable: reading or writing does not work, or the file was found to be damaged.
        """
        if self._examination is not None and self._examination.fault is not None:
            raise self._examination.fault
        if self._files is not None:
            await self._files.check_disk()
        with contextlib.suppress(_RolledBack):
            engine = self.engine.execution_options(forgets_pages=True)
            async with self._slot(writes=True) as slot, self._noted(), self._transaction(engine, slot) as connection:
                yield connection
                if not (self.is_sqlite and self._last_write_failed):
                    raise _RolledBack
        self._check_files()

    def _slot(self, *, writes: bool) -> contextlib.AbstractAsyncContextManager[Slot | None]:
        if self._slots is None or self._files is None:
            return contextlib.nullcontext()
        self._files.check_header()
        return self._slots.to_write() if writes else self._slots.to_read()

    @contextlib.asynccontextmanager
    async def _noted(self) -> AsyncIterator[None]:
        """Note whether a transaction that wrote was committed."""
        try:
            yield
        except CentralUnavailable:
            self._last_write_failed = True
            raise
        self._last_write_failed = False

    async def examine(self, seconds: float) -> None:
        """Begin to look for damage in a SQLite file, and wait for what comes out, but no longer than this. The rest is done
        beside everything else: what is found later is in the log, and fails each `attempt`.

        Raises:
            CentralUnavailable: the file is damaged.
        """
        if self.is_sqlite and self._examination is None:
            self._examination = Examination(Path(self.url.database or ""))
            self._examination.start()
            await self._examination.first_look(seconds)

    async def check_whole(self) -> None:
        """Compare all of a SQLite file with what it is to be, every index with its table included.

        Raises:
            CentralUnavailable: the file is damaged, or cannot be read.
        """
        if not self.is_sqlite:
            return
        path = Path(self.url.database or "")
        try:
            async with self.read() as connection:
                rows = await connection.exec_driver_sql(WHOLE_CHECK)
        except CentralUnavailable as error:
            if not error.is_damage:
                raise
            raise damaged(path, [str(error)]) from error  # the check itself could not read on
        found = findings_in([(str(each[0]),) for each in rows.all()])
        if found:
            raise damaged(path, found)

    @contextlib.asynccontextmanager
    async def write_for_long(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write and whose statements have no time limit.

        Raises:
            CentralUnavailable: it did not begin, or it is unknown whether it was committed.
        """
        patient = Database(self.url, is_timed=False)
        try:
            async with patient.write() as connection:
                yield connection
        finally:
            await patient.close()

    @contextlib.asynccontextmanager
    async def _transaction(self, engine: AsyncEngine, slot: Slot | None) -> AsyncIterator[AsyncConnection]:
        """A transaction. The log names each damaged row once, and once a minute that no file can be opened."""
        try:
            async with _transaction(engine, slot, self._unavailable) as connection:
                yield connection
        except CentralRowDamaged as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                _log.error("the central store is damaged", account_id=error.account_id, reason=error.reason)
            raise
        except NoFilesLeft as error:
            if self._told_of_files_at is None or time.monotonic() - self._told_of_files_at > _TOLD_AGAIN_SECONDS:
                self._told_of_files_at = time.monotonic()
                _log.error("the central store cannot be reached", reason=str(error))
            raise

    def _check_files(self) -> None:
        """Believe a transaction only if it was in the files that the next process will find.

        Raises:
            CentralUnavailable: a file was deleted or replaced.
        """
        lost = self.missing_file()
        if lost is not None:
            raise CentralUnavailable(f"{lost} was deleted or replaced while it was open")

    async def close(self) -> None:
        """Close the pool."""
        if self._examination is not None:
            await self._examination.close()
        if self._slots is not None:
            await self._slots.close()
        if self._files is not None:
            await self._files.close()
        await self.engine.dispose()


def announce(connection: AsyncConnection, fired: LowBalance) -> None:
    """Have `on_low_balance` called with this alert once the transaction of this connection is committed."""
    connection.info[_FIRED].append(fired)


async def takes_writes(connection: AsyncConnection) -> bool:
    """Whether the server of this connection takes writes. A standby does not, nor one that was the primary before a failover:
    what it shows may be old.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool((await connection.execute(_IS_READ_ONLY)).scalar_one() == "off")


class _RolledBack(Exception):
    """A transaction is rolled back on purpose."""


@contextlib.asynccontextmanager
async def _transaction(engine: AsyncEngine, slot: Slot | None, unavailable: _Explanation) -> AsyncIterator[AsyncConnection]:
    try:
        async with engine.begin() if slot is None else slot.begun(engine.begin()) as connection:
            yield connection
    except (IntegrityError, DataError):  # a fault of the program, not of the store
        raise
    except DBAPIError as error:
        _refuse_without_files(error.orig)
        fault = unavailable(error.orig, _first_line(error.orig or error))
        if fault is None:
            raise
        raise fault from error
    except PoolTimeoutError as error:
        raise CentralUnavailable(_first_line(error), is_crowded=True) from error
    except (OSError, TimeoutError) as error:
        _refuse_without_files(error)
        raise CentralUnavailable(_first_line(error)) from error


def _refuse_without_files(error: BaseException | None) -> None:
    """Say so if an error comes from no file being left to open.

    Raises:
        NoFilesLeft: it does.
    """
    why = why_none_left(error)
    if why is not None:
        raise NoFilesLeft(why) from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _server_engine(url: URL, *, is_timed: bool) -> tuple[AsyncEngine, _Explanation]:
    from creditmeter.central.engine import postgresql  # noqa: PLC0415 - its driver takes 3 MB, and an embedded store has none

    return postgresql.create_engine(postgresql.Servers(url, is_timed=is_timed)), postgresql.unavailable


def _sqlite_engine(url: URL, files: sqlite.OpenFiles) -> AsyncEngine:
    engine = AsyncEngine.of(url, files.connect, pool_size=_SQLITE_READERS + 1, max_overflow=0)

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("forgets_pages", False):
            connection.exec_driver_sql("PRAGMA shrink_memory")
        connection.exec_driver_sql("BEGIN" if options.get("read_only", False) else BEGIN_TO_WRITE)

    event.listen(engine.sync_engine, "begin", begin)
    return engine
