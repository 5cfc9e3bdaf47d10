"""Journals of version 3, whose rows had a checksum of 32 bits, and their way to this version.

A row says the same in both. It is moved to a table of this version with its checksum of this version, in batches. Each batch is
one transaction that writes rows and deletes those that they were, so a process that is killed goes on where it was. The newest
records are moved first: which one is the last is known all the time.

A record that is not as it was written, and says what has ended, stays as damaged as it is: it is found when it is asked for.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from typing import Any

from creditmeter.journal import index
from creditmeter.journal.records import IMAGE, LOG, sealed
from creditmeter.journal.rows import RowUnreadable, put_extent, put_identity, read_identity, read_rate_cards
from creditmeter.journal.schema import RECORDS, VERSION, Progress

MAX_MOVED = 2_000
"""Most rows that are moved in one transaction."""

_LONGER_CHECKSUMS = 4
"""The first version whose rows have a checksum of 64 bits."""

_IDENTITY = "sidecar_id, epoch, pending_nonce, clock, image_seq, checksum"
_MOVED_FROM = {LOG: "records_3", IMAGE: "image_3"}
_SEGMENTS = "segments_3"
_FORMER_NAMES = "".join(f"ALTER TABLE {each} RENAME TO {each}_3;" for each in (LOG, IMAGE, "segments"))
_NEW_NUMBERS = "".join(
    f"ALTER TABLE identity ADD {each} INTEGER NOT NULL DEFAULT 0;" for each in ("image_parts", "log_end", "set_aside")
)
_COLUMNS = {
    LOG: "seq, seq, account_id, written_at, checksum, body",
    IMAGE: "part, seq, account_id, written_at, checksum, body",
}
"""Of each table the number of a row, the number that its checksum is over, and the rest."""

_NUMBERS = {LOG: "seq", IMAGE: "part"}
_WRONG = "'wrong'"
"""What a damaged row has for a checksum: no number, so it is never right."""


def stored_version(connection: sqlite3.Connection) -> int:
    """The version that a journal's tables are of. Some programs gave those of version 4 the number 3."""
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    names = {name for _, name, *_ in connection.execute("PRAGMA table_info(identity)")}
    return _LONGER_CHECKSUMS if number == _LONGER_CHECKSUMS - 1 and "log_end" in names else number


def examine(connection: sqlite3.Connection) -> None:
    """Read who the sidecar is, all that can still change, and the rate cards.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    read_identity(connection, columns=_IDENTITY)
    (image_seq,) = connection.execute("SELECT coalesce(max(image_seq), 0) FROM identity").fetchone()
    _examine_table(connection, IMAGE, 0)
    _examine_table(connection, LOG, image_seq)
    read_rate_cards(connection)


def _examine_table(connection: sqlite3.Connection, table: str, last: int) -> None:
    number = _NUMBERS[table]
    query = f"SELECT {_COLUMNS[table]} FROM {table} WHERE {number} > ? ORDER BY {number}"  # noqa: S608 - named above
    for row in connection.execute(query, (last,)):
        last += 1
        if row[0] != last:
            raise RowUnreadable(table, last, "it is missing")
        if not _is_sound(row):
            raise RowUnreadable(table, last, "its checksum is wrong")


def begin(connection: sqlite3.Connection) -> None:
    """Make the tables of this version, and move the newest records."""
    identity = read_identity(connection, columns=_IDENTITY)
    connection.executescript(f"BEGIN IMMEDIATE; {_FORMER_NAMES} {RECORDS} {_NEW_NUMBERS}")
    connection.execute(f"INSERT INTO segments SELECT *, 0, NULL FROM {_SEGMENTS}")  # noqa: S608 - named above
    connection.execute(f"DROP TABLE {_SEGMENTS}")
    index.seal(connection)
    _move(connection, LOG)
    if identity is not None:
        put_identity(connection, identity)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def is_unfinished(connection: sqlite3.Connection) -> bool:
    """Whether rows of version 3 are left to move."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return not {name for (name,) in names}.isdisjoint(_MOVED_FROM.values())


def finish(connection: sqlite3.Connection, progress: Progress) -> None:
    """Move all rows that are left."""
    count = sum(connection.execute(f"SELECT count(*) FROM {each}").fetchone()[0] for each in _MOVED_FROM.values())  # noqa: S608
    total = 0
    for moved in _batches(connection):
        total += moved
        progress(total, count)
    connection.execute("BEGIN IMMEDIATE")
    if read_identity(connection) is not None:
        put_extent(connection)
    for each in _MOVED_FROM.values():
        connection.execute(f"DROP TABLE {each}")
    connection.execute("COMMIT")


def _batches(connection: sqlite3.Connection) -> Iterator[int]:
    """Move the rows in batches. Yields how many each had."""
    for table in _MOVED_FROM:
        while True:
            connection.execute("BEGIN IMMEDIATE")
            moved = _move(connection, table)
            connection.execute("COMMIT")
            if not moved:
                break
            yield moved


def _move(connection: sqlite3.Connection, table: str) -> int:
    """Move a batch of rows of a table, those of the highest numbers. Returns how many they were."""
    source, number = _MOVED_FROM[table], _NUMBERS[table]
    query = f"SELECT {_COLUMNS[table]} FROM {source} ORDER BY {number} DESC LIMIT {MAX_MOVED}"  # noqa: S608 - named above
    rows = connection.execute(query).fetchall()[::-1]
    sound = [sealed(table, key, account_id, at, body) for key, _, account_id, at, _, body in filter(_is_sound, rows)]
    connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", sound)  # noqa: S608 - named above
    for key in {row[0] for row in rows}.difference(row[0] for row in sound):
        copied = f"{number}, account_id, written_at, {_WRONG}, body FROM {source} WHERE {number} = ?"
        connection.execute(f"INSERT INTO {table} SELECT {copied}", (key,))
    if rows:
        connection.execute(f"DELETE FROM {source} WHERE {number} >= ?", (rows[0][0],))  # noqa: S608 - named above
    return len(rows)


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Whether the checksum of version 3 is right."""
    _, number, account_id, written_at, checksum, body = row
    head = zlib.crc32(f"{number} {account_id} {written_at} ".encode(errors="surrogateescape"))
    return isinstance(body, bytes) and checksum == zlib.crc32(body, head)
