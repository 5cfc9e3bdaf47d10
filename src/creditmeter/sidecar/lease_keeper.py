"""The lease keeper: runs the exchanges that waiting requests and recalls need at once, and has leases renewed or given back.

Needs of one account that come together share one exchange. Each waiting request receives the answer to a message that included
its need, so that a refusal rests on what the central store answered.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.credit.leases import Moment
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import has_idle, idle_of_ended_days
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.account_records import AccountRecord, AccountRecords, Mark
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced

MAX_AT_ONCE = 3
"""Most urgent exchanges under way together. The settler and readers need connections too."""

IDLE_AFTER = Span(30 * SECOND)
"""A lease that no request used for this long is given back."""

REPORTED_WITHIN = Span(2 * SECOND)
"""The central store, and so a caller of another sidecar, knows within this long what is held here."""

REFUSED_REPORTED_WITHIN = Span(10 * SECOND)
"""A refusal for lack of credit is part of the account's next message. After this long a message of its own reports it, with all
others of its account.
"""


class LeaseKeeper:
    """Keeps the leases of all accounts in step with their use."""

    def __init__(
        self, records: AccountRecords, books: Books, exchanger: Exchanger, planner: ExchangePlanner, lease_ttl: Span
    ) -> None:
        self._records = records
        self._books = books
        self._exchanger = exchanger
        self._planner = planner
        self._lease_ttl = lease_ttl

    async def run(self) -> None:
        """Exchange messages about urgent accounts until cancelled. A slow account does not delay the others."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self._planner.woken.wait()
                self._planner.woken.clear()
                free = [each for each in self._planner.urgent() if not self._exchanger.is_busy(each)]
                if free and len(under_way) < MAX_AT_ONCE:
                    task = asyncio.create_task(self._exchange(free))
                    under_way.add(task)
                    task.add_done_callback(lambda done: self._exchanged(under_way, done))
                    await asyncio.sleep(0)  # its accounts are busy from here on
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _exchanged(self, under_way: set[asyncio.Task[None]], done: asyncio.Task[None]) -> None:
        """Wake the loop after the slot is free: it would find no slot before."""
        under_way.discard(done)
        self._planner.woken.set()

    async def _exchange(self, accounts: list[AccountId]) -> None:
        with contextlib.suppress(CentralUnavailable, SidecarFenced, StorageUnavailable):  # waiting requests received them
            await self._exchanger.exchange(accounts)

    def may_be_notified(self) -> bool:
        """Whether the central store may want a message at once: for credit that is out, a charge, or a request that waits."""
        books = (record.book for record in self._records if record.book is not None)
        return self._records.any_marked(Mark.WAITED_FOR) or any(
            has_idle(book) or book.held or book.has_unposted for book in books
        )

    async def follow(self, notifications: AsyncIterator[AccountId]) -> None:
        """Note which accounts the central store wants a message about: to give credit back, or to ask for it again.

        Raises:
            CentralUnavailable: the store does not answer any more.
        """
        async for account_id in notifications:
            self._planner.recall(account_id)

    def keep(self) -> None:
        """Have leases that are in use renewed, and those that are not given back, with the next settlement."""
        at = self._books.moment()
        self._planner.forget_unused(at.boot)
        for record in self._records:
            if record.book is None:
                continue
            if not _is_used(record, at.boot) and has_idle(record.book):
                self._planner.give_back(record.account_id)
                self._records.mark(record.account_id, Mark.UNSETTLED)
            elif self._needs_message(record, record.book, at):
                self._records.mark(record.account_id, Mark.UNSETTLED)

    def _needs_message(self, record: AccountRecord, book: Book, at: Moment) -> bool:
        unreported = record.unreported_since
        is_overdue = unreported is not None and at.boot - unreported >= REPORTED_WITHIN
        refused = next(iter(book.refused.values()), None)
        has_unreported_refusal = refused is not None and at.now - refused.refused_at >= REFUSED_REPORTED_WITHIN
        needs_renewal = self._needs_renewal(record, book, at.boot)
        return is_overdue or has_unreported_refusal or needs_renewal or _has_a_new_day(record, book, at)

    def _needs_renewal(self, record: AccountRecord, book: Book, boot: Span) -> bool:
        """Whether leases that are used, or have something held on them, are in the second half of their time. The central store
        would take a hold for lost if no message reported it for too long.
        """
        is_due = boot - record.reported_at >= self._lease_ttl // 2
        return is_due and bool(book.held or (book.leases and _is_used(record, boot)))


def _is_used(record: AccountRecord, boot: Span) -> bool:
    return boot - record.used_at < IDLE_AFTER


def _has_a_new_day(record: AccountRecord, book: Book, at: Moment) -> bool:
    """Whether the account was in use when its day ended. What is idle is given back, and credit of the new day is leased."""
    return _is_used(record, at.boot) and bool(idle_of_ended_days(book, at.now))
