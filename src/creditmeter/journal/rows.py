"""Between changes of books and the journal's rows."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from creditmeter.core.accounts import Account
from creditmeter.core.book import Change, Forgotten
from creditmeter.core.charges import Charge, Refund
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Span
from creditmeter.core.leases import Lease
from creditmeter.core.rate_cards import KeptCard
from creditmeter.core.requests import ChargeNow, Commit, Extend, Receipt, RefundCharge, Release, Request, Reserve
from creditmeter.core.reservations import Reservation


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a receipt says beside its request."""

    reservation: Reservation | None
    charge: Charge | None
    refund: Refund | None


@dataclass(frozen=True, slots=True)
class DroppedCard:
    """The version of a rate card that nothing is priced by any more."""

    version: str


@dataclass(frozen=True, slots=True)
class UnreadableCard:
    """The version of a rate card that this program cannot read, and why."""

    version: str
    reason: str


_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_account = msgspec.json.Decoder(Account).decode
_decode_lease = msgspec.json.Decoder(Lease).decode
_decode_reservation = msgspec.json.Decoder(Reservation).decode
_decode_charge = msgspec.json.Decoder(Charge).decode
_decode_refund = msgspec.json.Decoder(Refund).decode
_decode_rate_card = msgspec.json.Decoder(KeptCard).decode
_REQUEST_KINDS: dict[str, type[Request]] = {
    kind.__name__: kind for kind in (Reserve, Extend, Commit, Release, ChargeNow, RefundCharge)
}


def write_changes(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Write the last version of each thing that the changes name."""
    changes = tuple(changes)
    put = connection.executemany
    put(
        "INSERT OR REPLACE INTO accounts VALUES (?, ?)",
        {each.account_id: (each.account_id, _encode(each.account)) for each in changes if each.account}.values(),
    )
    for table, things in _by_table(changes):
        put(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?)",  # noqa: S608 - the tables are named below
            ((key, _encode(thing)) for key, thing in things.items()),
        )
    put(
        "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
        (_receipt_row(each.account_id, receipt) for each in changes for receipt in each.receipts),
    )


def _by_table(changes: tuple[Change, ...]) -> Iterator[tuple[str, dict[str, object]]]:
    yield "leases", {lease.lease_id: lease for each in changes for lease in each.leases}
    yield "reservations", {item.reservation_id: item for each in changes for item in each.reservations}
    yield "charges", {item.charge_id: item for each in changes for item in each.charges}
    yield "refunds", {item.refund_id: item for each in changes for item in each.refunds}


def _receipt_row(account_id: AccountId, receipt: Receipt) -> tuple[str, str, str, bytes, bytes]:
    request = receipt.request
    reply = _Reply(receipt.reservation, receipt.charge, receipt.refund)
    return account_id, request.request_id, type(request).__name__, _encode(request), _encode(reply)


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
    rows = ((each.version, zlib.compress(_encode(each))) for each in cards)
    connection.executemany("INSERT OR REPLACE INTO rate_cards VALUES (?, ?)", rows)


def delete_rate_cards(connection: sqlite3.Connection, dropped: Iterable[DroppedCard]) -> None:
    """Delete rate cards that nothing is priced by any more."""
    connection.executemany("DELETE FROM rate_cards WHERE version = ?", ((each.version,) for each in dropped))


def read_rate_cards(connection: sqlite3.Connection) -> list[KeptCard | UnreadableCard]:
    """The rate cards in the journal."""
    return [_rate_card(*row) for row in connection.execute("SELECT version, body FROM rate_cards")]


def _rate_card(version: str, body: bytes) -> KeptCard | UnreadableCard:
    try:
        return _decode_rate_card(zlib.decompress(body))
    except (msgspec.MsgspecError, zlib.error) as error:
        return UnreadableCard(version, str(error))


def read_all(connection: sqlite3.Connection) -> Iterator[Change]:
    """Everything in the journal, as changes to empty books."""
    for account_id, body in connection.execute("SELECT account_id, body FROM accounts"):
        yield Change(account_id, account=_decode_account(body))
    for (body,) in connection.execute("SELECT body FROM leases"):
        lease = replace(_decode_lease(body), trusted_until=Span(0))
        yield Change(lease.account_id, leases=(lease,))
    for (body,) in connection.execute("SELECT body FROM reservations"):
        reservation = _decode_reservation(body)
        yield Change(reservation.account_id, reservations=(reservation,))
    charges = (_decode_charge(body) for (body,) in connection.execute("SELECT body FROM charges"))
    for charge in sorted(charges, key=lambda each: each.committed_at):  # a book knows them from the oldest on
        yield Change(charge.account_id, charges=(charge,))
    refunds = (_decode_refund(body) for (body,) in connection.execute("SELECT body FROM refunds"))
    for refund in sorted(refunds, key=lambda each: each.refunded_at):
        yield Change(refund.account_id, refunds=(refund,))
    for account_id, kind, request, reply in connection.execute("SELECT account_id, kind, request, reply FROM receipts"):
        said = _decode_reply(reply)
        receipt = Receipt(msgspec.json.decode(request, type=_REQUEST_KINDS[kind]), said.reservation, said.charge, said.refund)
        yield Change(account_id, receipts=(receipt,))
