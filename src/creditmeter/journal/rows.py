"""Writes changes of books to the journal's rows, and reads them. `forms` says how their bodies look."""

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

from creditmeter.core.credit.requests import Receipt
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Span
from creditmeter.core.metering.book import Change, Forgotten
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.forms.accounts import ACCOUNT
from creditmeter.forms.body import Form
from creditmeter.forms.charges import CHARGE, REFUND
from creditmeter.forms.leases import LEASE
from creditmeter.forms.rate_cards import KEPT_CARD
from creditmeter.forms.requests import FIRST_REPLY, REQUEST, reply_of_bodies
from creditmeter.forms.reservations import RESERVATION


@dataclass(frozen=True, slots=True)
class DroppedCard:
    """The version of a rate card that nothing is priced by any more."""

    version: str


class RowUnreadable(Exception):
    """A row is not as it was written: which one, and what is wrong with it."""

    def __init__(self, table: str, key: object, reason: str) -> None:
        super().__init__(f"the row {key!r} of {table} cannot be read ({reason})")


_Thing = TypeVar("_Thing")

_KEPT = ("accounts", "leases", "reservations", "charges", "refunds", "receipts")
"""The tables of what a sidecar did under its identity."""


_Body = Callable[[Form[Any], object], bytes | None]
"""The body of a thing; None if there is no thing."""


class _Bodies:
    """The bodies of changes that are being written. Each thing is encoded once: replies repeat what their changes name."""

    def __init__(self) -> None:
        self._made: dict[int, bytes] = {}

    def of(self, form: Form[Any], thing: object) -> bytes | None:
        """The body of a thing, which outlives this object; None if there is no thing."""
        if thing is None:
            return None
        found = self._made.get(id(thing))
        if found is None:
            found = self._made[id(thing)] = form.encode(thing)
        return found


def write_changes(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Write the last version of each thing that the changes name."""
    changes = tuple(changes)
    put, body = connection.executemany, _Bodies().of
    put(
        "INSERT OR REPLACE INTO accounts VALUES (?, ?)",
        {each.account_id: (each.account_id, body(ACCOUNT, each.account)) for each in changes if each.account}.values(),
    )
    for table, form, things in _by_table(changes):
        put(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?)",  # noqa: S608 - the tables are named below
            ((key, body(form, thing)) for key, thing in things.items()),
        )
    put(
        "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
        (_receipt_row(each.account_id, receipt, body) for each in changes for receipt in each.receipts),
    )


def _by_table(changes: tuple[Change, ...]) -> Iterator[tuple[str, Form[Any], Mapping[str, object]]]:
    yield "leases", LEASE, {lease.lease_id: lease for each in changes for lease in each.leases}
    yield "reservations", RESERVATION, {item.reservation_id: item for each in changes for item in each.reservations}
    yield "charges", CHARGE, {item.charge_id: item for each in changes for item in each.charges}
    yield "refunds", REFUND, {item.refund_id: item for each in changes for item in each.refunds}


def _receipt_row(account_id: AccountId, receipt: Receipt, body: _Body) -> tuple[str, str, str, bytes, bytes]:
    request = receipt.request
    reply = reply_of_bodies(body(RESERVATION, receipt.reservation), body(CHARGE, receipt.charge), body(REFUND, receipt.refund))
    return account_id, request.request_id, REQUEST.name(request), REQUEST.encode(request), reply


def delete_forgotten(connection: sqlite3.Connection, forgotten: Iterable[Forgotten]) -> None:
    """Delete what books dropped."""
    for each in forgotten:
        for table, key, gone in (
            ("reservations", "reservation_id", each.reservations),
            ("charges", "charge_id", each.charges),
            ("refunds", "refund_id", each.refunds),
            ("leases", "lease_id", each.leases),
        ):
            connection.executemany(
                f"DELETE FROM {table} WHERE {key} = ?",  # noqa: S608 - the names are those above
                ((item,) for item in gone),
            )
        if each.account:
            connection.execute("DELETE FROM accounts WHERE account_id = ?", (each.account_id,))
        connection.executemany(
            "DELETE FROM receipts WHERE account_id = ? AND request_id = ?",
            ((each.account_id, item) for item in each.receipts),
        )


def write_rate_cards(connection: sqlite3.Connection, cards: Iterable[KeptCard]) -> None:
    """Write rate cards; with their price lists they compress to a tenth."""
    rows = ((each.version, zlib.compress(KEPT_CARD.encode(each))) for each in cards)
    connection.executemany("INSERT OR REPLACE INTO rate_cards VALUES (?, ?)", rows)


def delete_rate_cards(connection: sqlite3.Connection, dropped: Iterable[DroppedCard]) -> None:
    """Delete rate cards that nothing is priced by any more."""
    connection.executemany("DELETE FROM rate_cards WHERE version = ?", ((each.version,) for each in dropped))


def read_rate_cards(connection: sqlite3.Connection) -> list[KeptCard]:
    """The rate cards in the journal.

    Raises:
        RowUnreadable: one cannot be read.
    """
    rows = connection.execute("SELECT version, body FROM rate_cards")
    return [_decoded("rate_cards", version, _rate_card, version, body) for version, body in rows]


def read_identity(connection: sqlite3.Connection) -> tuple[str, int, str, int] | None:
    """The sidecar's id, its epoch, the nonce of a registration under way and the clock; None in a new file.

    Raises:
        RowUnreadable: it is not what was written, or is gone from a file that has other rows.
    """
    rows = connection.execute("SELECT sidecar_id, epoch, pending_nonce, clock FROM identity").fetchall()
    if not rows:
        if any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in _KEPT):  # noqa: S608 - named below
            raise RowUnreadable("identity", "1", "it is gone")
        return None
    return _decoded("identity", "1", _identity, *rows[0])


def read_all(connection: sqlite3.Connection) -> Iterator[Change]:
    """Everything in the journal, as changes to empty books.

    Raises:
        RowUnreadable: a row cannot be read.
    """
    for account in _things(connection, "accounts", ACCOUNT, "account_id"):
        yield Change(account.account_id, account=account)
    for lease in _things(connection, "leases", LEASE, "lease_id"):
        yield Change(lease.account_id, leases=(replace(lease, trusted_until=Span(0)),))
    for reservation in _things(connection, "reservations", RESERVATION, "reservation_id"):
        yield Change(reservation.account_id, reservations=(reservation,))
    charges = _things(connection, "charges", CHARGE, "charge_id")
    for charge in sorted(charges, key=lambda each: each.committed_at):  # a book knows them from the oldest on
        yield Change(charge.account_id, charges=(charge,))
    refunds = _things(connection, "refunds", REFUND, "refund_id")
    for refund in sorted(refunds, key=lambda each: each.refunded_at):
        yield Change(refund.account_id, refunds=(refund,))
    for row in connection.execute("SELECT account_id, request_id, kind, request, reply FROM receipts"):
        yield Change(row[0], receipts=(_decoded("receipts", row[1], _receipt, *row),))


def _things(connection: sqlite3.Connection, table: str, form: Form[_Thing], key: str) -> Iterator[_Thing]:
    """The rows of a table whose body names its own key."""

    def checked(name: str, body: bytes) -> _Thing:
        thing = form.decode(body)
        return thing if getattr(thing, key) == name else _differs(key)

    for name, body in connection.execute(f"SELECT {key}, body FROM {table}"):  # noqa: S608 - the names are this module's
        yield _decoded(table, name, checked, name, body)


def _decoded(table: str, key: object, decode: Callable[..., _Thing], *cells: object) -> _Thing:
    """What `decode` makes of a row. Any error of it is raised as RowUnreadable."""
    try:
        return decode(*cells)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RowUnreadable(table, key, reason) from error


def _differs(column: str) -> NoReturn:
    raise ValueError(f"{column} is not that of its body")


def _identity(sidecar_id: object, epoch: object, pending_nonce: object, clock: object) -> tuple[str, int, str, int]:
    match sidecar_id, epoch, pending_nonce, clock:
        case (str(), int(), str(), int()) as row:
            return row if row[0] and row[1] >= 0 else _differs("sidecar_id or epoch")
        case _:
            raise ValueError("a column is of another type")


def _rate_card(version: str, body: bytes) -> KeptCard:
    card = KEPT_CARD.decode(zlib.decompress(body))
    return card if card.version == version else _differs("version")


def _receipt(account_id: str, request_id: str, kind: str, request: bytes, reply: bytes) -> Receipt:
    first = FIRST_REPLY.decode(reply)
    receipt = Receipt(REQUEST.decode(kind, request), first.reservation, first.charge, first.refund)
    replied = {each.account_id for each in (first.reservation, first.charge, first.refund) if each is not None}
    if receipt.request.request_id != request_id:
        _differs("request_id")
    return receipt if replied <= {account_id} else _differs("account_id")
