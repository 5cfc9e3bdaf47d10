"""All of a sidecar's books, in memory and in the journal.

Every change goes through `record`, which applies it to the book and gives it to the journal. A reply is sent only after
`durable`. After a failed write the books are not to be trusted; `reload` reads them from disk again. So a book is looked up
anew after every wait, never kept across one. In memory a book is part of its account's record (`account_records.py`).
"""

import asyncio
from collections.abc import Iterator

from creditmeter.core.credit.leases import Moment
from creditmeter.core.ids import AccountId, AccountKey
from creditmeter.core.instants import Instant
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.decisions import expire
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.account_records import AccountRecord, AccountRecords, Mark
from creditmeter.sidecar.clock import Clock


class Books:
    """The books of the accounts that this sidecar has to do with."""

    def __init__(self, records: AccountRecords, journal: Journal, clock: Clock) -> None:
        self._records = records
        self._journal = journal
        self._clock = clock
        self._now = journal.identity.clock
        self.reservations_changed = asyncio.Event()

    async def reload(self) -> None:
        """Read all books from disk. Nothing is authorised on them until the central store renews their leases. What else the
        records hold stays: requests go on waiting, and unanswered messages are sent again.
        """
        changes = await self._journal.load()
        records = list(self._records)
        for record in records:
            record.book = None
            record.unreported_since = None
        for change in changes:
            self.open(change.account_id).apply(change)
        self._records.take(Mark.UNSETTLED)
        for book in list(self):
            if book.leases or book.has_unposted:
                self._records.mark(book.account_id, Mark.UNSETTLED)
        for record in self._records.marked(Mark.UNANSWERED):
            self._records.mark(record.account_id, Mark.UNSETTLED)
        for record in records:
            self._records.drop_unneeded(record)

    def __iter__(self) -> Iterator[Book]:
        """All books. They may be changed meanwhile, but none may be opened or dropped."""
        return (record.book for record in self._records if record.book is not None)

    def moment(self) -> Moment:
        """One reading of the clocks. The time of day never goes back, also not over a restart."""
        self._now = max(self._now, self._clock.wall())
        return Moment(self._now, self._clock.boot())

    def find(self, key: AccountKey) -> Book | None:
        """The book of the account with this key, if there is one."""
        record = self._records.with_key(key)
        return record.book if record is not None else None

    def open(self, account_id: AccountId) -> Book:
        """The book of an account, a new one if there is none."""
        record = self._records.open(account_id)
        if record.book is None:
            record.book = Book(account_id)
        return record.book

    def drop_if_empty(self, account_id: AccountId) -> None:
        """Forget a book in which nothing was ever written: its account turned out not to exist."""
        record = self._records.find(account_id)
        if record is not None and record.book is not None and record.book.is_empty:
            self._drop(record)

    def _drop(self, record: AccountRecord) -> None:
        record.drop_book()
        self._records.drop_unneeded(record)

    def record(self, change: Change) -> None:
        """Make a change: in memory now, on disk with the next group.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was changed.
        """
        self._journal.write(change, self._now)
        self.open(change.account_id).apply(change)
        if change.charges or change.refunds:
            self._records.mark(change.account_id, Mark.UNSETTLED)
        record = self._records.open(change.account_id)
        if change.receipts:
            record.used_at = self._clock.boot()
        if change.reservations:
            self.reservations_changed.set()
            if record.unreported_since is None:
                record.unreported_since = self._clock.boot()

    def expire(self, book: Book, now: Instant) -> None:
        """End the reservations whose deadline is past. This comes before every decision, so that none sees a hold that is over.

        Raises:
            StorageUnavailable: the journal cannot be written. What is due stays due.
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

    def prune(self, book: Book, before: Instant) -> None:
        """Drop what ended and was posted before a moment; drop the book if nothing is left of it.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was dropped.
        """
        forgotten = book.forget(before)
        if forgotten:
            self._journal.forget(forgotten)
        if forgotten.account:
            self._drop(self._records.open(book.account_id))
