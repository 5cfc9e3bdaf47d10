"""All of a sidecar's books, in memory and in the journal.

Everything that changes goes through `record`: applied to the book, given to the journal. A reply is said only after
`durable`. After a failed write the books are not to be trusted; `reload` takes them from disk again. So a book is looked up
anew after every wait, never kept across one.
"""

import asyncio
from collections.abc import Iterator

from creditmeter.core.credit.leases import Moment
from creditmeter.core.ids import AccountId, AccountKey, account_key
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.decisions import expire
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.clock import Clock


class Books:
    """The books of the accounts that this sidecar has to do with."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._now = journal.identity.clock
        self.reservations_changed = asyncio.Event()
        self._books: dict[AccountKey, Book] = {}
        self._unsettled: set[AccountId] = set()
        self._used: dict[AccountId, Span] = {}
        self._unreported: dict[AccountId, Span] = {}
        self._reported: dict[AccountId, Span] = {}

    async def reload(self) -> None:
        """Take all books from disk; nothing authorises until the central store renews its leases."""
        changes = await self._journal.load()
        self._books.clear()
        self._unsettled.clear()
        self._unreported.clear()
        for change in changes:
            self.open(change.account_id).apply(change)
        self._unsettled.update(book.account_id for book in self if book.leases or book.has_unposted)

    def __iter__(self) -> Iterator[Book]:
        """All books. They may be changed meanwhile, but none may be opened."""
        return iter(self._books.values())

    def moment(self) -> Moment:
        """One reading of the clocks. The time of day never goes back, also not over a restart."""
        self._now = max(self._now, self._clock.wall())
        return Moment(self._now, self._clock.boot())

    def find(self, key: AccountKey) -> Book | None:
        """The book of the account with this key, if there is one."""
        return self._books.get(key)

    def open(self, account_id: AccountId) -> Book:
        """The book of an account, a new one if there is none."""
        key = account_key(account_id)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = Book(account_id)
        return book

    def drop_if_empty(self, account_id: AccountId) -> None:
        """Forget a book in which nothing was ever written: its account turned out not to exist."""
        book = self._books.get(account_key(account_id))
        if book is not None and book.is_empty:
            del self._books[account_key(account_id)]
            self._reported.pop(account_id, None)

    def record(self, change: Change) -> None:
        """Make a change: in memory now, on disk with the next group.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was changed.
        """
        self._journal.write(change, self._now)
        self.open(change.account_id).apply(change)
        if change.charges or change.refunds:
            self._unsettled.add(change.account_id)
        if change.receipts:
            self._used[change.account_id] = self._clock.boot()
        if change.reservations:
            self.reservations_changed.set()
            self._unreported.setdefault(change.account_id, self._clock.boot())

    def expire(self, book: Book, now: Instant) -> None:
        """End the reservations whose deadline is past. Done before every decision, so that none sees a hold that is over.

        Raises:
            StorageUnavailable: the journal cannot be written. What is due stays so.
        """
        self._journal.check()
        due = book.due(now)
        if due:
            self.record(expire(book, due))

    async def durable(self) -> None:
        """Wait until all that was recorded is on disk.

        Raises:
            StorageUnavailable: it could not be written.
        """
        await self._journal.durable()

    def last_used(self, account_id: AccountId) -> Span:
        """When a request last changed this book, on the boot-time clock; 0 if none has since the start."""
        return self._used.get(account_id, Span(0))

    def unreported_since(self, account_id: AccountId) -> Span | None:
        """Since when the central store does not know what is held on an account, on the boot-time clock; None if it does."""
        return self._unreported.get(account_id)

    def report(self, account_id: AccountId) -> None:
        """Note that a message says what is held on an account."""
        self._unreported.pop(account_id, None)
        self._reported[account_id] = self._clock.boot()

    def last_reported(self, account_id: AccountId) -> Span:
        """When a message last said what is held on an account, on the boot-time clock; 0 if none did in this run."""
        return self._reported.get(account_id, Span(0))

    def take_unsettled(self) -> list[AccountId]:
        """The accounts with something to settle. The caller puts back what it could not settle."""
        taken, self._unsettled = list(self._unsettled), set()
        return taken

    def put_unsettled(self, account_id: AccountId) -> None:
        """Have an account settled with the next batch."""
        self._unsettled.add(account_id)

    @property
    def has_unsettled(self) -> bool:
        """Whether any account waits for settlement."""
        return bool(self._unsettled)

    def prune(self, book: Book, before: Instant) -> None:
        """Drop what ended and was posted before a moment; drop the book if nothing is left of it.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was dropped.
        """
        gone = book.forget(before)
        if gone:
            self._journal.forget(gone)
        if gone.account:
            del self._books[account_key(book.account_id)]
            self._used.pop(book.account_id, None)
            self._unreported.pop(book.account_id, None)
            self._reported.pop(book.account_id, None)
