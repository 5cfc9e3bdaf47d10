"""When the write-ahead log of a SQLite database is copied into its file, so that no reply waits for it.

By itself SQLite copies a log of 1,000 pages within the COMMIT that made it so long, with two syncs, and all who wait for that
writer wait for these. Here a connection and a thread of their own copy the log while transactions go on, and sync the file.
What was committed meanwhile is left over: a few pages, which are copied between two transactions. Then the log is all in the
file, and the next transaction writes it from its beginning again, unless somebody still reads from it.

How long a log is cannot be asked of SQLite without a checkpoint, and the file keeps its size when the log begins anew. So the
log's own salts are read (https://www.sqlite.org/fileformat2.html#the_write_ahead_log): a frame belongs to the log while it has
those of the header. No lock is on the log's file, so it may be opened and closed; the database itself never is, because that
would drop the locks of this process (https://www.sqlite.org/howtocorrupt.html).
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

COPIED_FROM = 4_000
"""Pages in a log, of 4 KiB each, from which on it is copied: 16 MiB."""

WAITED_FROM = 4 * COPIED_FROM
"""Pages in a log from which on the writer waits until it can begin anew, for `LONGEST_WAIT_MILLISECONDS` at most."""

LONGEST_WAIT_MILLISECONDS = 500
"""Longest wait of the writer for those who read from a log that is too long. It waits again after `COPIED_FROM` more pages."""

ROOM = 256 * 1024
"""Bytes of zeros that are kept behind a log with `keeps_room`, and half of it at least."""

TRANSACTIONS_TO_LOOK = 16
"""Transactions between two looks at how long a log is, where they are many and short."""

_TRIES = 3
"""Attempts to copy the rest of a log, each after another transaction. Somebody who reads at that moment keeps the log."""

_MAGIC = b"\x37\x7f\x06"
_HEADER = 32
_FRAME_HEADER = 24
_DESCRIPTORS = Path("/dev/fd")

_ANY_READ = "SELECT 1 FROM sqlite_master LIMIT 1"
"""Has SQLite open all files: until its first statement a connection has none open but the database."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Log:
    """A write-ahead log: the salts that it has since it last began anew, how many pages were written to it since then, and how
    many bytes of its file are behind them.
    """

    salts: bytes = b""
    pages: int = 0
    room: int = 0

    @classmethod
    def of(cls, path: Path) -> Self:
        """The log of the database at `path`. It has no pages if it is missing, empty or cannot be read."""
        try:
            opened = os.open(path.with_name(f"{path.name}-wal"), os.O_RDONLY)
        except OSError:
            return cls()
        try:
            return cls._in(opened)
        except OSError:
            return cls()
        finally:
            os.close(opened)

    @classmethod
    def _in(cls, opened: int) -> Self:
        """The log in an open file."""
        header = os.pread(opened, _HEADER, 0)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            return cls()
        salts, frame = header[16:24], _FRAME_HEADER + int.from_bytes(header[8:12], "big")
        size = os.fstat(opened).st_size
        low, high = 0, (size - _HEADER) // frame
        while low < high:  # all frames of the log are before all that are older
            middle = (low + high) // 2
            if os.pread(opened, len(salts), _HEADER + middle * frame + 8) == salts:
                low = middle + 1
            else:
                high = middle
        return cls(salts, low, size - _HEADER - low * frame)


class Checkpoints:
    """The checkpoints of a database whose connections have `wal_autocheckpoint = 0`, on a connection of their own.

    Whoever writes counts its transactions with `is_time`, and calls `look` when that says so and none of them is open.

    With `keeps_room` there are zeros behind the log. A sync after a write into a file takes half as long as one after a write
    that makes the file longer, which has to record its new length as well. No zeros are a part of the log: they have no salts.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: int = 1,
        keeps_room: bool = False,
        copied_from: int = COPIED_FROM,
        waited_from: int = WAITED_FROM,
    ) -> None:
        self._path = path
        self._every = every
        self._keeps_room = keeps_room
        self._copied_from = copied_from
        self._waited_from = waited_from
        self._transactions = 0
        self._known = Log()
        self._copying: threading.Thread | None = None
        self._tries = 0
        self._is_told = False
        self._in_use = threading.Lock()
        uri = f"{path.absolute().as_uri()}?mode=rw"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._connection.execute(_ANY_READ)
        except BaseException:
            self._connection.close()
            raise

    @property
    def _is_copying(self) -> bool:
        return self._copying is not None and self._copying.is_alive()

    def is_time(self) -> bool:
        """Count a transaction. Says whether to call `look` now: every so many transactions, or for what is left over."""
        self._transactions += 1
        return not self._is_copying and (self._tries > 0 or self._transactions % self._every == 1 % self._every)

    def look(self) -> None:
        """Begin to copy a log that is long, or copy what was left over, which blocks for a few pages.

        It blocks for long only if the log is `waited_from` pages long and somebody reads from it. What fails is tried again
        when the log is longer.
        """
        if self._is_copying or not self._in_use.acquire(blocking=False):
            return
        try:
            log = Log.of(self._path)
            self._look(log)
            if self._keeps_room and log.pages and log.room < ROOM // 2:
                self._make_room()
        finally:
            self._in_use.release()

    def _look(self, log: Log) -> None:
        if log.salts != self._known.salts:
            self._known, self._tries, self._is_told = Log(log.salts), 0, False
        if self._tries:
            self._tries -= 1
            self._checkpoint("PASSIVE")
        elif log.pages - self._known.pages >= self._copied_from:
            self._known, self._tries = log, _TRIES
            if log.pages >= self._waited_from:
                self._wait_for_readers(log)
            else:
                self._begin()

    def _make_room(self) -> None:
        """Write zeros to the end of the log's file. Meanwhile nobody may write to the log, so this is a transaction.

        A log that SQLite has not open is another one, in the place of the one that it has: that is left alone.
        """
        with contextlib.suppress(OSError, sqlite3.Error):  # room is only for speed; the writer meets what is wrong
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                with self._path.with_name(f"{self._path.name}-wal").open("r+b") as log:  # it is not made if it was deleted
                    if any(each != log.fileno() for each in descriptors_of(os.fstat(log.fileno()))):
                        log.seek(0, os.SEEK_END)
                        log.write(bytes(ROOM))
            finally:
                self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        """Copy in a thread of its own. If the system has none to give, the writer copies all of it as what was left over."""
        self._copying = threading.Thread(target=self._copy, name=f"checkpoint of {self._path.name}")
        with contextlib.suppress(RuntimeError):
            self._copying.start()

    def _copy(self) -> None:
        """Copy what is in the log now, and have it on disk, so that the sync of the rest is short."""
        self._checkpoint("PASSIVE")
        _sync(self._path)

    def _wait_for_readers(self, log: Log) -> None:
        if not self._checkpoint("RESTART", LONGEST_WAIT_MILLISECONDS) and not self._is_told:
            self._is_told = True
            _log.warning("somebody reads from a database for long: its log grows", path=str(self._path), pages=log.pages)

    def _checkpoint(self, mode: str, busy_timeout: int = 0) -> bool:
        """Whether all of the log was copied. A fault is left to the writer, who meets those of the file as well."""
        try:
            self._connection.execute(f"PRAGMA busy_timeout = {busy_timeout}")
            is_busy, pages, copied = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error:
            return False
        return not is_busy and bool(copied == pages)

    def close(self) -> None:
        """Wait until nothing is copied any more, and close the connection. The last one copies the rest when it is closed."""
        with self._in_use:
            if self._is_copying and self._copying is not None:
                self._copying.join()
            self._connection.close()


def _sync(path: Path) -> None:
    """Sync a database to disk through a descriptor that one of SQLite's connections has: another one must not be closed.

    Should that be closed just now, another file is synced, or none. The checkpoint that ends a log syncs the file in any case.
    """
    with contextlib.suppress(OSError):
        for each in descriptors_of(path.stat()):
            os.fsync(each)
            return


def descriptors_of(found: os.stat_result) -> Iterator[int]:
    """The descriptors of a file that this process has open."""
    for each in _DESCRIPTORS.iterdir():
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(each.name)), found):
                yield int(each.name)
