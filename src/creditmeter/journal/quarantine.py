"""The quarantine: what the journal has of accounts of which a row cannot be read.

A row that is damaged, and still says whose it is, is no reason to stop the other accounts. All that the journal has of its
account and could still change, the rows of the image and the records after it, is copied into a table of its own, as it is on
disk. From then on the account is neither read nor used. Further images and the dropping of old records do not touch the copies,
so the quarantine lasts until an operator ends it.

A copy keeps its number, its moment and its checksum, and the table it is from, so it is checked as that was.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.values import replace
from creditmeter.forms.changes import Logged
from creditmeter.journal.groups import UnpostedCharges
from creditmeter.journal.index import RecordIndex, read_segments, write_entries
from creditmeter.journal.kept_spending import SpentSince, put_kept_spending, read_kept_spending
from creditmeter.journal.records import (
    LOG,
    Damage,
    Row,
    account_of,
    blank,
    last_written,
    read_changes,
    read_row,
    replace_image,
    whole,
)
from creditmeter.journal.rows import RowDamaged, RowUnreadable, put_extent, read_extent

_COLUMNS = "origin, number, account_id, written_at, checksum, body"
_IMAGE = "SELECT 'image', part, account_id, written_at, checksum, body FROM image WHERE account_id = ?"
_LOG = (
    "SELECT 'records', seq, account_id, written_at, checksum, body FROM records"
    " WHERE seq > (SELECT image_seq FROM identity) AND account_id = ?"
)

_log = structlog.get_logger()


@dataclass(slots=True)
class SetAside:
    """An account in quarantine: what can be read of it, its records that can be read, and the rows that cannot."""

    account_id: AccountId
    book: Book
    records: list[tuple[int, Change]] = field(default_factory=list)
    damaged: list[RowDamaged] = field(default_factory=list)


def tell(damage: Damage, known: Collection[AccountId]) -> frozenset[AccountId]:
    """All accounts in quarantine, after a load that found this damage. Those that were not known to be are logged."""
    for row in damage.rows:
        _log.error("the journal is damaged", reason=str(row), account_id=row.account_id)
    found = frozenset({*damage.set_aside, *damage.accounts})
    for each in sorted(found.difference(known)):
        _log.warning("an account is in quarantine", account_id=each, what_to_do="creditmeter journal check")
    return found


def set_aside(connection: sqlite3.Connection, accounts: Iterable[AccountId]) -> None:
    """Put accounts into quarantine, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for account_id in accounts:
            for query in (_IMAGE, _LOG):
                connection.execute(f"INSERT INTO quarantine ({_COLUMNS}) {query}", (account_id,))
        put_extent(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def accounts_set_aside(connection: sqlite3.Connection) -> frozenset[AccountId]:
    """The accounts in quarantine.

    Raises:
        RowUnreadable: a row does not say whose it is, or one is missing.
    """
    rows = _rows(connection)
    if len(rows) != read_extent(connection).set_aside:
        raise RowUnreadable("quarantine", len(rows) + 1, "it is missing")
    return frozenset(account_of(origin, row) for origin, row in rows)


def read_set_aside(connection: sqlite3.Connection, sidecar_id: SidecarId) -> dict[AccountId, SetAside]:
    """What the quarantine has of each account.

    Raises:
        RowUnreadable: a row does not say whose it is, or one is missing.
    """
    accounts_set_aside(connection)
    rows = _rows(connection)
    accounts = sorted({account_of(origin, row) for origin, row in rows})
    return {each: _read(each, (found for found in rows if found[1][1] == each), sidecar_id) for each in accounts}


def left_of(connection: sqlite3.Connection, sidecar_id: SidecarId, account_id: AccountId) -> SetAside:
    """What there is of an account that is not in quarantine, but will be at the next start."""
    rows = (row for query in (_IMAGE, _LOG) for row in connection.execute(query, (account_id,)))
    return _read(account_id, ((origin, (number, *rest)) for origin, number, *rest in rows), sidecar_id)


def accept_loss(connection: sqlite3.Connection, sidecar_id: SidecarId, account_id: AccountId) -> SetAside | None:
    """End the quarantine of an account, in one transaction: go on from what can be read of it. None if it is not damaged.

    Its leases count as spent up to their limit: what was authorised on them may be in what is lost, and nothing is authorised
    twice. What was charged and can be read is posted.

    Raises:
        RowUnreadable: a row does not say whose it is, or one is missing.
    """
    damage = Damage(accounts_set_aside(connection))
    for _ in read_changes(connection, sidecar_id, damage):
        pass
    if damage.rows:
        set_aside(connection, damage.accounts)
    left = read_set_aside(connection, sidecar_id).get(account_id)
    if left is None:
        return None
    connection.execute("BEGIN IMMEDIATE")
    try:
        _go_on_from(connection, sidecar_id, left)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return left


def _go_on_from(connection: sqlite3.Connection, sidecar_id: SidecarId, left: SetAside) -> None:
    """Write an image with what is left of an account, and take that out of quarantine. What it was asked stays to be found."""
    index = RecordIndex()
    index.replace(read_segments(connection))
    books: dict[AccountId, Book] = {}
    kept, since, unposted = read_kept_spending(connection), SpentSince(), UnpostedCharges()
    for seq, change in read_changes(connection, sidecar_id, Damage(accounts_set_aside(connection))):
        known = unposted.note(change)
        if seq is not None:
            index.add(seq, change)
            since.note(change, known)
        book = books.setdefault(change.account_id, Book(change.account_id))
        book.apply(change)
        book.let_go(change)
    for seq, change in left.records:
        if not index.has(connection, seq, change):
            index.add(seq, change)
    spent = tuple(replace(each, spent=each.limit) for each in left.book.leases.values())
    live = [*(live for book in books.values() if (live := book.live)), replace(left.book.live, leases=spent)]
    for each in left.damaged:
        if each.table == LOG:
            blank(connection, sidecar_id, each)
    last, written_at = last_written(connection)
    connection.execute("DELETE FROM quarantine WHERE account_id = ?", (left.account_id,))
    replace_image(connection, sidecar_id, last, written_at, [each for each in live if each])
    put_kept_spending(connection, since.added_to(kept, ()).spent)
    write_entries(connection, index.take())


def _read(account_id: AccountId, rows: Iterable[tuple[str, Row]], sidecar_id: SidecarId) -> SetAside:
    """What can be read of an account."""
    found = SetAside(account_id, Book(account_id))

    def readable() -> Iterator[tuple[tuple[str, int], Logged]]:
        for origin, row in rows:
            try:
                yield (origin, row[0]), read_row(origin, row, sidecar_id)
            except RowDamaged as error:
                found.damaged.append(error)

    for (origin, number), change in whole(readable()):
        found.book.apply(change)
        found.book.let_go(change)
        if origin == LOG:
            found.records.append((number, change))
    return found


def _rows(connection: sqlite3.Connection) -> list[tuple[str, Row]]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM quarantine ORDER BY id")  # noqa: S608 - named above
    return [(origin, (number, *rest)) for origin, number, *rest in rows]
