"""The stored form of a change of a book: one record of a sidecar's log, without a word twice.

A record is a list in JSON: its fields stand by position. Three things keep it short. The first reply in a receipt is what the
same change names, so the receipt has its number there. Of a charge that an earlier record has, only what the central store adds
is written (`ChargeUpdate`). And what all records repeat is left out (`Packing`).
"""

import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Charge, Posting, Refund
from creditmeter.core.credit.leases import Lease
from creditmeter.core.credit.requests import Receipt
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, ChargeId, SidecarId, account_key
from creditmeter.core.metering.book import Change
from creditmeter.forms.accounts import AccountForm
from creditmeter.forms.body import BodyUnreadable, Stored, form_of
from creditmeter.forms.charges import ChargeForm, PostingForm, RefundForm
from creditmeter.forms.leases import LeaseForm
from creditmeter.forms.positional import positional
from creditmeter.forms.requests import REQUEST
from creditmeter.forms.reservations import ReservationForm

_Thing = TypeVar("_Thing")

FORM = 1
"""The number of this form, the first thing in a record."""

DICTIONARY = (
    b'null,"","PROVIDER","",{},["","","",""]],true,[[1,[],[],[],[],[],[["Extend",["Release",["RefundCharge'
    b'",["ORIGINAL","GOODWILL","DAILY","MONTHLY","PERMANENT","EXPIRED","RELEASED","openai","gcp.gemini","i'
    b'mage","tool","ACTIVE","UTC","ESTIMATED",[1,[["res\x01",\x02,"","COMMITTED",[],17959,17959,"default-",["tex'
    b't","anthropic","claude-",1000,1000,null,"","","",0,0,{},0,0],{},0,["chg\x01"],null,17959,""]],[["chg\x01",'
    b'\x02,"","res\x01",1,1000000,[["lea\x0117959",1000000,17959]],0,"0.","0.00",["text","anthropic","claude-","",1'
    b'000,100,null,null,null,null,null,null,null,null,null,"","","","PROVIDER","",{},["","","",""]],"defau'
    b'lt-",17959,17959,false,[],{},false,null,[],[],null]],[],[],[["lea\x0117959",\x02,17959,17959,1000000,10000'
    b'00,0,false]],[["Commit",["","res\x01",["text","anthropic","claude-","",1000,100,null,null,null,null,nul'
    b'l,null,null,null,null,"","","","PROVIDER","",{},["","","",""]],null,false],0,0,null]],null][1,[["res'
    b'\x01",\x02,"","HELD",[["lea\x0117959",1000000,17959]],17959,17959,"default-",["text","anthropic","claude-",10'
    b'00,1000,null,"","","",0,0,{},0,0],{},0,[],null,null,""]],[],[],[],[],[["Reserve",["",\x02,["text","anth'
    b'ropic","claude-",1000,1000,null,"","","",0,0,{},0,0],null,null,false,{}],0,null,null]],null]'
)
"""What records are compressed with: pieces of common ones, the commonest last. It never changes, or no record could be read."""


class FormUnknown(BodyUnreadable):
    """A record is of a form that this program does not know: a newer program wrote it."""


@dataclass(frozen=True, slots=True)
class ChargeUpdate:
    """What is new of a charge that an earlier record has: it was sent, or the central store decided about it."""

    charge_id: ChargeId
    sent: bool
    posting: Posting | None


@dataclass(frozen=True, slots=True)
class Logged:
    """What a record says: a change, in which the charges of `updates` are missing."""

    change: Change
    updates: tuple[ChargeUpdate, ...] = ()


@form_of(ChargeUpdate)
class ChargeUpdateForm(Stored):
    """What is new of a charge."""

    charge_id: str
    sent: bool
    posting: PostingForm | None


_UPDATE: Any = positional(ChargeUpdateForm)
_RESERVATION: Any = positional(ReservationForm)
_CHARGE: Any = positional(ChargeForm)
_REFUND: Any = positional(RefundForm)
_LEASE: Any = positional(LeaseForm)
_ACCOUNT: Any = positional(AccountForm)
_REQUESTS: dict[str, Any] = {kind: positional(form) for kind, (form, _) in REQUEST.forms.items()}
_RECEIPT: Any = msgspec.defstruct(
    "ReceiptRecord",
    [
        ("kind", str),
        ("request", msgspec.Raw),
        ("reservation", int | _RESERVATION | None),
        ("charge", int | _CHARGE | None),
        ("refund", int | _REFUND | None),
    ],
    array_like=True,
    gc=False,
)
_RECORD: Any = msgspec.defstruct(
    "ChangeRecord",
    [
        ("form", int),
        ("reservations", tuple[_RESERVATION, ...]),
        ("charges", tuple[_CHARGE, ...]),
        ("updates", tuple[_UPDATE, ...]),
        ("refunds", tuple[_REFUND, ...]),
        ("leases", tuple[_LEASE, ...]),
        ("receipts", tuple[_RECEIPT, ...]),
        ("account", _ACCOUNT | None),
    ],
    array_like=True,
    gc=False,
)

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_RECORD)
_request_decoders = {kind: msgspec.json.Decoder(form) for kind, form in _REQUESTS.items()}
_FORM_NUMBER = b"[%d," % FORM


class Packing:
    """How the records of one account on one sidecar are packed.

    What each id repeats, the key of the account and the sidecar's own id, is one sign, and so is the account's id: JSON has no
    control characters, so these signs stand for nothing else. The rest is compressed (DEFLATE, RFC 1951) with `DICTIONARY`, so
    that also a short record leaves out what all have in common. A small window makes it quick: a record is rarely longer.
    """

    _IN_IDS, _ACCOUNT = b"\x01", b"\x02"
    _LEVEL, _WINDOW_BITS, _MEMORY_LEVEL = 3, -12, 2

    def __init__(self, account_id: AccountId, sidecar_id: SidecarId) -> None:
        self._in_ids = f"-{account_key(account_id)}-{sidecar_id}-".encode()
        self._account = _encode(account_id)

    def pack(self, body: bytes) -> bytes:
        """The packed body."""
        short = body.replace(self._in_ids, self._IN_IDS).replace(self._account, self._ACCOUNT)
        compressor = zlib.compressobj(
            self._LEVEL, zlib.DEFLATED, self._WINDOW_BITS, self._MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, DICTIONARY
        )
        return compressor.compress(short) + compressor.flush()

    def unpack(self, packed: bytes) -> bytes:
        """The body as it was before `pack`.

        Raises:
            BodyUnreadable: it is no packed body.
        """
        try:
            short = zlib.decompressobj(self._WINDOW_BITS, DICTIONARY).decompress(packed)
        except zlib.error as error:
            raise BodyUnreadable(str(error)) from error
        return short.replace(self._ACCOUNT, self._account).replace(self._IN_IDS, self._in_ids)

    def legible(self, packed: bytes) -> bytes:
        """What can be read of a damaged body: its beginning, in which anything may be wrong."""
        decompressor = zlib.decompressobj(self._WINDOW_BITS, DICTIONARY)
        short = b""
        for each in packed:
            try:
                short += decompressor.decompress(bytes((each,)))
            except zlib.error:
                break
        return short.replace(self._ACCOUNT, self._account).replace(self._IN_IDS, self._in_ids)


def encode_change(change: Change, known: Container[ChargeId] = ()) -> bytes:
    """The record of a change. Of the charges that are `known`, an earlier record or the image has all but what is new.

    Raises:
        TypeError: something in it cannot be stored.
    """
    updated = tuple(each for each in change.charges if each.charge_id in known)
    new = tuple(each for each in change.charges if each.charge_id not in known) if updated else change.charges
    try:
        return _encode(
            _RECORD(
                FORM,
                _stored(change.reservations, _RESERVATION),
                _stored(new, _CHARGE),
                _stored(updated, _UPDATE),
                _stored(change.refunds, _REFUND),
                _stored(change.leases, _LEASE),
                tuple(_receipt(each, change, new) for each in change.receipts),
                None if change.account is None else msgspec.convert(change.account, _ACCOUNT, from_attributes=True),
            )
        )
    except msgspec.MsgspecError as error:
        raise TypeError(f"a change cannot be stored: {error}") from error


def decode_change(account_id: AccountId, body: bytes, *, trusts_leases: bool = True) -> Logged:
    """What a record of an account says. Without `trusts_leases`, nothing is authorised on its leases until they are renewed.

    Raises:
        BodyUnreadable: the record is damaged.
        FormUnknown: it is of a newer form.
        AssertionError: it is none that the core could have made.
    """
    if not body.startswith(_FORM_NUMBER):
        raise _unknown_form(body)
    try:
        record = _decoder.decode(body)
        reservations = _values(record.reservations, Reservation)
        charges = _values(record.charges, Charge)
        refunds = _values(record.refunds, Refund)
        if not trusts_leases:
            for each in record.leases:
                each.trusted_until = 0
        change = Change(
            account_id,
            reservations=reservations,
            charges=charges,
            refunds=refunds,
            leases=_values(record.leases, Lease),
            receipts=tuple(_read_receipt(each, reservations, charges, refunds) for each in record.receipts),
            account=None if record.account is None else msgspec.convert(record.account, Account, from_attributes=True),
        )
        return Logged(change, _values(record.updates, ChargeUpdate))
    except (msgspec.MsgspecError, LookupError) as error:
        raise BodyUnreadable(str(error)) from error


def _unknown_form(body: bytes) -> BodyUnreadable:
    number = body[1:].partition(b",")[0]
    if not body.startswith(b"[") or not number.isdigit():
        return BodyUnreadable("it is no record")
    return FormUnknown(f"its form is {number.decode()}, and this program knows form {FORM} alone")


def _stored(things: Sequence[object], form: Any) -> tuple[Any, ...]:
    return tuple([msgspec.convert(each, form, from_attributes=True) for each in things]) if things else ()


def _values(records: Sequence[Any], kind: type[_Thing]) -> tuple[_Thing, ...]:
    return tuple(msgspec.convert(each, kind, from_attributes=True) for each in records)


def _receipt(receipt: Receipt, change: Change, charges: tuple[Charge, ...]) -> Any:
    kind = REQUEST.name(receipt.request)
    request = _encode(msgspec.convert(receipt.request, _REQUESTS[kind], from_attributes=True))
    return _RECEIPT(
        kind,
        msgspec.Raw(request),
        _reference(receipt.reservation, change.reservations, _RESERVATION),
        _reference(receipt.charge, charges, _CHARGE),
        _reference(receipt.refund, change.refunds, _REFUND),
    )


def _reference(thing: object, things: Sequence[object], form: Any) -> Any:
    """The number of a thing in the change; the thing itself if it is not there."""
    if thing is None:
        return None
    for number, each in enumerate(things):
        if each is thing:
            return number
    return msgspec.convert(thing, form, from_attributes=True)


def _read_receipt(
    record: Any, reservations: tuple[Reservation, ...], charges: tuple[Charge, ...], refunds: tuple[Refund, ...]
) -> Receipt:
    decoder = _request_decoders.get(record.kind)
    if decoder is None:
        raise BodyUnreadable(f"its kind {record.kind!r} is not known")
    return Receipt(
        msgspec.convert(decoder.decode(record.request), REQUEST.forms[record.kind][1], from_attributes=True),
        _referred(record.reservation, reservations, Reservation),
        _referred(record.charge, charges, Charge),
        _referred(record.refund, refunds, Refund),
    )


def _referred(found: Any, things: Sequence[_Thing], kind: type[_Thing]) -> _Thing | None:
    if found is None:
        return None
    return things[found] if isinstance(found, int) else msgspec.convert(found, kind, from_attributes=True)
