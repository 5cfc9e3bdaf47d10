"""A simulated disk with a journal on it: SQLite in memory, run in line, which outlives the sidecar and fails on request."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar, cast

from creditmeter.core.ids import SidecarId
from creditmeter.files.checkpoints import Checkpoints
from creditmeter.journal.connection import Connection
from creditmeter.journal.groups import load_identity
from creditmeter.journal.journal import Journal
from creditmeter.journal.records import find_record
from creditmeter.journal.rows import Identity, read_identity
from creditmeter.journal.schema import TABLES

_Result = TypeVar("_Result")


class Mishap(Enum):
    """What becomes of one access to the disk."""

    NONE = auto()
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    FAIL_BEFORE = auto()
    FAIL_AFTER = auto()


class Disk:
    """A machine's disk.

    `mishap` decides about each access, `take_time` is how long it takes, and `on_crash` ends the machine.
    """

    def __init__(
        self, mishap: Callable[[], Mishap], take_time: Callable[[], Awaitable[None]], on_crash: Callable[[], None]
    ) -> None:
        self._mishap = mishap
        self._take_time = take_time
        self._on_crash = on_crash
        self.raw = sqlite3.connect(":memory:", isolation_level=None)
        self.raw.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")

    async def journal(self, sidecar_id: SidecarId) -> Journal:
        """Open the journal. What a crash left unfinished is undone first.

        Raises:
            sqlite3.Error: the disk fails.
        """
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")
        connection = _InLine(self)
        identity, end = await connection.run(load_identity, Identity(sidecar_id))
        reading = cast("sqlite3.Connection", _Reading(self.raw))
        journal = Journal(connection, reading, cast("Checkpoints", _NoLog()), identity, end, Path("journal.db"))
        journal.min_bytes_between_images = 10_000
        return journal

    async def run(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Have the disk do something. In a crash its result reaches no task any more."""
        mishap = self._mishap()
        await self._take_time()
        if mishap is Mishap.CRASH_BEFORE:
            await self._crash()
        if mishap is Mishap.FAIL_BEFORE:
            raise sqlite3.OperationalError("disk I/O error")
        result = function(self.raw, *arguments)
        if mishap is Mishap.CRASH_AFTER:
            await self._crash()
        if mishap is Mishap.FAIL_AFTER:
            raise sqlite3.OperationalError("disk I/O error, though it was written")
        return result

    async def _crash(self) -> None:
        self._on_crash()
        await asyncio.get_running_loop().create_future()

    def has_receipt(self, account_id: str, request_id: str) -> bool:
        """Whether the reply to a request is on the disk."""
        identity = read_identity(self.raw)
        assert identity is not None, "a disk with a receipt has an identity"
        found = self.raw.execute("SELECT seq FROM records WHERE account_id = ? ORDER BY seq DESC", (account_id,)).fetchall()
        logged = (find_record(self.raw, identity.sidecar_id, seq) for (seq,) in found)
        receipts = (receipt for each in logged if each is not None for receipt in each.change.receipts)
        return any(each.request.request_id == request_id for each in receipts)

    def fill_up(self) -> None:
        """Have every write fail from now on."""
        self.raw.execute("PRAGMA query_only = ON")

    def make_room(self) -> None:
        """Let writes succeed again."""
        self.raw.execute("PRAGMA query_only = OFF")

    def close(self) -> None:
        """Throw the disk away."""
        with contextlib.suppress(sqlite3.Error):
            self.raw.close()


class _NoLog:
    """A database in memory has no log to copy."""

    def is_time(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Leave the disk as it is."""


class _Reading:
    """The connection by which the journal reads: the disk's own."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def execute(self, query: str, arguments: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run a query."""
        return self._raw.execute(query, arguments)

    def close(self) -> None:
        """Leave the disk as it is."""


class _InLine(Connection):
    """The journal's connection, without a thread."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(lambda: disk.raw, iter_chunk_size=64)  # which is never called: nobody awaits this connection
        self._disk = disk
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Call `function(connection, *arguments)` here and now."""
        return await self._disk.run(function, *arguments)

    def post(self, function: Callable[[sqlite3.Connection], _Result], then: Callable[[_Result | Exception], None]) -> None:
        """The same in a task of its own. A crash ends the machine, and `then` is never called."""

        async def call() -> None:
            try:
                result: _Result | Exception = await self._disk.run(function)
            except Exception as error:  # noqa: BLE001 - it goes to the caller, whatever it is
                result = error
            then(result)

        task = asyncio.create_task(call())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Leave the disk as it is, for the next run of the sidecar."""
