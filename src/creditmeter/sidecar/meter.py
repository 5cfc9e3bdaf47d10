"""The meter: reserve, extend, commit, release, charge and refund.

Every request takes the same steps. Holds past their deadline end first. A request that was seen before gets its first reply
again. The core decides and the decision is recorded, at once if the credit in hand is enough. A decision that lacks credit is
taken again after the central store was asked; it changes nothing before. No reply may leave before everything it rests on is on
disk: `answer` waits for that, and so does whoever calls `decide`.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Extend, Receipt, RefundCharge, Release, Request, Reserve
from creditmeter.core.credit.reservations import Hold, Reservation
from creditmeter.core.ids import AccountId, RequestId, ReservationId, origin_of
from creditmeter.core.instants import DAY, SECOND, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.committed_holds import CommittedHold, committed_hold
from creditmeter.core.metering.decisions import Limits, SettleFirst, Short, charge_now, commit, extend, refund, release, reserve
from creditmeter.core.metering.metered import FIRST_OUTPUT_TOKENS, interrupted, is_of_sidecar
from creditmeter.core.metering.replays import replay
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.refusals import (
    AccountNotFound,
    AccountSuspended,
    ChargeNotFound,
    InsufficientCredits,
    Overloaded,
    Refusal,
    ReservationElsewhere,
    ReservationNotFound,
    ShuttingDown,
)
from creditmeter.core.values import replace
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.asking import Asking, Decided
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced
from creditmeter.sidecar.naming import Names
from creditmeter.sidecar.outcomes import Outcome, outcome_of
from creditmeter.sidecar.settler import Settler
from creditmeter.sidecar.shortage import Wanted, refused_call
from creditmeter.sidecar.waiting import waits_until

RETRY_AFTER = SECOND

_ALWAYS = Span(1_000 * DAY)
"""How late the progress of a metered call is charged: after a sidecar was away for years, too."""

DecideWork = Callable[[Book, Moment, bool], Change | Short | Refusal]
"""A decision about work that was not seen before. The flag: the central store has no more to give."""

Deciding = Callable[[], Coroutine[Any, Any, Outcome]]
"""A decision that has to wait for the central store."""


class Meter:
    """Decides about the six requests that change something. `on_commit` are called with the hold of each commit that took
    effect.
    """

    def __init__(
        self,
        books: Books,
        journal: Journal,
        exchanger: Exchanger,
        planner: ExchangePlanner,
        settler: Settler,
        central: CentralStore,
        pricing: Pricing,
        limits: Limits,
        recall_timeout: float,
    ) -> None:
        self._books = books
        self._journal = journal
        self._exchanger = exchanger
        self._planner = planner
        self._settler = settler
        self._central = central
        self._pricing = pricing
        self._limits = limits
        self._recall_timeout = recall_timeout
        self._names = Names(journal.identity.sidecar_id)
        self._asking = Asking(books, exchanger, planner, journal.identity.sidecar_id)
        self.is_draining = False
        self.on_commit: list[Callable[[CommittedHold], None]] = []

    async def answer(
        self, request: Request, within: float | None = None, *, wait: Span | None = None, credential_id: str = ""
    ) -> Outcome:
        """What becomes of a request, once all that it rests on is on disk. The arguments are as in `decide`.

        Raises:
            AccountDamaged: the account is in quarantine.
            CentralUnavailable: the central store is needed, and did not answer.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written; it is unknown whether the request took effect.
        """
        outcome = self.decide(request, within, wait=wait, credential_id=credential_id)
        if callable(outcome):
            outcome = await outcome()
        await self.durable()
        return outcome

    def decide(
        self, request: Request, within: float | None = None, *, wait: Span | None = None, credential_id: str = ""
    ) -> Outcome | Deciding:
        """Decide about a request and record what was decided, at once if what is in hand is enough for that; else return what
        is to be called and awaited. Nothing of the outcome may leave before `durable` returns.

        The caller wants to know within so many seconds, and waits for recalled credit for `wait`. What it reserves or charges
        counts as spent with its credential. What this raises is as in `answer`.
        """
        match request:
            case Reserve():
                return self._reserve(request, within, wait, credential_id)
            case Extend():
                return self._extend(request, within, wait)
            case Commit():
                return self._commit(request, self._limits)
            case Release():
                return self._release(request)
            case ChargeNow():
                return self._charge(request, within, wait, credential_id)
            case RefundCharge():
                return self._refund(request)

    @property
    def fence(self) -> SidecarFenced | None:
        """Why this sidecar takes no new work for good; None while no other process is known to have its identity."""
        return self._exchanger.fence

    def hand_over(self) -> None:
        """Have what was decided go to disk at once, while its replies are written."""
        self._books.hand_over()

    @property
    def loads(self) -> int:
        """As `Books.loads`."""
        return self._books.loads

    async def durable(self, since: int | None = None) -> None:
        """Wait until all that was decided so far is on disk; `since` is as in `Books.durable`.

        Raises:
            StorageUnavailable: it could not be written.
        """
        await self._books.durable(since)

    def _reserve(self, request: Reserve, within: float | None, wait: Span | None, credential_id: str) -> Outcome | Deciding:
        now, is_partial = self._books.moment().now, request.allow_partial or request.is_metered
        if request.is_metered:
            hold = self._pricing.metered_hold(request.work, request.amount, FIRST_OUTPUT_TOKENS, now)
        else:
            hold = self._pricing.hold(request.work, request.amount, now)
        if isinstance(hold, Refusal):
            return self._unless_seen(request.account_id, request, hold)

        def part_for(budget: Microcredits, at: Moment) -> Hold | None:
            part = self._pricing.partial_hold(hold, budget, at.now) if is_partial else None
            return replace(part, max_output_tokens=None) if part is not None and request.is_metered else part

        def decide(book: Book, at: Moment, exhausted: bool) -> Change | Short | Refusal:
            name, spender = self._names.reservation(book.account_id), self._books.spender(credential_id, at.now)
            within_limit = None if spender.left is None or hold.amount <= spender.left else part_for(spender.left, at)
            decided = reserve(book, request, within_limit or hold, at, name, self._limits, spender)
            part = part_for(book.idle(at), at) if isinstance(decided, Short) and exhausted else None
            return decided if part is None else reserve(book, request, part, at, name, self._limits, spender)

        wanted = Wanted(request.account_id, request, hold.amount, *self._until(within, wait), partial=is_partial)
        return self._new_work(wanted, decide)

    def _extend(self, request: Extend, within: float | None, wait: Span | None) -> Outcome | Deciding:
        book = self._book_of(request.reservation_id)
        if isinstance(book, Refusal):
            return book
        held = self._books.reservation(request.reservation_id)
        is_bounded = request.work is not None or request.amount is not None
        hold = None
        if held is not None and is_bounded:
            hold = self._pricing.larger_hold(held, request.work, request.amount, self._books.moment().now)
        if isinstance(hold, Refusal):
            return self._unless_seen(book.account_id, request, hold)

        def decide(book: Book, at: Moment, _exhausted: bool) -> Change | Short | Refusal:
            reservation = self._books.reservation(request.reservation_id)
            if reservation is None:
                return ReservationNotFound(request.reservation_id)
            spender = self._books.spender(reservation.credential_id, at.now)
            return extend(book, request, reservation, hold, at, self._limits, spender)

        more = max(0, hold.amount - held.charged - held.held) if hold is not None and held is not None else 0
        wanted = Wanted(book.account_id, request, Microcredits(more), *self._until(within, wait))
        return self._new_work(wanted, decide)

    def _release(self, request: Release) -> Outcome:
        return self._about_reservation(request, lambda book, held, at: release(book, request, held, at))

    def end_metered(self, reservation: Reservation) -> Outcome:
        """End a metered call of which nothing more is heard: charge what it reported last, however late, or give its hold back
        if it reported nothing. As for `decide`, nothing of the outcome may leave before `durable` returns.
        """
        assert reservation.metered is not None, "a stream metered it"
        name, progress = RequestId(f"{reservation.reservation_id}/end"), reservation.metered.progress
        if progress is None:
            return self._release(Release(name, reservation.reservation_id, "the stream broke before any progress"))
        asked = Commit(name, reservation.reservation_id, usage=interrupted(progress))
        return self._commit(asked, replace(self._limits, late_commit_window=_ALWAYS))

    def _commit(self, request: Commit, limits: Limits) -> Outcome:
        before: Reservation | None = None

        def decide(book: Book, reservation: Reservation, at: Moment) -> Change | Refusal:
            nonlocal before
            before = reservation
            cost = self._pricing.reserved_cost(reservation, request.usage, request.amount, at.now)
            if isinstance(cost, Refusal):
                return cost
            name = self._names.charge(book.account_id)
            return commit(book, request, reservation, cost, at, name, limits)

        outcome = self._about_reservation(request, decide)
        if before is not None and isinstance(outcome, Done):
            self._committed(before, outcome.reply)
        return outcome

    def _committed(self, before: Reservation, receipt: Receipt) -> None:
        """Tell the listeners what a commit took off its hold."""
        assert receipt.reservation is not None, "a commit is about a reservation"
        assert receipt.charge is not None, "and makes a charge"
        found = committed_hold(before, receipt.reservation, receipt.charge)
        if found is not None:
            for listener in self.on_commit:
                listener(found)

    def _charge(self, request: ChargeNow, within: float | None, wait: Span | None, credential_id: str) -> Outcome | Deciding:
        now = self._books.moment().now
        cost = self._pricing.cost(request.usage, request.amount, now, is_fact=request.already_incurred)
        if isinstance(cost, Refusal):
            return self._unless_seen(request.account_id, request, cost)

        def decide(book: Book, at: Moment, _exhausted: bool) -> Change | Short | Refusal:
            name, spender = self._names.charge(book.account_id), self._books.spender(credential_id, at.now)
            return charge_now(book, request, cost, at, name, request.labels, spender)

        wanted = Wanted(request.account_id, request, cost.amount, *self._until(within, wait))
        return self._new_work(wanted, decide)

    def _refund(self, request: RefundCharge) -> Outcome | Deciding:
        """Once the charge was sent to the central store, the store decides; before, this sidecar does."""
        origin = origin_of(request.charge_id)
        book = self._books.find_sound(origin.account_key) if origin else None
        if book is None:
            return partial(self._refund_centrally, request)
        at = self._books.moment()
        self._books.expire(book, at.now)
        seen = self._seen(book.account_id, request)
        if seen is not None:
            return self._recorded(seen)
        charge = book.charges.get(request.charge_id)
        if charge is None:
            return partial(self._refund_centrally, request)
        decided = refund(book, request, charge, at, self._names.refund(book.account_id))
        if not isinstance(decided, SettleFirst):
            return self._recorded(decided)
        return partial(self._refund_centrally, request, None if charge.posting is not None else book.account_id)

    async def _refund_centrally(self, request: RefundCharge, settle: AccountId | None = None) -> Outcome:
        """The central store's decision, once it has the charge: that is of the account `settle` and not posted yet, if it is
        given.
        """
        if settle is not None:
            await self._settler.settle_charge(settle, request.charge_id)
        origin = origin_of(request.charge_id)
        if origin is None:
            return ChargeNotFound(request.charge_id)
        name = self._names.refund_of(origin)
        done = await self._central.refunds.refund(request, name)
        if not isinstance(done, Done):
            return done
        receipt = Receipt(request, refund=done.reply)
        book = self._books.find(origin.account_key)
        if book is not None and self._books.receipt(book.account_id, request.request_id) is None:
            self._books.record(Change(book.account_id, refunds=(done.reply,), receipts=(receipt,)))
        return Done(receipt, done.replayed)

    def _unless_seen(self, account_id: AccountId, request: Request, refusal: Refusal) -> Outcome:
        """The refusal of a request that has no price. If the request took effect when it had one, its first reply again."""
        return self._recorded(self._seen(account_id, request) or refusal)

    def _seen(self, account_id: AccountId, request: Request) -> Receipt | Refusal | None:
        """What a request gets again that took effect before; None if it did not."""
        return replay(self._books.receipt(account_id, request.request_id), request)

    def _until(self, within: float | None, wait: Span | None) -> tuple[float, float | None]:
        """Until when a request waits for recalled credit, and until when for a reply that is under way then: see `Wanted`."""
        for_credit = self._recall_timeout if wait is None else wait / SECOND
        return waits_until(within, for_credit), None if within is None else waits_until(within, within)

    def _new_work(self, wanted: Wanted, decide: DecideWork) -> Outcome | Deciding:
        """Decide about work that needs credit: with what is in hand, else with what the central store leases."""
        book = self._books.open(wanted.account_id)
        at = self._books.moment()
        try:
            decided = self._decided(wanted, decide, book, at, exhausted=False)
        except BaseException:
            self._books.drop_if_empty(wanted.account_id)
            raise
        if isinstance(decided, Short | AccountSuspended):
            return partial(self._with_credit, wanted, decide, decided, at)
        self._books.drop_if_empty(wanted.account_id)
        return self._recorded(decided, wanted.amount)

    async def _with_credit(
        self, wanted: Wanted, decide: DecideWork, first: Short | AccountSuspended, asked_at: Moment
    ) -> Outcome:
        """Decide again with what the central store leases."""
        try:
            decided = await self._asking.decide(wanted, partial(self._decided, wanted, decide), first)
        finally:
            self._books.drop_if_empty(wanted.account_id)
        if isinstance(decided, AccountNotFound):
            return decided
        if isinstance(decided, InsufficientCredits) and not is_of_sidecar(wanted.request):
            book = self._books.open(wanted.account_id)
            book.refuse(refused_call(book, wanted.request, decided, asked_at.now))
        return self._recorded(decided, wanted.amount)

    def _decided(self, wanted: Wanted, decide: DecideWork, book: Book, at: Moment, exhausted: bool) -> Decided:
        self._books.expire(book, at.now)
        seen = self._seen(book.account_id, wanted.request)
        if seen is not None:
            return seen
        if not _is_fact(wanted.request):
            if self.fence is not None:
                raise self.fence
            if self.is_draining:
                return ShuttingDown()
        if self._journal.is_full:
            return Overloaded(RETRY_AFTER)
        return Short(wanted.amount) if book.account is None else decide(book, at, exhausted)

    def _about_reservation(
        self, request: Commit | Release, decide: Callable[[Book, Reservation, Moment], Change | Refusal]
    ) -> Outcome:
        """Decide about a reservation. No credit is asked for."""
        book = self._book_of(request.reservation_id)
        if isinstance(book, Refusal):
            return book
        at = self._books.moment()
        self._books.expire(book, at.now)
        seen = self._seen(book.account_id, request)
        if seen is not None:
            return self._recorded(seen)
        reservation = self._books.reservation(request.reservation_id)
        if reservation is None:
            return self._recorded(ReservationNotFound(request.reservation_id))
        return self._recorded(decide(book, reservation, at))

    def _book_of(self, reservation_id: ReservationId) -> Book | Refusal:
        """The book that a reservation is in, if it was made here."""
        origin = origin_of(reservation_id)
        if origin is None:
            return ReservationNotFound(reservation_id)
        if origin.sidecar_id != self._names.sidecar_id:
            return ReservationElsewhere(origin.sidecar_id)
        return self._books.of_reservation(reservation_id) or ReservationNotFound(reservation_id)

    def _recorded(self, decided: Change | Receipt | Refusal, used: Microcredits = ZERO) -> Outcome:
        """Record what was decided. `used` is the credit that it authorised, in microcredits."""
        if isinstance(decided, Change):
            self._books.record(decided)
            if used:
                self._planner.used(self._books.open(decided.account_id), used, self._books.moment())
        return outcome_of(decided)


def _is_fact(request: Request) -> bool:
    """Whether a request states a cost that was already incurred. It is recorded in any condition of the sidecar."""
    return isinstance(request, ChargeNow) and request.already_incurred
