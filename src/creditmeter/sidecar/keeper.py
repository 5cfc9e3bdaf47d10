"""The lease keeper: gets credit when requests need it, renews leases in use, and gives idle credit back.

Needs of one account that come together share one exchange. A request that waits is told the answer to a message that
included its need, so that a refusal rests on what the central store said.
"""

import asyncio
from dataclasses import dataclass

from creditmeter.central.database import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.book import Book
from creditmeter.core.exchange import Answer, Need
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.lease_keeping import has_idle
from creditmeter.core.refusals import AccountNotFound
from creditmeter.journal.journal import StorageUnavailable
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import Clock
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced

LEASE_FACTOR = 32
"""How many times what is needed now is asked for, so that most requests find credit in hand."""

MAX_ACCOUNTS = 64
"""As many accounts are served in one transaction of the central store."""

IDLE_AFTER = Span(30 * SECOND)
"""A lease that nobody used for this long goes back."""

Said = Answer | AccountNotFound


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for credit."""

    missing: Microcredits
    smallest: Microcredits
    told: asyncio.Future[Said]


class LeaseKeeper:
    """Gets credit for requests."""

    def __init__(self, books: Books, exchanger: Exchanger, clock: Clock, lease_ttl: Span) -> None:
        self._books = books
        self._exchanger = exchanger
        self._clock = clock
        self._lease_ttl = lease_ttl
        self._waiting: dict[AccountId, list[_Waiter]] = {}
        self._asked = asyncio.Event()

    async def obtain(self, account_id: AccountId, missing: Microcredits, *, partial: bool = False) -> Said:
        """Ask the central store for credit. What it gave is in the book when this returns; others may be quicker to use it.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process speaks for this sidecar.
            StorageUnavailable: the journal cannot be written.
        """
        smallest = Microcredits(min(missing, 1)) if partial else missing
        waiter = _Waiter(missing, smallest, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(account_id, []).append(waiter)
        self._asked.set()
        return await waiter.told

    async def run(self) -> None:
        """Serve needs until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            free = [each for each in self._waiting if not self._exchanger.is_busy(each)][:MAX_ACCOUNTS]
            if free:
                await self._serve({each: self._waiting.pop(each) for each in free})
            elif self._waiting:
                await self._exchanger.one_finished()
            if self._waiting:
                self._asked.set()

    async def _serve(self, asked: dict[AccountId, list[_Waiter]]) -> None:
        """Ask for what these requests need, and tell each what was said to it."""
        needs = {account_id: _need(waiters) for account_id, waiters in asked.items()}
        try:
            answered = await self._exchanger.exchange(needs)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, those who wait are told
            expected = isinstance(error, CentralUnavailable | SidecarFenced | StorageUnavailable)
            if len(asked) > 1 and not expected:  # so that the account at fault does not fail the others
                for account_id, waiters in asked.items():
                    await self._serve({account_id: waiters})
            else:
                for waiters in asked.values():
                    _fail(waiters, error)
            return
        for account_id, waiters in asked.items():
            message, reply = answered[account_id]
            if message.need is needs[account_id] and isinstance(reply, Answer | AccountNotFound):
                _tell(waiters, reply)
            else:  # an older message was answered first: these are asked for with the next one
                self._waiting.setdefault(account_id, []).extend(waiters)

    async def keep(self) -> None:
        """Renew the leases that are in use and give back those that are not, once for every account that needs it."""
        boot = self._clock.boot()
        give_back = [book.account_id for book in self._books if self._is_idle(book, boot)]
        renew = [book.account_id for book in self._books if self._needs_renewal(book, boot)]
        await self._exchange_each(give_back, give_back=True)
        await self._exchange_each([each for each in renew if each not in set(give_back)], give_back=False)

    async def _exchange_each(self, accounts: list[AccountId], *, give_back: bool) -> None:
        for start in range(0, len(accounts), MAX_ACCOUNTS):
            batch = accounts[start : start + MAX_ACCOUNTS]
            free = {each: None for each in batch if not self._exchanger.is_busy(each)}
            if free:
                try:
                    await self._exchanger.exchange(free, give_back=give_back)
                except (CentralUnavailable, StorageUnavailable):
                    return  # the next round tries again

    def _is_idle(self, book: Book, boot: Span) -> bool:
        return boot - self._books.last_used(book.account_id) >= IDLE_AFTER and has_idle(book)

    def _needs_renewal(self, book: Book, boot: Span) -> bool:
        """Whether a lease that was used in its last half time is in the second half of it."""
        if boot - self._books.last_used(book.account_id) >= IDLE_AFTER:
            return False
        now = self._books.moment().now
        half = Span(self._lease_ttl // 2)
        return any(now < each.ends_at and each.trusted_until - boot < half for each in book.leases.values())


def _need(waiters: list[_Waiter]) -> Need | None:
    """What these requests lack together. Those whose callers went away lack nothing any more."""
    alive = [each for each in waiters if not each.told.done()]
    if not alive:
        return None
    required = sum(each.missing for each in alive)
    return Need(
        required=Microcredits(required),
        wanted=Microcredits(required * LEASE_FACTOR),
        smallest=min(each.smallest for each in alive),
    )


def _tell(waiters: list[_Waiter], said: Said) -> None:
    for each in waiters:
        if not each.told.done():
            each.told.set_result(said)


def _fail(waiters: list[_Waiter], error: Exception) -> None:
    for each in waiters:
        if not each.told.done():
            each.told.set_exception(error)
