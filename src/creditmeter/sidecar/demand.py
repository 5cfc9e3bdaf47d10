"""What this sidecar wants of the central store: credit for requests that wait, credit in hand for those that will come, and to
be rid of credit that nobody uses here or that others wait for.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.messages import Answer, Need
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.burn import FIRST_LEASE, LOW_WATER, Burn
from creditmeter.core.refusals import AccountNotFound

REFILL_PAUSE = Span(5 * SECOND)
"""After the central store had nothing to spare, it is not asked to refill for this long."""

_MICROSECONDS = 1_000_000

Said = Answer | AccountNotFound


class Waiter:
    """A request that waits for credit: for all of `amount`, or at least for `smallest`, which is less if a part will do.

    It stands in line until it is decided, also while it thinks over an answer: what is said meanwhile it hears afterwards. It
    waits for what is recalled until `until`, on the event loop's clock. While it is parked it knows that it will be told of
    news until `parked_until`, and is not asked for.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.amount = Microcredits(0)
        self.smallest = Microcredits(0)
        self.parked_until: float | None = None
        self._said: Said | Exception | None = None
        self._told = asyncio.Event()

    @property
    def is_asking(self) -> bool:
        """Whether it waits to be asked for."""
        return self.parked_until is None and not self._told.is_set()

    def tell(self, said: Said | Exception) -> None:
        """Pass on the newest answer, or that there is none."""
        self._said = said
        self._told.set()

    async def hear(self) -> Said:
        """The newest answer that was not heard before. Raises what kept it from coming."""
        await self._told.wait()
        self._told.clear()
        assert self._said is not None, "what is told is said"
        if isinstance(self._said, Exception):
            raise self._said
        return self._said


@dataclass(frozen=True, slots=True)
class Speech:
    """What a message about an account asks for, whether it gives back what is idle, all but `keep` of it, whether that answers
    others who wait for it, and who waits for the answer.
    """

    need: Need | None
    give_back: bool
    keep: Microcredits
    answers: bool
    waiters: tuple[Waiter, ...]

    def tell(self, said: Said) -> None:
        """Pass the answer on."""
        for each in self.waiters:
            each.tell(said)


class Demand:
    """Who waits, how fast credit is used, and which accounts were recalled."""

    def __init__(self) -> None:
        self.is_going_home = False
        self.woken = asyncio.Event()
        self._waiting: dict[AccountId, list[Waiter]] = {}
        self._burns: dict[AccountId, Burn] = {}
        self._no_refill_before: dict[AccountId, Span] = {}
        self._to_give_back: set[AccountId] = set()
        self._recalled: set[AccountId] = set()
        self._retracted: set[AccountId] = set()

    # Requests that wait.

    @contextlib.contextmanager
    def line(self, account_id: AccountId, until: float) -> Iterator[Waiter]:
        """Stand in line for credit, for as long as the block runs. Whoever leaves while credit is recalled for it has the
        central store told at once: others may be waiting behind it.
        """
        waiter = Waiter(until)
        waiting = self._waiting.setdefault(account_id, [])
        waiting.append(waiter)
        try:
            yield waiter
        finally:
            waiting.remove(waiter)
            if not waiting:
                del self._waiting[account_id]
            if waiter.parked_until is not None:
                self._retracted.add(account_id)
                self.woken.set()

    def fail(self, account_id: AccountId, error: Exception) -> None:
        """Tell all who wait on an account that there is no answer. What was recalled goes back when there is one again."""
        if account_id in self._recalled:
            self._recalled.discard(account_id)
            self._to_give_back.add(account_id)
        self._retracted.discard(account_id)
        for each in self._waiting.get(account_id, ()):
            each.tell(error)

    def fail_all(self, error: Exception) -> None:
        """Tell all who wait that there will be no answer any more."""
        for account_id in list(self._waiting):
            self.fail(account_id, error)

    def urgent(self) -> list[AccountId]:
        """The accounts about which somebody waits to hear: requests of ours first, then those who recalled credit."""
        asked = [account_id for account_id, waiting in self._waiting.items() if any(each.is_asking for each in waiting)]
        return list(dict.fromkeys((*asked, *self._recalled, *self._retracted)))

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
        self.woken.set()

    def give_back(self, account_id: AccountId) -> None:
        """Nobody uses this account's credit here."""
        self._to_give_back.add(account_id)

    # What to say.

    def speech(self, book: Book, at: Moment) -> Speech:
        """What a message about a book should ask for and give back at this moment. It answers what was recalled until now;
        what is recalled while it is under way wants another one.
        """
        account_id = book.account_id
        answers = account_id in self._recalled
        give_back = self.is_going_home or answers or account_id in self._to_give_back
        for marks in (self._recalled, self._to_give_back, self._retracted):
            marks.discard(account_id)
        waiters = tuple(self._waiting.get(account_id, ()))
        idle = book.idle_once_renewed(at.now)
        if give_back:
            idle = _enough_for_some(waiters, idle)
        need = self._need(book, waiters, idle, at.boot, may_refill=not give_back)
        return Speech(need, give_back, idle, answers, waiters)

    def _need(self, book: Book, waiters: Iterable[Waiter], idle: Microcredits, boot: Span, *, may_refill: bool) -> Need | None:
        lacking = self._lacking(book.account_id, idle, boot) if may_refill and _is_active(book) else 0
        required = max(0, sum(each.amount for each in waiters) - idle)
        burn = self._burns.get(book.account_id)
        if burn is None or not burn.before:
            lacking = max(lacking, FIRST_LEASE * required)
        if not required and not lacking:
            return None
        left, short = _served(waiters, idle)
        patience = max((each.until for each in short), default=0.0) - asyncio.get_running_loop().time()
        return Need(
            required=Microcredits(required),
            wanted=Microcredits(max(required, lacking)),
            smallest=Microcredits(min((min(each.smallest, each.amount - left) for each in short), default=0)),
            patience=Span(max(0, int(patience * _MICROSECONDS))),
        )


def _enough_for_some(waiters: Iterable[Waiter], idle: Microcredits) -> Microcredits:
    """What of the idle credit is enough for requests in line. It was got for them, so it is not for others; what is not enough
    for anyone is of more use elsewhere.
    """
    left, _ = _served(waiters, idle)
    return Microcredits(idle - left)


def _served(waiters: Iterable[Waiter], idle: int) -> tuple[int, list[Waiter]]:
    """What is left of idle credit after the requests in line for which it is enough, and those for which it is not."""
    short = []
    for each in waiters:
        if each.amount <= idle:
            idle -= each.amount
        else:
            short.append(each)
    return idle, short


def _is_active(book: Book) -> bool:
    return book.account is not None and book.account.state is AccountState.ACTIVE
