"""What this sidecar wants of the central store: credit for requests that wait, credit in hand for those that will come, and to
be rid of credit that nobody uses here or that others wait for.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from creditmeter.core.accounts import AccountState
from creditmeter.core.amounts import Microcredits
from creditmeter.core.book import Book
from creditmeter.core.burn import FIRST_LEASE, LOW_WATER, Burn
from creditmeter.core.exchange import Answer, Need
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.leases import Moment
from creditmeter.core.refusals import AccountNotFound

REFILL_PAUSE = Span(5 * SECOND)
"""After the central store had nothing to spare, it is not asked to refill for this long."""

_MICROSECONDS = 1_000_000

Said = Answer | AccountNotFound


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits for credit: for all of `amount`, or at least for `smallest`, which may be less if it takes a part.

    A parked one was answered that more may come, and waits to hear that it did, until `until` on the event loop's clock.
    """

    account_id: AccountId
    amount: Microcredits
    smallest: Microcredits
    until: float
    is_parked: bool
    told: asyncio.Future[Said]


@dataclass(frozen=True, slots=True)
class Speech:
    """What a message about an account asks for, whether it gives back what is idle, and who waits for the answer."""

    need: Need | None
    give_back: bool
    waiters: tuple[Waiter, ...]

    def tell(self, said: Said) -> None:
        """Pass the answer on."""
        for each in self.waiters:
            if not each.told.done():
                each.told.set_result(said)


class Demand:
    """Who waits, how fast credit is used, and which accounts were recalled."""

    def __init__(self) -> None:
        self.is_going_home = False
        self._waiting: dict[AccountId, list[Waiter]] = {}
        self._burns: dict[AccountId, Burn] = {}
        self._no_refill_before: dict[AccountId, Span] = {}
        self._to_give_back: set[AccountId] = set()
        self._recalled: set[AccountId] = set()

    # Requests that wait.

    def add(self, waiter: Waiter) -> None:
        """Have a request wait."""
        self._waiting.setdefault(waiter.account_id, []).append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Let a request go, if it still waits."""
        waiting = self._waiting.get(waiter.account_id, [])
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            self._waiting.pop(waiter.account_id, None)

    def fail(self, account_id: AccountId, error: Exception) -> None:
        """Tell all who wait on an account that there is no answer."""
        self._recalled.discard(account_id)
        for each in self._waiting.pop(account_id, []):
            if not each.told.done():
                each.told.set_exception(error)

    def urgent(self) -> list[AccountId]:
        """The accounts about which somebody waits to hear: requests of ours first, then those who recalled credit."""
        asked = [account_id for account_id, waiting in self._waiting.items() if any(map(_is_asking, waiting))]
        return asked + [each for each in self._recalled if each not in set(asked)]

    # Credit in hand.

    def used(self, book: Book, amount: Microcredits, at: Moment) -> bool:
        """Count what was authorised. Says whether what is left in hand should be refilled."""
        burn = self._burns.get(book.account_id, Burn(since=at.boot)).used(amount, at.boot)
        self._burns[book.account_id] = burn
        return self._lacking(book.account_id, book.idle(at), at.boot) > 0

    def _lacking(self, account_id: AccountId, idle: int, boot: Span) -> int:
        """How much to refill: nothing while what is idle will do for a while."""
        if boot < self._no_refill_before.get(account_id, 0):
            return 0
        burn = self._burns.get(account_id)
        wanted = burn.in_a_horizon(boot) if burn else 0
        return wanted - idle if idle < wanted // LOW_WATER else 0

    def answered(self, account_id: AccountId, speech: Speech, said: Answer, boot: Span) -> None:
        """Take note of what a message achieved."""
        if speech.give_back:
            self._recalled.discard(account_id)
            self._to_give_back.discard(account_id)
        if speech.need is not None and not speech.need.required and not said.granted:
            self._no_refill_before[account_id] = Span(boot + REFILL_PAUSE)

    def forget(self, boot: Span) -> None:
        """Drop what is known of accounts that were not used for long."""
        gone = [account_id for account_id, burn in self._burns.items() if not burn.in_a_horizon(boot)]
        for account_id in gone:
            del self._burns[account_id]
            self._no_refill_before.pop(account_id, None)

    # Credit that goes back.

    def recall(self, account_id: AccountId) -> None:
        """Others wait for credit of this account, or the central store wants to hear of it."""
        self._recalled.add(account_id)

    def forget_recalls(self) -> None:
        """Nobody can be served now; who still waits will be heard of again."""
        self._recalled.clear()

    def give_back(self, account_id: AccountId) -> None:
        """Nobody uses this account's credit here."""
        self._to_give_back.add(account_id)

    # What to say.

    def speech(self, book: Book, at: Moment) -> Speech:
        """What a message about a book should ask for and give back at this moment."""
        account_id = book.account_id
        give_back = self.is_going_home or account_id in self._recalled or account_id in self._to_give_back
        idle = Microcredits(0) if give_back else book.idle(at)
        waiters = tuple(each for each in self._waiting.get(account_id, ()) if not each.told.done())
        return Speech(self._need(book, waiters, idle, at.boot, may_refill=not give_back), give_back, waiters)

    def _need(self, book: Book, waiters: Iterable[Waiter], idle: Microcredits, boot: Span, *, may_refill: bool) -> Need | None:
        lacking = self._lacking(book.account_id, idle, boot) if may_refill and _is_active(book) else 0
        required = max(0, sum(each.amount for each in waiters) - idle)
        burn = self._burns.get(book.account_id)
        if burn is None or not burn.before:
            lacking = max(lacking, FIRST_LEASE * required)
        if not required and not lacking:
            return None
        short = [each for each in waiters if each.amount > idle]
        patience = max((each.until for each in short), default=0.0) - asyncio.get_running_loop().time()
        return Need(
            required=Microcredits(required),
            wanted=Microcredits(max(required, lacking)),
            smallest=Microcredits(min((min(each.smallest, each.amount - idle) for each in short), default=0)),
            patience=Span(max(0, int(patience * _MICROSECONDS))),
        )


def _is_asking(waiter: Waiter) -> bool:
    return not waiter.is_parked and not waiter.told.done()


def _is_active(book: Book) -> bool:
    return book.account is not None and book.account.state is AccountState.ACTIVE
