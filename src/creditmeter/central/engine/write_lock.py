"""Waiting for the lock of those who write a SQLite file, when several processes want it at the same time.

SQLite has no queue for it. A process that finds it taken sleeps and looks again, and SQLite's own wait sleeps for longer each
time, up to 0.1 s. So whoever has waited longest looks least often, while others begin and get it: some waited for half a second
where each had the lock for a few milliseconds. Here the wait begins anew every few looks, so that all look equally often.
"""

import sqlite3
import time

from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

_LOOKS_MILLISECONDS = 18
"""SQLite's own wait sleeps for 1, 2, 5 and 10 ms in this time."""


def begin_to_write(connection: Connection, patience_seconds: float) -> None:
    """Begin a transaction that writes, once no other process writes the file, but within `patience_seconds`.

    Raises:
        OperationalError: others had the lock for as long as that, or the file cannot be written.
    """
    give_up = time.monotonic() + patience_seconds
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {_LOOKS_MILLISECONDS}")
    try:
        while not _has_begun(connection, is_last=time.monotonic() >= give_up):
            pass
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience_seconds * 1_000:.0f}")


def _has_begun(connection: Connection, *, is_last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the primary one: https://www.sqlite.org/rescode.html
        if is_last or code != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
