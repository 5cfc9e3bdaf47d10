"""What is on disk alone: ended reservations, posted refunds, and requests with their first replies, found by the index."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

import structlog

from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Refund
from creditmeter.core.credit.requests import Receipt, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, AccountKey, RefundId, RequestId, ReservationId, SidecarId, account_key, origin_of
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Change
from creditmeter.journal.faults import AccountDamaged, RecordDamaged, StorageUnavailable
from creditmeter.journal.index import RecordIndex, Remembered, Segment
from creditmeter.journal.keys import account_record_key, made_key, request_key
from creditmeter.journal.records import find_record
from creditmeter.journal.rows import RowDamaged, RowUnreadable

_Thing = TypeVar("_Thing")
_log = structlog.get_logger()


class Archive:
    """Reads records. A record is found here as soon as it is on disk.

    Every method raises StorageUnavailable if the file cannot be read, or a record is not as it was written. If that is known to
    be of the account that was asked for, AccountDamaged is raised; one of another account is no answer anyway. `set_aside` are
    the accounts in quarantine.
    """

    def __init__(self, reading: sqlite3.Connection, sidecar_id: SidecarId, index: RecordIndex) -> None:
        self._reading = reading
        self._sidecar_id = sidecar_id
        self._index = index
        self._told: set[object] = set()
        self.set_aside: Collection[AccountId] = ()

    @property
    def remembered(self) -> Remembered:
        """How many things are on disk, those that can still change too."""
        return self._index.remembered

    def receipt(self, account_id: AccountId, request_id: RequestId) -> Receipt | None:
        """The first reply to a request of an account."""
        key = request_key(account_id, request_id)
        segments = self._index.suspects(key)
        if not segments:
            return None
        changes = self._changes(self._index.find_in(self._reading, key, segments), account_key(account_id))
        receipts = (each for change in changes if change.account_id == account_id for each in change.receipts)
        found = next((each for each in receipts if each.request.request_id == request_id), None)
        return self._believed(found, key, segments)

    def reservation(self, reservation_id: ReservationId) -> Reservation | None:
        """The last version of a reservation that has ended."""
        changes = self._changes_of(reservation_id, _account_key_in(reservation_id))
        found = (each for change in changes for each in reversed(change.reservations))
        return self._believed(next((each for each in found if each.reservation_id == reservation_id), None), reservation_id)

    def refund(self, refund_id: RefundId) -> Refund | None:
        """A refund that was posted."""
        changes = self._changes_of(refund_id, _account_key_in(refund_id))
        found = (each for change in changes for each in reversed(change.refunds))
        return self._believed(next((each for each in found if each.refund_id == refund_id), None), refund_id)

    def account(self, account_id: AccountId) -> Account | None:
        """What was last known of an account; None if that cannot be read: the central store tells it anew."""
        found = (change.account for change in self._changes_of(account_record_key(account_id), account_key(account_id)))
        try:
            return next((each for each in found if each is not None and each.account_id == account_id), None)
        except (AccountDamaged, RecordDamaged):
            return None

    def made_before(self, account_id: AccountId | None, moment: Instant | None) -> Iterator[Reservation | None]:
        """Reservations of an account, or of all accounts (None), as they were made, from a moment on backwards.

        Between two of them there may be any number of None, for records that made none, so that a caller can take breaks.
        """
        end = None if moment is None else self._first_after(moment)
        if account_id is not None:
            self._believed(None, made_key(account_id))  # one that is not found would be missing in the list
            numbers = iter(self._numbers(self._index.find(self._reading, made_key(account_id), end)))
        else:
            first, last = self._bounds()
            numbers = iter(range(last if end is None else end - 1, first - 1, -1))
        for number in numbers:
            change = self._made_by(number, account_id)
            receipts = change.receipts if change is not None and change.account_id not in self.set_aside else ()
            yield next((each.reservation for each in receipts if isinstance(each.request, Reserve)), None)

    def _made_by(self, number: int, account_id: AccountId | None) -> Change | None:
        """The change of a record for a listing of an account, or of all; None if it was dropped, or is damaged and of another
        account or one in quarantine.
        """
        try:
            return self._change(number)
        except AccountDamaged as error:
            if error.account_id in self.set_aside or account_id not in (None, error.account_id):
                return None
            raise

    def _changes_of(self, key: str, account: AccountKey | None) -> Iterator[Change]:
        """The changes that name a key of an account, the newest first; and such as name another one with the same hash."""
        return self._changes(self._index.find(self._reading, key), account)

    def _changes(self, found: Iterator[int], account: AccountKey | None) -> Iterator[Change]:
        """The changes of the records of these numbers, without those that were dropped or are damaged and of others."""
        for number in self._numbers(found):
            try:
                change = self._change(number)
            except AccountDamaged as error:
                if account in (None, account_key(error.account_id)):
                    raise
            else:
                if change is not None:
                    yield change

    def _believed(self, found: _Thing | None, key: str, segments: Iterable[Segment] | None = None) -> _Thing | None:
        """What was found. If that is nothing, the index must be sound where it would have the key.

        Raises:
            RecordDamaged: it is not: nobody knows what it had.
            StorageUnavailable: the file cannot be read.
        """
        if found is not None:
            return found
        try:
            is_sound = self._index.is_sound_at(self._reading, key, segments)
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        if not is_sound:
            raise self._damaged("the index", RowUnreadable("entries", key, "the next start makes the index anew"))
        return None

    def _numbers(self, found: Iterator[int]) -> list[int]:
        """All of these numbers, which the index finds."""
        try:
            return list(found)
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        except Exception as error:  # whatever an entry has in the place of a number
            raise self._damaged("the index", error) from error

    def _change(self, number: int) -> Change | None:
        """The change of a record; None if it was dropped."""
        try:
            logged = find_record(self._reading, self._sidecar_id, number)
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        except RowDamaged as error:
            self._log_once(number, error)
            raise AccountDamaged(error.account_id) from error
        except RowUnreadable as error:
            raise self._damaged(number, error) from error
        return None if logged is None else logged.change

    def _damaged(self, what: object, error: Exception) -> RecordDamaged:
        """The fault that something is not as it was written."""
        self._log_once(what, error)
        return RecordDamaged(str(error))

    def _log_once(self, what: object, error: Exception) -> None:
        if what not in self._told:
            self._told.add(what)
            _log.error("the journal is damaged", reason=str(error))

    def _first_after(self, moment: Instant) -> int:
        """The number of the first record that was written after a moment. Their moments never go back."""
        low, high = self._bounds()
        while low <= high:
            middle = (low + high) // 2
            written = self._one("SELECT written_at FROM records WHERE seq <= ? ORDER BY seq DESC LIMIT 1", middle)
            if written is None or written <= moment:
                low = middle + 1
            else:
                high = middle - 1
        return low

    def _bounds(self) -> tuple[int, int]:
        """The numbers of the first and of the last record; 1 and 0 if there is none."""
        return self._one("SELECT min(seq) FROM records") or 1, self._one("SELECT max(seq) FROM records") or 0

    def _one(self, query: str, *arguments: object) -> int | None:
        try:
            row = self._reading.execute(query, arguments).fetchone()
        except sqlite3.Error as error:
            raise StorageUnavailable(str(error)) from error
        if row is None or isinstance(row[0], int | None):
            return None if row is None else row[0]
        raise self._damaged("a moment", RowUnreadable("records", "?", "a number is of another type"))


def _account_key_in(made_id: str) -> AccountKey | None:
    """The key of the account that an id was made for; None if it does not say."""
    origin = origin_of(made_id)
    return None if origin is None else origin.account_key
