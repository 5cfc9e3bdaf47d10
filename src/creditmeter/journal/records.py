"""The log and the image: changes of books, as rows with a checksum.

The checksum is two CRC-32 in one number: that of the row without its body, and that of all of it. So of a row whose body is
damaged the number and the account are known for sure, or known to be damaged too. A part of the image has its table and its
place in it, so that no part can stand for another one.
"""

import sqlite3
import zlib
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import chain, takewhile
from typing import Any, NamedTuple, TypeVar

from creditmeter.core.credit.charges import Charge
from creditmeter.core.ids import AccountId, ChargeId, SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Change
from creditmeter.core.values import replace
from creditmeter.forms.changes import FormUnknown, Logged, Packing, decode_change, encode_change
from creditmeter.journal.index import delete_segments
from creditmeter.journal.rows import RowDamaged, RowUnreadable, put_extent, read_extent

MAX_DROPPED = 1_024
"""Most records that are dropped in one transaction, so that it stays short."""

_IMAGE = "INSERT INTO image VALUES (?, ?, ?, ?, ?)"
_COLUMNS = "account_id, written_at, checksum, body"
_HALF = 2**32

LOG, IMAGE = "records", "image"
"""The two tables. A row's checksum depends on which it is in."""

Row = tuple[int, Any, Any, Any, Any]
"""The number of a row, its account, its moment, its checksum and its body. If it is damaged, anything may be in their place."""

_MOST_ROWS_AT_ONCE = 256
"""A power of two. A statement has five values for each row, and SQLite takes 32,766."""


@dataclass(frozen=True, slots=True)
class Record:
    """A change, and the moment at which it was given to the journal. The charges `known` are on disk but for what is new."""

    change: Change
    written_at: Instant
    known: Container[ChargeId] = ()


@dataclass(slots=True)
class Damage:
    """The rows that could not be read, of which the account is known. The accounts that are `set_aside` are not read at all."""

    set_aside: Collection[AccountId] = ()
    rows: list[RowDamaged] = field(default_factory=list)

    @property
    def accounts(self) -> set[AccountId]:
        """Whose rows they are."""
        return {each.account_id for each in self.rows}


class Encoded(NamedTuple):
    """A record as it is to be written: its number, account and moment, and its body, which is not packed yet."""

    number: int
    account_id: AccountId
    written_at: Instant
    body: bytes


def encoded(number: int, record: Record) -> Encoded:
    """The record of a number.

    Raises:
        TypeError: something in it cannot be stored.
    """
    change = record.change
    return Encoded(number, change.account_id, record.written_at, encode_change(change, record.known))


def append(connection: sqlite3.Connection, sidecar_id: SidecarId, records: Sequence[Encoded]) -> int:
    """Write records to the end of the log. Returns the bytes of their bodies.

    They are packed here, in the journal's thread: zlib lets go of the interpreter each time, and on a busy event loop it takes
    a while to have it again. So there are few statements, too: of as many rows as the largest powers of two that make up the
    number.
    """
    rows = [_row(LOG, sidecar_id, each) for each in records]
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
    size = add_to_image(connection, sidecar_id, (Record(each, written_at) for each in live))
    put_extent(connection, image_seq=seq)
    return size


def add_to_image(connection: sqlite3.Connection, sidecar_id: SidecarId, records: Iterable[Record]) -> int:
    """Write further parts of the image. Returns their bytes."""
    (last,) = connection.execute("SELECT coalesce(max(part), 0) FROM image").fetchone()
    rows = [_row(IMAGE, sidecar_id, encoded(part, each)) for part, each in enumerate(records, last + 1)]
    connection.executemany(_IMAGE, rows)
    return _size(rows)


def blank(connection: sqlite3.Connection, sidecar_id: SidecarId, damaged: RowDamaged) -> None:
    """Put a record that changes nothing in the place of one that cannot be read, if it was not dropped yet."""
    found = connection.execute("SELECT written_at FROM records WHERE seq = ?", (damaged.number,)).fetchone()
    if found is not None:
        row = _row(LOG, sidecar_id, encoded(damaged.number, Record(Change(damaged.account_id), found[0])))
        connection.execute("REPLACE INTO records VALUES (?, ?, ?, ?, ?)", row)


class Dropped(NamedTuple):
    """The number of the first record that is left, and whether more are to be dropped."""

    first_seq: int
    has_more: bool


def drop_old(connection: sqlite3.Connection, before: Instant) -> Dropped:
    """Drop records from before a moment that the image covers, from the oldest on, and what the index has of them.

    It ends at the first one that is not old: a later one may seem older than it is, because a clock was behind for a while.
    """
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


def read_image(connection: sqlite3.Connection, sidecar_id: SidecarId, damage: Damage | None = None) -> Iterator[Change]:
    """All that could still change when the last image was made, as changes to empty books. No lease is trusted.

    With `damage`, rows that are damaged and of a known account are added to it and left out.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    rows = connection.execute(f"SELECT part, {_COLUMNS} FROM image ORDER BY part")  # noqa: S608 - the names are above
    parts = _numbered(rows, IMAGE, 0)
    for _, logged in _readable(parts, IMAGE, sidecar_id, damage):
        yield logged.change
    (last,) = connection.execute("SELECT coalesce(max(part), 0) FROM image").fetchone()
    if last != read_extent(connection).image_parts:
        raise RowUnreadable(IMAGE, last + 1, "it is missing")


def read_log(
    connection: sqlite3.Connection, sidecar_id: SidecarId, damage: Damage | None = None
) -> Iterator[tuple[int, Logged]]:
    """The records after the last image, with their numbers. No lease is trusted.

    With `damage`, records that are damaged and of a known account are added to it and left out.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    extent = read_extent(connection)
    query = f"SELECT seq, {_COLUMNS} FROM records WHERE seq > ? ORDER BY seq"  # noqa: S608 - the names are above
    records = _numbered(connection.execute(query, (extent.image_seq,)), LOG, extent.image_seq)
    yield from _readable(records, LOG, sidecar_id, damage)
    last, _ = last_written(connection)
    if last < extent.log_end:
        raise RowUnreadable(LOG, last + 1, "it is missing")


def read_ended(connection: sqlite3.Connection, sidecar_id: SidecarId) -> Iterator[tuple[int, Logged]]:
    """The records that the image covers, with their numbers.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    query = f"SELECT seq, {_COLUMNS} FROM records WHERE seq <= ? ORDER BY seq"  # noqa: S608 - the names are above
    rows = connection.execute(query, (read_extent(connection).image_seq,))
    first = rows.fetchone()
    if first is not None:
        yield from _readable(_numbered(chain((first,), rows), LOG, first[0] - 1), LOG, sidecar_id, None)


def _numbered(rows: Iterable[Row], table: str, last: int) -> Iterator[Row]:
    """Rows whose numbers go on from that of the last one without a gap."""
    for row in rows:
        if row[0] != last + 1:
            raise RowUnreadable(table, last + 1, "it is missing")
        last = row[0]
        yield row


def _readable(rows: Iterable[Row], table: str, sidecar_id: SidecarId, damage: Damage | None) -> Iterator[tuple[int, Logged]]:
    """What rows say, with their numbers; without those that are damaged or set aside."""
    for row in rows:
        account_id = account_of(table, row)
        if damage is not None and account_id in damage.set_aside:
            continue
        try:
            yield row[0], _read_row_of(account_id, table, row, sidecar_id)
        except RowDamaged as error:
            if damage is None:
                raise
            damage.rows.append(error)


def read_changes(
    connection: sqlite3.Connection, sidecar_id: SidecarId, damage: Damage | None = None
) -> Iterator[tuple[int | None, Change]]:
    """The image, and the records after it with their numbers.

    Charges that a record says more of are whole; one that is not known was posted before the image. With `damage`, rows that
    are damaged and of a known account are added to it and left out.

    Raises:
        RowUnreadable: a row is not as it was written, or one is missing.
    """
    image = ((None, Logged(change)) for change in read_image(connection, sidecar_id, damage))
    yield from whole(chain(image, read_log(connection, sidecar_id, damage)))


_Number = TypeVar("_Number")


def whole(records: Iterable[tuple[_Number, Logged]]) -> Iterator[tuple[_Number, Change]]:
    """Records in their order, with their numbers. Charges that a record says more of are whole; those that are not known are
    left out.
    """
    charges: dict[ChargeId, Charge] = {}
    for seq, logged in records:
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
        RowDamaged: it is not as it was written, but its account is.
        RowUnreadable: it is not as it was written, or is missing.
    """
    row = connection.execute(f"SELECT seq, {_COLUMNS} FROM records WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - named above
    if row is not None:
        return read_row(LOG, row, sidecar_id)
    (first,) = connection.execute("SELECT min(seq) FROM records").fetchone()
    if first is not None and first < seq:
        raise RowUnreadable(LOG, seq, "it is missing")
    return None


def account_of(table: str, row: Row) -> AccountId:
    """The account of a row, even if its body is damaged.

    Raises:
        RowUnreadable: its number, its account or its moment is not as it was written.
    """
    number, account_id, written_at, checksum, _ = row
    is_typed = isinstance(account_id, str) and isinstance(written_at, int) and isinstance(checksum, int)
    if not is_typed or checksum // _HALF != _head(table, number, account_id, written_at) - _HALF // 2:
        raise RowUnreadable(table, number, "its checksum is wrong")
    return AccountId(account_id)


def read_row(table: str, row: Row, sidecar_id: SidecarId) -> Logged:
    """What a row says.

    Raises:
        RowDamaged: it is not as it was written, but its account is.
        RowUnreadable: its account is not either, or it is of a newer form.
    """
    return _read_row_of(account_of(table, row), table, row, sidecar_id)


def _read_row_of(account: AccountId, table: str, row: Row, sidecar_id: SidecarId) -> Logged:
    """What a row of this account says."""
    try:
        body = _packing(account, sidecar_id).unpack(_body_of(table, row))
        return decode_change(account, body, trusts_leases=False)
    except FormUnknown as error:
        raise RowUnreadable(table, row[0], str(error)) from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RowDamaged(table, row[0], account, reason) from error


_packing = lru_cache(maxsize=1_024)(Packing)
"""How the records of an account are packed. A start reads many of the same ones."""


def _body_of(table: str, row: Row) -> bytes:
    """The packed body of a row.

    Raises:
        ValueError: it is not what was written.
    """
    number, account_id, written_at, checksum, body = row
    if checksum % _HALF != zlib.crc32(body, _head(table, number, account_id, written_at)):
        raise ValueError("its checksum is wrong")
    assert isinstance(body, bytes), "it has a CRC-32"
    return body


def _row(table: str, sidecar_id: SidecarId, record: Encoded) -> Row:
    number, account_id, written_at, body = record
    packed = _packing(account_id, sidecar_id).pack(body)
    return sealed(table, number, account_id, written_at, packed)


def sealed(table: str, number: int, account_id: str, written_at: int, packed: bytes) -> Row:
    """A row with its checksum."""
    head = _head(table, number, account_id, written_at)
    return number, account_id, written_at, (head - _HALF // 2) * _HALF + zlib.crc32(packed, head), packed


def _head(table: str, number: int, account_id: str, written_at: int) -> int:
    """The CRC-32 of a row without its body."""
    return zlib.crc32(f"{table} {number} {account_id} {written_at} ".encode(errors="surrogateescape"))


def _size(rows: Sequence[Row]) -> int:
    return sum(len(row[-1]) for row in rows)
