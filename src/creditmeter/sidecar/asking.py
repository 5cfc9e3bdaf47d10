"""Asking the central store for the credit that a decision lacks, and taking the decision again with what comes in."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.messages import REPEAT_GRACE, Answer
from creditmeter.core.credit.requests import Receipt
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.decisions import Short
from creditmeter.core.metering.offline import allow
from creditmeter.core.refusals import AccountSuspended, Contended, DayNotBegun, RecallPending, Refusal
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchange_plan import AccountReply, InHand, WaitingRequest
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger
from creditmeter.sidecar.shortage import (
    RETRY_AFTER,
    Wanted,
    day_not_begun,
    has_time_left,
    is_final,
    is_worth_asking,
    notified_until,
    short_of,
)

QUICK_ROUNDS = 8
"""How often a decision is taken again at once because other requests were quicker to use the credit that was leased for it."""

QUICK_ANSWERS = 64
"""How often a decision is taken again at once in all, also because credit that was recalled for it returned."""

PAUSE_SECONDS = 0.05
"""Before each further time, if the request may still wait."""

Decided = Change | Receipt | Short | Refusal
"""What was decided about a request: what it changes, what it got before, that credit is lacking, or why it is refused."""

Decide = Callable[[Book, Moment, bool], Decided]
"""A decision about a book at a moment. The flag: the central store has no more to give."""


class Asking:
    """Asks for the credit that decisions lack."""

    def __init__(self, books: Books, exchanger: Exchanger, planner: ExchangePlanner, sidecar_id: SidecarId) -> None:
        self._books = books
        self._exchanger = exchanger
        self._planner = planner
        self._sidecar_id = sidecar_id

    async def decide(self, wanted: Wanted, decide: Decide, first: Short | AccountSuspended) -> Change | Receipt | Refusal:
        """Take a decision again that came out as `first`. It changes nothing before it is final.

        Before a suspended account is refused, the central store is asked as well: a sidecar that returned its leases gets no
        notification when the account is active again. If the store does not answer, the account is refused.

        Raises:
            CentralUnavailable: the store did not answer, and credit is lacking.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        short = first if isinstance(first, Short) else Short(wanted.amount)
        try:
            with self._planner.waiting_request(wanted.account_id, wanted.request.request_id, wanted.until) as waiting:
                decided = await self._with_answers(wanted, decide, short, waiting)
                if waiting.is_recalled and isinstance(decided, RecallPending | Contended | DayNotBegun):
                    waiting.repeated_until = Span(self._books.moment().boot + REPEAT_GRACE)
                return decided
        except CentralUnavailable:
            if isinstance(first, Short):
                raise
            return first

    async def _with_answers(
        self, wanted: Wanted, decide: Decide, short: Short, waiting: WaitingRequest
    ) -> Change | Receipt | Refusal:
        """Take the decision again with every answer of the central store, and with credit that came in for others, as long as
        that helps.
        """
        answer: Answer | None = None
        too_early: DayNotBegun | None = None
        rounds = 0
        for answers in itertools.count(1):
            reply = await self._obtain(wanted, short, waiting, answer)
            if reply is None:
                return self._offline(wanted, decide)
            if isinstance(reply, Answer):
                answer = reply
                waiting.notified_until = notified_until(answer, wanted)
                waiting.is_recalled = answer.is_pending
                if has_time_left(wanted):
                    waiting.patience.renew()
            elif not isinstance(reply, InHand):
                return reply
            book, at = self._books.open(wanted.account_id), self._books.moment()
            final = answer if answer is not None and is_final(answer, wanted, waiting.asked_at) else None
            decided = decide(book, at, final is not None)
            if not isinstance(decided, Short):
                return decided
            if final is not None and not is_worth_asking(decided, final, waiting.asked_at):
                return short_of(book, decided, final, waiting.asked_at, at)
            short = decided
            too_early = day_not_begun(answer, at) if answer is not None else None
            rounds += answer is None or not answer.short
            if too_early or rounds >= QUICK_ROUNDS or answers >= QUICK_ANSWERS:
                if not has_time_left(wanted):
                    break
                await _pause(wanted, too_early)
        return too_early or Contended(RETRY_AFTER)

    async def _obtain(
        self, wanted: Wanted, short: Short, waiting: WaitingRequest, answer: Answer | None
    ) -> AccountReply | InHand | None:
        """The central store's reply to this need; None if the store is away and the account has an offline allowance. After an
        answer by which more may come this waits for that; if nothing comes, it returns the same answer again.
        """
        book = self._books.open(wanted.account_id)
        waiting.amount = Microcredits(short.missing + book.idle(self._books.moment()))
        waiting.smallest = Microcredits(min(1, waiting.amount)) if wanted.partial else waiting.amount
        try:
            return await self._received(wanted, waiting) or answer
        except CentralUnavailable:
            account = self._books.open(wanted.account_id).account
            if account is None or not account.offline_allowance or not self._exchanger.contact.is_failing:
                raise
            return None

    async def _received(self, wanted: Wanted, waiting: WaitingRequest) -> AccountReply | InHand | None:
        """The next reply; None if the request may wait no longer, and no credit that was recalled for it returned."""
        try:
            return await self._exchanger.obtain(waiting)
        except TimeoutError:
            if not has_time_left(wanted):
                return await self._under_way(wanted, waiting)
            waiting.notified_until = None  # the recall of which it would have been notified is over: it asks for another one
            return await self._exchanger.obtain(waiting)

    async def _under_way(self, wanted: Wanted, waiting: WaitingRequest) -> AccountReply | InHand | None:
        """The reply to a message that asks for the request and is under way when its wait is over; None if there is none, or
        none in time.

        It may be final. The central store then forgets who has answered, and all would be asked anew for a repetition.
        """
        if not waiting.is_asked:
            return None
        with contextlib.suppress(CentralUnavailable, TimeoutError):
            async with asyncio.timeout_at(wanted.hears_by):
                return await waiting.patience.outlast(waiting.receive())
        return None

    def _offline(self, wanted: Wanted, decide: Decide) -> Change | Receipt | Refusal:
        """Decide while the central store is away, with the account's offline allowance."""
        book, at = self._books.open(wanted.account_id), self._books.moment()
        exhausted = True  # a store that is away has no more to give
        if self._exchanger.epoch:
            allowance = allow(book, self._sidecar_id, at)
            if allowance is not None:
                self._books.record(allowance)
        decided = decide(book, at, exhausted)
        if isinstance(decided, Short):
            raise CentralUnavailable("the central store is away, and what is allowed without it is used up")
        return decided


async def _pause(wanted: Wanted, too_early: DayNotBegun | None) -> None:
    """Let others go first: until the account's day begins at the central store, or for a moment, but no longer than the request
    may wait.
    """
    seconds = too_early.retry_after / SECOND if too_early else PAUSE_SECONDS
    await asyncio.sleep(min(seconds, wanted.until - asyncio.get_running_loop().time()))
