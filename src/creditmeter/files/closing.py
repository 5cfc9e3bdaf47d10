"""The end of a SQLite database that something beside it says is open.

SQLite removes the write-ahead log when the last connection is closed. From then on nothing tells a log that was all copied from
one that is lost. So who noted that there are changes in the log has to take that back before: when the log is empty and still
there.
"""

import sqlite3
from pathlib import Path

from creditmeter.files.placement import Placement

LONGEST_WAIT_SECONDS = 0.5
"""Longest wait for those who read from the database."""

_ANY_READ = "SELECT 1 FROM sqlite_master LIMIT 1"
"""Has SQLite open all files: until its first statement a connection has none open but the database."""


class LastConnection:
    """A connection that is opened while a database is in use, and closed after all others of this process.

    Raises:
        sqlite3.Error: the database cannot be opened.
    """

    def __init__(self, path: Path, placement: Placement) -> None:
        self._placement = placement
        uri = f"{path.absolute().as_uri()}?mode=rw"
        self._connection = sqlite3.connect(uri, uri=True, timeout=LONGEST_WAIT_SECONDS, isolation_level=None)
        try:
            self._connection.execute(_ANY_READ)
        except BaseException:
            self._connection.close()
            raise

    def empty_log(self) -> bool:
        """Copy all of the log into the database, and cut the log off. Returns whether it is empty now.

        It is not if somebody goes on reading from the database, or the disk is full. If a file was deleted or replaced it is
        left as it is: it may be all that can be saved.
        """
        if self._placement.missing() is not None:
            return False
        try:
            is_busy, pages, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not is_busy and pages == 0

    def close(self) -> None:
        """Close the connection. As the last one it copies what is in the log, and SQLite removes that."""
        self._connection.close()
