"""All of a sidecar's books, in memory and in the journal.

Every change goes through `record`, which applies it to the book and gives it to the journal. A reply is sent only after
`durable`. In memory is only what may still change here: what has ended leaves a book as soon as it is on disk, and a book that
has nothing but its account leaves memory. `receipt` and `reservation` find both there. After a failed write the books are not
to be trusted; `reload` reads them from disk again. An account in quarantine has no book: whatever needs it raises
AccountDamaged. So a book is looked up anew after every wait, never kept across one. In
memory a book is part of its account's record (`account_records.py`).
"""

import asyncio
from collections.abc import Callable, Iterator

from creditmeter.core.access import DailyLimit
from creditmeter.core.amounts import ZERO
from creditmeter.core.clocks import ClockStep
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.requests import Receipt
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, AccountKey, RequestId, ReservationId, account_key, origin_of
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.composing import has_idle
from creditmeter.core.metering.decisions import bound_deadlines, expire, shift_deadlines
from creditmeter.core.metering.listing import Listing
from creditmeter.core.metering.spending import NOBODY, Spender, Spending
from creditmeter.core.values import replace
from creditmeter.journal.faults import AccountDamaged, StorageUnavailable
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.account_records import AccountRecord, AccountRecords, Mark
from creditmeter.sidecar.clock import Clock


class Books:
    """The books of the accounts that this sidecar has to do with. `on_quarantine` are called with how many accounts are in
    quarantine, whenever the books were read.
    """

    def __init__(self, records: AccountRecords, journal: Journal, clock: Clock, longest_hold: Span) -> None:
        self._records = records
        self._journal = journal
        self._clock = clock
        self._now = journal.identity.clock
        self._longest_hold = longest_hold
        self._shift = 0
        self._is_loaded = False
        self._is_known_anew = False
        self._may_go_back = True  # the clock knows the mark on disk, and whether it was of a time that was wrong
        journal.on_written = self._let_go
        self.listing = Listing()
        """The reservations of all books, in the order in which they were made."""
        self.reservations_changed = asyncio.Event()
        self.spending = Spending()
        """What credentials have spent and hold."""
        self.daily_limit_of: Callable[[str], DailyLimit | None] = lambda _: None
        """Returns the daily limit of a credential as it is now; None if it has none."""
        self.loads = 0
        """How often the books were read from disk: once at the start, and whenever the journal recovers."""
        self.changes = 0
        """How many changes were made so far, and readings of all books from disk."""
        self.on_change: list[Callable[[Change], None]] = []
        """Called with each change that is recorded. It may not be on disk yet."""
        self.on_quarantine: list[Callable[[int], None]] = []
        self.on_reload: list[Callable[[], None]] = []
        """Called whenever all books were read from disk."""

    async def reload(self) -> None:
        """Read all books from disk. Nothing is authorised on them until the central store renews their leases. What else the
        records hold stays: requests go on waiting, and unanswered messages are sent again.
        """
        records = list(self._records)
        for record in records:
            record.book = None
            record.unreported_since = None
        self.listing.clear()

        def apply(change: Change) -> None:
            book = self._opened(change.account_id)
            book.apply(change)
            book.let_go(change)

        self.spending = await self._journal.load(apply)
        self._is_loaded = True
        self.loads += 1
        self.changes += 1
        self._records.put_in_quarantine(self._journal.set_aside)
        for listener in self.on_quarantine:
            listener(len(self._journal.set_aside))
        self._records.take(Mark.UNSETTLED)
        self._records.take(Mark.UNREPORTED)
        for book in list(self):
            self.spending.note_holds(book)
            if book.leases or book.has_unposted:
                self._records.mark(book.account_id, Mark.UNSETTLED)
                self._records.note_unreported(book.account_id, self._clock.boot())
        for record in self._records.marked(Mark.UNANSWERED):
            self._records.mark(record.account_id, Mark.UNSETTLED)
        for record in records:
            self._records.drop_unneeded(record)
        for note in self.on_reload:
            note()

    def __iter__(self) -> Iterator[Book]:
        """All books. They may be changed meanwhile, but none may be opened or dropped."""
        return (record.book for record in self._records if record.book is not None)

    def moment(self) -> Moment:
        """One reading of the clocks. The time of day goes back only by a step; else it waits."""
        now = self._clock.wall()
        if now >= self._now or self._may_go_back:
            self._now, self._may_go_back = now, False
        if self._shift and self._is_loaded and not self._journal.has_failed:
            self._shift_deadlines()
        if self._is_known_anew and self._is_loaded and not self._journal.has_failed:
            self._bound_deadlines()
        return Moment(self._now, self._clock.boot())

    def boot(self) -> Span:
        """The time since boot."""
        return self._clock.boot()

    @property
    def is_writable(self) -> bool:
        """Whether the journal takes what is recorded."""
        return not self._journal.has_failed

    def note_step(self, step: ClockStep) -> None:
        """Note a step of the time of day. By it no hold ends earlier or later. The first answer of the central store moves no
        deadline either: those are of the store's time, once the steps of this machine's own clock are undone. But what was held
        by a clock that was ahead has no longer left from then on than a hold may have.
        """
        self._may_go_back = self._is_known_anew = True
        self._shift += -step.own_steps if step.is_first else step.length

    def know_the_time(self) -> None:
        """Take the clock for right from the start: no answer will put it right that goes beyond what is known."""
        self._is_known_anew = True

    def _shift_deadlines(self) -> None:
        by, self._shift = Span(self._shift), 0
        for book in list(self):
            change = shift_deadlines(book, by)
            if change:
                self.record(change)

    def _bound_deadlines(self) -> None:
        self._is_known_anew = False
        for book in list(self):
            change = bound_deadlines(book, self._now, self._longest_hold)
            if change:
                self.record(change)

    def find(self, key: AccountKey) -> Book | None:
        """The book of the account with this key, if there is one."""
        record = self._records.with_key(key)
        return record.book if record is not None else None

    def find_sound(self, key: AccountKey) -> Book | None:
        """The same.

        Raises:
            AccountDamaged: the account is in quarantine.
        """
        self.check(key)
        return self.find(key)

    def open(self, account_id: AccountId) -> Book:
        """The book of an account. One that is not in memory begins with what was last known of the account.

        Raises:
            AccountDamaged: the account is in quarantine.
            StorageUnavailable: the journal cannot be read.
        """
        record = self._records.find(account_id)
        if record is not None and record.book is not None:
            return record.book
        self.check(account_key(account_id))
        account = self._journal.archive.account(account_id)
        book = self._opened(account_id)
        book.account = account
        return book

    def check(self, key: AccountKey) -> None:
        """Refuse what depends on what the journal has of an account in quarantine.

        Raises:
            AccountDamaged: the account with this key is.
        """
        damaged = self._records.in_quarantine(key)
        if damaged is not None:
            raise AccountDamaged(damaged)

    def _opened(self, account_id: AccountId) -> Book:
        record = self._records.open(account_id)
        if record.book is None:
            record.book = Book(account_id, self.listing)
        return record.book

    def receipt(self, account_id: AccountId, request_id: RequestId) -> Receipt | None:
        """The receipt of a request of an account, if it took effect.

        Raises:
            AccountDamaged: it may be in what is damaged.
            StorageUnavailable: the journal cannot be read.
        """
        book = self.find(account_key(account_id))
        if book is None:
            self.check(account_key(account_id))
        found = book.receipts.get(request_id) if book is not None else None
        return found or self._journal.archive.receipt(account_id, request_id)

    def reservation(self, reservation_id: ReservationId) -> Reservation | None:
        """A reservation of this sidecar.

        Raises:
            AccountDamaged: it may be in what is damaged.
            StorageUnavailable: the journal cannot be read.
        """
        origin = origin_of(reservation_id)
        if origin is None:
            return None
        book = self.find(origin.account_key)
        if book is None:
            self.check(origin.account_key)
        found = book.reservations.get(reservation_id) if book is not None else None
        return found or self._journal.archive.reservation(reservation_id)

    def of_reservation(self, reservation_id: ReservationId) -> Book | None:
        """The book of the account that a reservation of this sidecar is of; None if nothing is known of either.

        Raises:
            AccountDamaged: it may be in what is damaged.
            StorageUnavailable: the journal cannot be read.
        """
        origin = origin_of(reservation_id)
        book = self.find(origin.account_key) if origin is not None else None
        if book is None and (found := self.reservation(reservation_id)) is not None:
            book = self.open(found.account_id)
        return book

    def _let_go(self, written: Change) -> None:
        book = self.find(account_key(written.account_id))
        if book is not None:
            book.let_go(written)

    def drop_if_empty(self, account_id: AccountId) -> None:
        """Forget a book in which nothing was ever written: its account turned out not to exist."""
        record = self._records.find(account_id)
        if record is not None and record.book is not None and record.book.is_empty:
            self._drop(record)

    def _drop(self, record: AccountRecord) -> None:
        record.drop_book()
        self._records.unmark(record.account_id, Mark.UNREPORTED)
        self._records.drop_unneeded(record)

    def record(self, change: Change) -> None:
        """Make a change: in memory now, on disk with the next group.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was changed.
        """
        book = self.open(change.account_id)
        is_known = change.account is not None and change.account == book.account
        new = replace(change, account=None) if is_known else change
        if new:
            self._journal.write(new, self._now)
        moves_holds = any(_moves(book.reservations.get(each.reservation_id), each) for each in change.reservations)
        self.spending.note(book, change)
        book.apply(change)
        self.changes += 1
        for listener in self.on_change:
            listener(change)
        if change.charges or change.refunds:
            self._records.mark(change.account_id, Mark.UNSETTLED)
        record = self._records.open(change.account_id)
        if change.receipts:
            record.used_at = self._clock.boot()
        if change.reservations:
            self.reservations_changed.set()
        if moves_holds:
            self._records.note_unreported(change.account_id, self._clock.boot())
            if self._clock.boot() < record.wanted_until and has_idle(book):
                self._records.mark(change.account_id, Mark.FREED)
                self._records.woken.set()

    def spender(self, credential_id: str, now: Instant) -> Spender:
        """Who work is charged to that a caller with this credential asks for now; an empty one is none."""
        if not credential_id:
            return NOBODY
        limit = self.daily_limit_of(credential_id)
        return Spender(credential_id, limit, ZERO if limit is None else self.spending.used(credential_id, now))

    def expire(self, book: Book, now: Instant) -> None:
        """End the reservations whose deadline is past. This comes before every decision, so that none sees a hold that is over.

        Raises:
            StorageUnavailable: the journal cannot be written. What is due stays due.
        """
        self._journal.check()
        due = book.due(now)
        if due:
            self.record(expire(book, due))

    def hand_over(self) -> None:
        """Have what was recorded go to disk at once."""
        self._journal.hand_over()

    async def durable(self, since: int | None = None) -> None:
        """Wait until all that was recorded is on disk. `since` is what `loads` was before the first of it was recorded, for a
        caller who waited for something else after that: the journal may have failed and recovered meanwhile.

        Raises:
            StorageUnavailable: it could not be written.
        """
        await self._journal.durable()
        if since is not None and since != self.loads:
            raise StorageUnavailable("the journal failed and recovered while an answer was awaited")

    def tidy(self, book: Book, now: Instant) -> None:
        """Drop leases that are over, and the book if nothing is left but its account, of which a last record goes to disk: an
        earlier one may be dropped before long.

        Raises:
            StorageUnavailable: the journal cannot be written. The book stays.
        """
        book.drop_ended_leases(now)
        if not book.has_nothing_but_its_account:
            return
        if book.account is not None:
            self._journal.write(Change(book.account_id, account=book.account), self._now)
        self._drop(self._records.open(book.account_id))

    def write_image(self) -> None:
        """Have the journal keep all that can still change in one place, if so much was written since it last did.

        Raises:
            StorageUnavailable: the journal cannot be written.
        """
        if self._journal.wants_image(self._now):
            live = [live for book in self if (live := book.live)]
            self._journal.write_image(live, self._now, self.spending.spent)

    def drop_before(self, moment: Instant) -> None:
        """Have the journal forget what is older than a moment, and as much older than what waits to be posted.

        Raises:
            StorageUnavailable: the journal cannot be written.
        """
        unposted = (book.oldest_unposted for book in self)
        oldest = min((each for each in unposted if each is not None), default=self._now)
        self._journal.drop(Instant(moment - max(0, self._now - oldest)))


def _moves(before: Reservation | None, now: Reservation) -> bool:
    """Whether what is held changes with a reservation. What a stream reports of its call does not."""
    return before is None or before.parts != now.parts
