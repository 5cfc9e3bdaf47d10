"""Journals of versions 1 and 2, which had a row for the newest version of each thing, and their way to this version.

The rows are moved to the log in batches. Each batch is one transaction that writes records and deletes the rows, so a process
that is killed goes on where it was. A journal has its new version as soon as the log is there: no older program opens it then.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from creditmeter.core.credit.requests import Receipt
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Book, Change
from creditmeter.forms.accounts import ACCOUNT
from creditmeter.forms.body import Form
from creditmeter.forms.charges import CHARGE, REFUND
from creditmeter.forms.leases import LEASE
from creditmeter.forms.requests import FIRST_REPLY, REQUEST
from creditmeter.forms.reservations import RESERVATION
from creditmeter.journal.index import RecordIndex, read_segments, write_entries
from creditmeter.journal.records import Record, add_to_image, append, encoded, last_written
from creditmeter.journal.rows import Identity, decoded, differs, put_extent, put_identity, read_identity, read_rate_cards
from creditmeter.journal.schema import ENTRIES, RATE_CARDS, RECORDS, VERSION, Progress

MAX_MOVED = 2_000
"""Most rows that are moved in one transaction."""

_WITH_RATE_CARDS = 2
"""The version from which on there is a table of rate cards."""

_KEYS: Mapping[str, tuple[str, Form[Any]]] = {
    "accounts": ("account_id", ACCOUNT),
    "leases": ("lease_id", LEASE),
    "reservations": ("reservation_id", RESERVATION),
    "charges": ("charge_id", CHARGE),
    "refunds": ("refund_id", REFUND),
}
"""The tables of things, each with its key and the form of its bodies."""

_IDENTITY = "sidecar_id, epoch, pending_nonce, clock"

TABLES = (*_KEYS, "receipts")
"""The tables of what a sidecar did under its identity."""


def examine(connection: sqlite3.Connection, version: int) -> None:
    """Read every row.

    Raises:
        RowUnreadable: a row is not as it was written.
    """
    read_identity(connection, TABLES, _IDENTITY)
    examine_left(connection)
    if version >= _WITH_RATE_CARDS:
        read_rate_cards(connection)


def examine_left(connection: sqlite3.Connection) -> None:
    """Read every row that was not moved yet.

    Raises:
        RowUnreadable: one is not as it was written.
    """
    for table in _tables_left(connection):
        for _ in _changes(connection, table, ""):
            pass


def begin(connection: sqlite3.Connection, version: int) -> None:
    """Make the tables of this version beside the older ones."""
    cards = RATE_CARDS if version < _WITH_RATE_CARDS else ""
    numbers = ("image_seq", "image_parts", "log_end", "set_aside")
    columns = "".join(f"ALTER TABLE identity ADD {each} INTEGER NOT NULL DEFAULT 0;" for each in numbers)
    columns += "ALTER TABLE identity ADD checksum INTEGER;"
    connection.executescript(f"BEGIN IMMEDIATE; {cards} {RECORDS} {ENTRIES} {columns}")
    identity = read_identity(connection, TABLES, _IDENTITY)
    if identity is not None:
        put_identity(connection, identity)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def is_unfinished(connection: sqlite3.Connection) -> bool:
    """Whether rows of an older version are left to move."""
    return bool(_tables_left(connection))


def _tables_left(connection: sqlite3.Connection) -> list[str]:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in TABLES if table in names]


def finish(connection: sqlite3.Connection, progress: Progress) -> None:
    """Move all rows of an older version: to the image what can still change, to the log and its index what cannot.

    What waits to be posted goes first and in its order, since a book knows it from the oldest on.

    Raises:
        RowUnreadable: a row is not as it was written.
    """
    identity = read_identity(connection, TABLES)
    left = _tables_left(connection)
    count = sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in left)  # noqa: S608
    moved = 0
    if identity is not None:
        index = RecordIndex()
        index.replace(read_segments(connection))
        for table in left:
            for batch in _batches(connection, table):
                _move(connection, identity, table, batch, index)
                moved += len(batch)
                progress(moved, count)
    connection.executescript("".join(f"DROP TABLE {table};" for table in left))


_Key = tuple[str, ...]
_Batch = list[tuple[_Key, Change]]


def _batches(connection: sqlite3.Connection, table: str) -> Iterator[_Batch]:
    if table in ("charges", "refunds"):
        unposted = list(_changes(connection, table, "WHERE json_extract(CAST(body AS TEXT), '$.posting') IS NULL"))
        if unposted:
            yield sorted(unposted, key=_made_at)
    while batch := list(islice(_changes(connection, table, f"LIMIT {MAX_MOVED}"), MAX_MOVED)):
        yield batch


def _made_at(row: tuple[_Key, Change]) -> Instant:
    change = row[1]
    return change.charges[0].committed_at if change.charges else change.refunds[0].refunded_at


def _move(connection: sqlite3.Connection, identity: Identity, table: str, batch: _Batch, index: RecordIndex) -> None:
    """Move rows in one transaction."""
    sidecar_id, clock = identity.sidecar_id, identity.clock
    keys = " AND ".join(f"{each} = ?" for each in _key_columns(table))
    live, ended = _parted(change for _, change in batch)
    connection.execute("BEGIN IMMEDIATE")
    try:
        last, _ = last_written(connection)
        append(connection, sidecar_id, [encoded(seq, Record(each, clock)) for seq, each in enumerate(ended, last + 1)])
        for seq, change in enumerate(ended, last + 1):
            index.add(seq, change)
        write_entries(connection, index.take())
        add_to_image(connection, sidecar_id, (Record(change, clock) for change in live))
        put_extent(connection, image_seq=last + len(ended))
        connection.executemany(f"DELETE FROM {table} WHERE {keys}", (key for key, _ in batch))  # noqa: S608 - named above
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    index.taken_are_written()


def _parted(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    """The changes whose things can still change, and the others."""
    parts: tuple[list[Change], list[Change]] = ([], [])
    for each in changes:
        parts[not _can_change(each)].append(each)
    return parts


def _can_change(change: Change) -> bool:
    """Whether what a row has can still change, or is an account or a lease."""
    book = Book(change.account_id)
    book.apply(change)
    book.let_go(change)
    return bool(book.live)


def _key_columns(table: str) -> tuple[str, ...]:
    return ("account_id", "request_id") if table == "receipts" else (_KEYS[table][0],)


def _changes(connection: sqlite3.Connection, table: str, which: str) -> Iterator[tuple[_Key, Change]]:
    """The rows of a table with their keys, as changes."""
    if table == "receipts":
        for row in connection.execute(f"SELECT account_id, request_id, kind, request, reply FROM receipts {which}"):  # noqa: S608
            yield row[:2], Change(row[0], receipts=(decoded("receipts", row[1], _receipt, *row),))
        return
    key, form = _KEYS[table]
    for thing in _things(connection, table, form, key, which):
        fields: dict[str, Any] = {"account": thing} if table == "accounts" else {table: (thing,)}
        yield (getattr(thing, key),), Change(AccountId(thing.account_id), **fields)


def _things(connection: sqlite3.Connection, table: str, form: Form[Any], key: str, which: str) -> Iterator[Any]:
    """The rows of a table whose body names its own key."""

    def checked(name: str, body: bytes) -> Any:
        thing = form.decode(body)
        return thing if getattr(thing, key) == name else differs(key)

    for name, body in connection.execute(f"SELECT {key}, body FROM {table} {which}"):  # noqa: S608 - this module's names
        yield decoded(table, name, checked, name, body)


def _receipt(account_id: str, request_id: str, kind: str, request: bytes, reply: bytes) -> Receipt:
    first = FIRST_REPLY.decode(reply)
    receipt = Receipt(REQUEST.decode(kind, request), first.reservation, first.charge, first.refund)
    replied = {each.account_id for each in (first.reservation, first.charge, first.refund) if each is not None}
    if receipt.request.request_id != request_id:
        differs("request_id")
    return receipt if replied <= {account_id} else differs("account_id")
