"""The lease keeper: runs the exchanges that waiting requests and recalls need at once, and has leases renewed or given back.

Needs of one account that come together share one exchange. Each waiting request receives the answer to a message that included
its need, so that a refusal rests on what the central store answered.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.composing import has_idle, idle_leases
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.account_records import AccountRecord, AccountRecords, Mark
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced

MAX_AT_ONCE = 3
"""Most urgent exchanges under way together. The settler and readers need connections too."""

IDLE_AFTER = Span(30 * SECOND)
"""A lease that no request used for this long is given back."""

REFUSED_REPORTED_WITHIN = Span(10 * SECOND)
"""A refusal for lack of credit is part of the account's next message. After this long a message of its own reports it, with all
others of its account.
"""


WANTED_FOR = Span(2 * REPEAT_GRACE)
"""How long after a notification credit that is let go here is given back at once: longer than the answer to it counts, with the
time that it was under way.
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
            self._planner.recall(account_id, Span(self._books.moment().boot + WANTED_FOR))

    def keep(self) -> Span | None:
        """Have leases that are in use renewed, and those that are not given back, with the next settlement.

        Returns when something is due next of what is known now, on the boot-time clock, the end of a hold included; None if
        nothing is. What was due until now is done.
        """
        at = self._books.moment()
        self._planner.forget_unused(at.boot)
        later: list[Span] = []
        for record in self._records:
            book = record.book
            if book is None:
                continue
            moments = list(self._message_moments(record, book, at))
            unused_at = Span(record.used_at + IDLE_AFTER) if has_idle(book) else None
            if unused_at is not None and unused_at <= at.boot:
                self._planner.give_back(record.account_id)
                self._records.mark(record.account_id, Mark.UNSETTLED)
            elif any(each <= at.boot for each in moments):
                self._records.mark(record.account_id, Mark.UNSETTLED)
            if unused_at is not None:
                moments.append(unused_at)
            if book.next_deadline is not None:
                moments.append(_boot_of(at, book.next_deadline))
            later += (each for each in moments if each > at.boot)
        return min(later, default=None)

    def _message_moments(self, record: AccountRecord, book: Book, at: Moment) -> Iterator[Span]:
        """When a message about an account is needed, for each reason that there is for one, on the boot-time clock.

        Leases that are used, or have something held on them, are renewed in the second half of their time: the central store
        would take a hold for lost if no message reported it for too long. Of an account that is in use, idle credit of a day
        that ended is given back, and credit of the new day is leased.
        """
        refused = next(iter(book.refused.values()), None)
        if refused is not None:
            yield _boot_of(at, Instant(refused.refused_at + REFUSED_REPORTED_WITHIN))
        is_used = _is_used(record, at.boot)
        if book.held or (book.leases and is_used):
            yield Span(record.reported_at + self._lease_ttl // 2)
        if is_used:
            yield from (_boot_of(at, lease.ends_at) if lease.runs(at.now) else at.boot for lease in idle_leases(book))


def _is_used(record: AccountRecord, boot: Span) -> bool:
    return boot - record.used_at < IDLE_AFTER


def _boot_of(at: Moment, instant: Instant) -> Span:
    """When an instant comes, on the boot-time clock, as far as is known at this moment."""
    return Span(at.boot + instant - at.now)
