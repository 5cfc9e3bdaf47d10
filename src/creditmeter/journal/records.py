"""The log and the image: changes of books, as rows with a checksum."""

import sqlite3
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, takewhile
from typing import NamedTuple

from creditmeter.core.credit.charges import Charge
from creditmeter.core.ids import AccountId, ChargeId, SidecarId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Change
from creditmeter.forms.changes import Logged, Packing, decode_change, encode_change
from creditmeter.journal.index import delete_segments
from creditmeter.journal.rows import RowUnreadable, decoded, put_image_seq

MAX_DROPPED = 1_024
"""Most records that are dropped in one transaction, so that it stays short."""

_IMAGE = "INSERT INTO image (seq, account_id, written_at, checksum, body) VALUES (?, ?, ?, ?, ?)"
_COLUMNS = "seq, account_id, written_at, checksum, body"

Row = tuple[int, str, int, int, bytes]
"""What is stored of a record: its number, its account, its moment, its checksum and its body."""

_MOST_ROWS_AT_ONCE = 256
"""A power of two. A statement has five values for each row, and SQLite takes 32,766."""


@dataclass(frozen=True, slots=True)
class Record:
    """A change, and the moment at which it was given to the journal. The charges `known` are on disk but for what is new."""

    change: Change
    written_at: Instant
    known: Container[ChargeId] = ()


class ChecksumWrong(ValueError):
    """A row is not what was written."""


def row_of(sidecar_id: SidecarId, seq: int, record: Record) -> Row:
    """The row of the record of a number.

    Raises:
        TypeError: something in it cannot be stored.
    """
    account_id = record.change.account_id
    packed = Packing(account_id, sidecar_id).pack(encode_change(record.change, record.known))
    return seq, account_id, record.written_at, _checksum(seq, account_id, record.written_at, packed), packed


def append(connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Write rows to the end of the log. Returns the bytes of their bodies.

    There are few statements, of as many rows as the largest powers of two that make up the number: each one lets go of the
    interpreter, and on a busy event loop it takes a while to have it again.
    """
    first = 0
    while first < len(rows):
        count = min(_MOST_ROWS_AT_ONCE, 1 << (len(rows) - first).bit_length() - 1)
        connection.execute(_insert(count), [*chain.from_iterable(rows[first : first + count])])
        first += count
    return _size(rows)


@cache  # one for each power of two
def _insert(count: int) -> str:
    return f"INSERT INTO records VALUES {', '.join(['(?, ?, ?, ?, ?)'] * count)}"  # noqa: S608 - there is no value in it


def replace_image(
    connection: sqlite3.Connection, sidecar_id: SidecarId, seq: int, written_at: Instant, live: Iterable[Change]
) -> int:
    """Put another image in the place of the last one: all that could still change after record `seq`. Returns its bytes."""
    connection.execute("DELETE FROM image")
    size = add_to_image(connection, sidecar_id, seq, (Record(each, written_at) for each in live))
    put_image_seq(connection, seq)
    return size


def add_to_image(connection: sqlite3.Connection, sidecar_id: SidecarId, seq: int, records: Iterable[Record]) -> int:
    """Write parts of an image that is made after record `seq`. Returns their bytes."""
    rows = [row_of(sidecar_id, seq, each) for each in records]
    connection.executemany(_IMAGE, rows)
    return _size(rows)


class Dropped(NamedTuple):
    """The number of the first record that is left, and whether more are to be dropped."""

    first_seq: int
    has_more: bool


def drop_old(connection: sqlite3.Connection, before: Instant) -> Dropped:
    """Drop records from before a moment that the image covers, from the oldest on, and what the index has of them."""
    rows = connection.execute(
        "SELECT seq, written_at FROM records WHERE seq <= (SELECT image_seq FROM identity) ORDER BY seq LIMIT ?",
        (MAX_DROPPED,),
    ).fetchall()
    old = list(takewhile(lambda row: row[1] < before, rows))
    if old:
        connection.execute("DELETE FROM records WHERE seq <= ?", (old[-1][0],))
    query = "SELECT coalesce(min(seq), (SELECT image_seq + 1 FROM identity)) FROM records"
    (first_seq,) = connection.execute(query).fetchone()
    has_more = delete_segments(connection, first_seq)
    return Dropped(first_seq, has_more or len(old) == MAX_DROPPED)


def last_written(connection: sqlite3.Connection) -> tuple[int, Instant]:
    """The number of the last record that was ever written, and its moment; 0 and 0 if there was none."""
    found = connection.execute(
        "SELECT seq, written_at FROM records UNION ALL SELECT image_seq, clock FROM identity ORDER BY 1 DESC, 2 DESC LIMIT 1"
    ).fetchone()
    if found is None:
        return 0, Instant(0)
    if not isinstance(found[1], int):
        raise RowUnreadable("records", found[0], "its moment is none")
    return int(found[0]), Instant(found[1])


def bytes_after_image(connection: sqlite3.Connection) -> int:
    """The bytes of the records that the image does not cover."""
    query = "SELECT coalesce(sum(length(body)), 0) FROM records WHERE seq > (SELECT image_seq FROM identity)"
    return int(connection.execute(query).fetchone()[0])


def image_bytes(connection: sqlite3.Connection) -> int:
    """The bytes of the image."""
    return int(connection.execute("SELECT coalesce(sum(length(body)), 0) FROM image").fetchone()[0])


def read_image(connection: sqlite3.Connection, sidecar_id: SidecarId) -> Iterator[Change]:
    """All that could still change when the last image was made, as changes to empty books. No lease is trusted.

    Raises:
        RowUnreadable: a row is not as it was written.
    """
    for row in connection.execute(f"SELECT {_COLUMNS} FROM image ORDER BY part"):  # noqa: S608 - the names are above
        yield decoded("image", row[0], read_record, row, sidecar_id).change


def read_log(connection: sqlite3.Connection, sidecar_id: SidecarId) -> Iterator[tuple[int, Logged]]:
    """The records after the last image, with their numbers. No lease is trusted.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    (last,) = connection.execute("SELECT coalesce(max(image_seq), 0) FROM identity").fetchone()
    for row in connection.execute(f"SELECT {_COLUMNS} FROM records WHERE seq > ? ORDER BY seq", (last,)):  # noqa: S608
        if row[0] != last + 1:
            raise RowUnreadable("records", last + 1, "it is missing")
        last = row[0]
        yield last, decoded("records", last, read_record, row, sidecar_id)


def read_changes(connection: sqlite3.Connection, sidecar_id: SidecarId) -> Iterator[tuple[int | None, Change]]:
    """The image, and the records after it with their numbers.

    Charges that a record says more of are whole; one that is not known was posted before the image.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    charges: dict[ChargeId, Charge] = {}
    image = ((None, Logged(change)) for change in read_image(connection, sidecar_id))
    for seq, logged in chain(image, read_log(connection, sidecar_id)):
        known = (each for each in logged.updates if each.charge_id in charges)
        updated = tuple(replace(charges[each.charge_id], sent=each.sent, posting=each.posting) for each in known)
        change = replace(logged.change, charges=logged.change.charges + updated) if updated else logged.change
        for each in change.charges:
            charges[each.charge_id] = each
            if each.posting is not None:
                del charges[each.charge_id]
        yield seq, change


def find_record(connection: sqlite3.Connection, sidecar_id: SidecarId, seq: int) -> Logged | None:
    """The record of a number; None if it was dropped.

    Raises:
        RowUnreadable: it is not as it was written.
    """
    row = connection.execute(f"SELECT {_COLUMNS} FROM records WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - named above
    return None if row is None else decoded("records", seq, read_record, row, sidecar_id)


def read_record(row: Row, sidecar_id: SidecarId) -> Logged:
    """What a row says.

    Raises:
        ChecksumWrong: it is not what was written.
        BodyUnreadable: it is of a newer form.
    """
    seq, account_id, written_at, checksum, body = row
    if checksum != _checksum(seq, account_id, written_at, body):
        raise ChecksumWrong("its checksum is wrong")
    account = AccountId(account_id)
    logged = decode_change(account, Packing(account, sidecar_id).unpack(body))
    leases = tuple(replace(each, trusted_until=Span(0)) for each in logged.change.leases)
    return replace(logged, change=replace(logged.change, leases=leases))


def _size(rows: Sequence[Row]) -> int:
    return sum(len(row[-1]) for row in rows)


def _checksum(seq: int, account_id: str, written_at: int, body: bytes) -> int:
    """The CRC-32 of a row."""
    return zlib.crc32(body, zlib.crc32(f"{seq} {account_id} {written_at} ".encode()))
