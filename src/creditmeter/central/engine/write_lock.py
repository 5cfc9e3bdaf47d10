"""Waiting for the lock of those who write a SQLite file, where another process has it.

SQLite's own wait sleeps and looks again, for longer each time, up to 0.1 s. Here it begins anew every few looks. Of all
processes on a file mostly one looks, the next (see `write_queue`); the others wait for that.
"""

import sqlite3
import time
from typing import Any, Self

from creditmeter.central.engine.write_queue import SHARE

BEGIN_TO_WRITE = "BEGIN IMMEDIATE"
"""Begins a transaction that takes the lock at once."""

_LOOKS_MILLISECONDS = 8
"""SQLite's own wait sleeps for 1, 2 and 5 ms in this time."""


class LockingConnection(sqlite3.Connection):
    """A connection of which every statement waits for a lock that another process has, for `patience_seconds` at most. What
    begins a transaction that writes waits in a queue before, and so for less.
    """

    patience_seconds = 0.0

    def wait_for(self, patience_seconds: float) -> None:
        """Have every statement wait so long."""
        self.patience_seconds = patience_seconds
        self.execute(f"PRAGMA busy_timeout = {patience_seconds * 1_000:.0f}")

    def cursor(self, factory: Any = None) -> Any:
        """A cursor, which begins transactions as this module says."""
        return super().cursor(factory or _LockingCursor)


class _LockingCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        if sql != BEGIN_TO_WRITE:
            return super().execute(sql, parameters)
        connection = self.connection
        assert isinstance(connection, LockingConnection), "that is what makes these cursors"
        give_up = time.monotonic() + (1 - SHARE) * connection.patience_seconds
        super().execute(f"PRAGMA busy_timeout = {_LOOKS_MILLISECONDS}")
        try:
            while not self._has_begun(is_last=time.monotonic() >= give_up):
                pass
        finally:
            super().execute(f"PRAGMA busy_timeout = {connection.patience_seconds * 1_000:.0f}")
        return self

    def _has_begun(self, *, is_last: bool) -> bool:
        try:
            super().execute(BEGIN_TO_WRITE)
        except sqlite3.OperationalError as error:
            if is_last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # https://www.sqlite.org/rescode.html
                raise
            return False
        return True
