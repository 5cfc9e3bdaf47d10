"""What SQLite itself says of an embedded store's file, page by page.

`quick_check` reads the whole file, and `integrity_check` compares every index with its table besides, which takes several times
as long. A start does the former, beside everything else, and `creditmeter verify` the latter. Where a cell has another value
than its column takes, the file itself is whole: that is a damaged row, which stops its account alone.
"""

import asyncio
import contextlib
import re
import sqlite3
import threading
from pathlib import Path

import structlog

from creditmeter.central.engine import sqlite
from creditmeter.central.engine.faults import CentralUnavailable

_MOST_FINDINGS = 100
WHOLE_CHECK = f"PRAGMA integrity_check({_MOST_FINDINGS})"
"""Reads a whole file, and compares every index with its table."""

_OF_A_ROW = re.compile(r"(NULL|NUMERIC|TEXT|non-[A-Z]+) value in |CHECK constraint failed in ")
_STOP_SECONDS = 1.0
"""Longest wait for SQLite to leave a file when the store is closed: it stops between two tables."""

_log = structlog.get_logger()


def damaged(path: Path, findings: list[str]) -> CentralUnavailable:
    """The fault of the store behind what was found in its file."""
    more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    text = (
        f"{path} is damaged ({findings[0]}{more}): stop every sidecar that uses it, keep what is there, and put back a copy of"
        " the file that is whole"
    )
    return CentralUnavailable(text, is_lasting=True, is_damage=True)


def findings_in(rows: list[tuple[str]]) -> list[str]:
    """What a check found that is not of a row, one line each, from the rows that SQLite returned."""
    lines = [line.strip() for (text,) in rows for line in str(text).splitlines()]
    return [each for each in lines if each not in ("", "ok") and not each.startswith("***") and not _OF_A_ROW.match(each)]


class Examination:
    """A check of the file at `path` in a thread of its own, on a connection of its own that only reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f"examination of {path.name}", daemon=True)
        self._over = threading.Event()
        self._is_closed = False
        self.fault: CentralUnavailable | None = None
        """What is wrong with the file; None while nothing was found."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def first_look(self, seconds: float) -> None:
        """Wait for the end of the check, but no longer than this. It goes on afterwards.

        Raises:
            CentralUnavailable: the file is damaged.
        """
        await asyncio.to_thread(self._over.wait, seconds)
        if self.fault is not None:
            raise self.fault

    async def close(self) -> None:
        """End it."""
        self._is_closed = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.interrupt()
        await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    def _run(self) -> None:
        try:
            with contextlib.closing(sqlite.open_to_read(self._path)) as self._connection:
                found = findings_in(self._connection.execute(f"PRAGMA quick_check({_MOST_FINDINGS})").fetchall())
        except sqlite3.Error as error:
            found = [str(error)] if sqlite.unavailable(error, str(error)).is_damage else []
        if found and not self._is_closed:
            self.fault = damaged(self._path, found)
            _log.error("the central store is damaged", file=str(self._path), reason=found[0], what_to_do=str(self.fault))
        self._over.set()
