"""Damage to the file of an embedded store that nobody has open."""

import contextlib
import sqlite3
from pathlib import Path


def spoil_page(path: Path, table: str) -> None:
    """Write something else over the first page of a table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"garbage!" * (size // 8))


def spoil_index(path: Path, index: str, change: str) -> None:
    """Change rows of a table behind the back of one of its indexes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        known = connection.execute("SELECT * FROM sqlite_master WHERE name = ?", (index,)).fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = ?", (index,))
        connection.commit()
    with contextlib.closing(sqlite3.connect(path)) as connection:  # which knows nothing of the index
        connection.execute(change)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", known)
        connection.commit()


def index_of(path: Path, table: str) -> str:
    """An index of a table that has all of its rows."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return next(str(name) for name, sql in connection.execute(query, (table,)) if "WHERE" not in sql)
