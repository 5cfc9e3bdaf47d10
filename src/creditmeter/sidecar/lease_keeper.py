"""The lease keeper: gets credit when requests need it, gives it back when others do, renews leases in use, and gives idle
credit back.

Needs of one account that come together share one exchange. A request that waits is told the answer to a message that
included its need, so that a refusal rests on what the central store said.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import Moment
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import has_idle, idle_of_ended_days
from creditmeter.journal.journal import StorageUnavailable
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.demand import Demand, Said, Waiter
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced

MAX_AT_ONCE = 3
"""Urgent exchanges under way together; the settler and readers need connections too."""

IDLE_AFTER = Span(30 * SECOND)
"""A lease that nobody used for this long goes back."""

REPORTED_WITHIN = Span(2 * SECOND)
"""What is held here is known to the central store, and so to a user who asks elsewhere, within this long."""

REFUSED_TOLD_WITHIN = Span(10 * SECOND)
"""A refusal for lack of credit goes along with whatever else is said to the central store, or by itself after this long, with
all others of its account.
"""


class LeaseKeeper:
    """Gets credit for requests, and looks after what it got."""

    def __init__(self, books: Books, exchanger: Exchanger, demand: Demand, lease_ttl: Span) -> None:
        self._books = books
        self._exchanger = exchanger
        self._demand = demand
        self._lease_ttl = lease_ttl

    @property
    def is_registered(self) -> bool:
        """Whether this run may authorise anything at all."""
        return self._exchanger.is_registered

    @property
    def is_cut_off(self) -> bool:
        """Whether the central store did not answer when it was last asked."""
        return self._exchanger.is_cut_off

    def line(self, account_id: AccountId, until: float) -> contextlib.AbstractContextManager[Waiter]:
        """Stand in line for credit of an account, for as long as the block runs."""
        return self._demand.line(account_id, until)

    async def obtain(self, waiter: Waiter) -> Said:
        """Ask the central store for credit, or wait for news of what was recalled if the request is parked. What came is in the
        book when this returns; others may be quicker to use it.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process speaks for this sidecar.
            StorageUnavailable: the journal cannot be written.
            TimeoutError: a parked request waited in vain.
        """
        if self._exchanger.fence is not None:
            raise self._exchanger.fence
        if waiter.parked_until is None:
            self._demand.woken.set()
        async with asyncio.timeout_at(waiter.parked_until):
            return await waiter.hear()

    def used(self, book: Book, amount: Microcredits, at: Moment) -> None:
        """Count what was authorised, and have the lease refilled with the next settlement if it runs low."""
        if self._demand.used(book, amount, at):
            self._books.put_unsettled(book.account_id)

    async def run(self) -> None:
        """Serve needs and recalls until cancelled. One account that is slow does not hold up the others."""
        speaking: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self._demand.woken.wait()
                self._demand.woken.clear()
                free = [each for each in self._demand.urgent() if not self._exchanger.is_busy(each)]
                if free and len(speaking) < MAX_AT_ONCE:
                    task = asyncio.create_task(self._speak(free))
                    speaking.add(task)
                    task.add_done_callback(lambda done: self._spoken(speaking, done))
                    await asyncio.sleep(0)  # its accounts are busy from here on
        finally:
            for task in speaking:
                task.cancel()
            await asyncio.gather(*speaking, return_exceptions=True)

    def _spoken(self, speaking: set[asyncio.Task[None]], done: asyncio.Task[None]) -> None:
        """There is a place free: whoever waits is looked for only now that it counts."""
        speaking.discard(done)
        self._demand.woken.set()

    async def _speak(self, accounts: list[AccountId]) -> None:
        with contextlib.suppress(CentralUnavailable, SidecarFenced, StorageUnavailable):  # those who waited were told
            await self._exchanger.speak(accounts)

    async def hear(self, news: AsyncIterator[AccountId]) -> None:
        """Give credit back, or ask for it again, as the central store says.

        Raises:
            CentralUnavailable: the store does not answer any more.
        """
        async for account_id in news:
            self._demand.recall(account_id)

    def keep(self) -> None:
        """Have leases that are in use renewed, and those that are not given back, with the next settlement."""
        at = self._books.moment()
        self._demand.forget(at.boot)
        for book in self._books:
            if self._is_idle(book, at.boot):
                self._demand.give_back(book.account_id)
                self._books.put_unsettled(book.account_id)
            elif self._should_speak(book, at):
                self._books.put_unsettled(book.account_id)

    def _should_speak(self, book: Book, at: Moment) -> bool:
        unreported = self._books.unreported_since(book.account_id)
        is_overdue = unreported is not None and at.boot - unreported >= REPORTED_WITHIN
        refused = next(iter(book.refused.values()), None)
        is_untold = refused is not None and at.now - refused.refused_at >= REFUSED_TOLD_WITHIN
        return is_overdue or is_untold or self._needs_renewal(book, at.boot) or self._has_a_new_day(book, at)

    def _is_used(self, book: Book, boot: Span) -> bool:
        return boot - self._books.last_used(book.account_id) < IDLE_AFTER

    def _is_idle(self, book: Book, boot: Span) -> bool:
        return not self._is_used(book, boot) and has_idle(book)

    def _needs_renewal(self, book: Book, boot: Span) -> bool:
        """Whether leases that are used, or have something held on them, are in the second half of their time. If nothing is
        heard of a hold, the central store takes it for lost in the end.
        """
        is_due = boot - self._books.last_reported(book.account_id) >= self._lease_ttl // 2
        return is_due and bool(book.held or (book.leases and self._is_used(book, boot)))

    def _has_a_new_day(self, book: Book, at: Moment) -> bool:
        """Whether the account was in use when its day ended: what is idle goes back, and credit of the new day is fetched."""
        return self._is_used(book, at.boot) and bool(idle_of_ended_days(book, at.now))
