"""The meter: reserve, extend, commit, release, charge and refund.

Every request takes the same steps. Holds past their deadline end first. A request that was seen before gets its first reply
again. The core decides, the decision is recorded, and the reply waits until everything it rests on is on disk. A decision that
lacks credit is taken again after the central store was asked; it changes nothing before.
"""

from collections.abc import Callable
from functools import partial

from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Extend, Receipt, RefundCharge, Release, Request, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, ReservationId, origin_of
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.committed_holds import CommittedHold, committed_hold
from creditmeter.core.metering.decisions import (
    Limits,
    SettleFirst,
    Short,
    charge_now,
    commit,
    extend,
    refund,
    release,
    reserve,
)
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
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.asking import Asking, Decided
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger
from creditmeter.sidecar.naming import Names
from creditmeter.sidecar.outcomes import Meanwhile, Outcome, nothing, outcome_of
from creditmeter.sidecar.settler import Settler
from creditmeter.sidecar.shortage import (
    Wanted,
    refused_call,
)
from creditmeter.sidecar.waiting import waits_until

RETRY_AFTER = SECOND

DecideWork = Callable[[Book, Moment, bool], Change | Short | Refusal]
"""A decision about work that was not seen before. The flag: the central store has no more to give."""


class Meter:
    """Answers the six requests that change something. `meanwhile` is called with a receipt while it goes to disk: nothing of it
    may leave before the method returns. `on_commit` are called with the hold of each commit that took effect.
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

    async def reserve(
        self, request: Reserve, within: float | None = None, meanwhile: Meanwhile = nothing, *, wait: Span | None = None
    ) -> Outcome:
        """Hold credit for a call. The caller hears of it within so many seconds, and waits for recalled credit for `wait`."""
        hold = self._pricing.hold(request.work, request.amount, self._books.moment().now)
        if isinstance(hold, Refusal):
            return await self._unless_seen(request.account_id, request, hold, meanwhile)

        def decide(book: Book, at: Moment, exhausted: bool) -> Change | Short | Refusal:
            name = self._names.reservation(book.account_id)
            decided = reserve(book, request, hold, at, name, self._limits)
            if isinstance(decided, Short) and exhausted and request.allow_partial:
                part = self._pricing.partial_hold(hold, book.idle(at), at.now)
                if part is not None:
                    return reserve(book, request, part, at, name, self._limits)
            return decided

        wanted = Wanted(request.account_id, request, hold.amount, *self._until(within, wait), partial=request.allow_partial)
        return await self._new_work(wanted, decide, meanwhile)

    async def extend(
        self, request: Extend, within: float | None = None, meanwhile: Meanwhile = nothing, *, wait: Span | None = None
    ) -> Outcome:
        """Raise a hold, push its deadline, or both. `within` and `wait` are as in `reserve`."""
        book = self._book_of(request.reservation_id)
        if isinstance(book, Refusal):
            return book
        held = self._books.reservation(request.reservation_id)
        is_bounded = request.work is not None or request.amount is not None
        hold = None
        if held is not None and is_bounded:
            hold = self._pricing.larger_hold(held, request.work, request.amount, self._books.moment().now)
        if isinstance(hold, Refusal):
            return await self._unless_seen(book.account_id, request, hold, meanwhile)

        def decide(book: Book, at: Moment, _exhausted: bool) -> Change | Short | Refusal:
            reservation = self._books.reservation(request.reservation_id)
            if reservation is None:
                return ReservationNotFound(request.reservation_id)
            return extend(book, request, reservation, hold, at, self._limits)

        more = max(0, hold.amount - held.charged - held.held) if hold is not None and held is not None else 0
        wanted = Wanted(book.account_id, request, Microcredits(more), *self._until(within, wait))
        return await self._new_work(wanted, decide, meanwhile)

    async def commit(self, request: Commit, meanwhile: Meanwhile = nothing) -> Outcome:
        """Charge what a reserved call used."""
        before: Reservation | None = None

        def decide(book: Book, reservation: Reservation, at: Moment) -> Change | Refusal:
            nonlocal before
            before = reservation
            cost = self._pricing.reserved_cost(reservation, request.usage, request.amount, at.now)
            if isinstance(cost, Refusal):
                return cost
            name = self._names.charge(book.account_id)
            return commit(book, request, reservation, cost, at, name, self._limits)

        outcome = await self._about_reservation(request, decide, meanwhile)
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

    async def release(self, request: Release, meanwhile: Meanwhile = nothing) -> Outcome:
        """Give a hold back unused."""

        def decide(book: Book, reservation: Reservation, at: Moment) -> Change | Refusal:
            return release(book, request, reservation, at)

        return await self._about_reservation(request, decide, meanwhile)

    async def charge(
        self, request: ChargeNow, within: float | None = None, meanwhile: Meanwhile = nothing, *, wait: Span | None = None
    ) -> Outcome:
        """Reserve and commit in one step. `within` and `wait` are as in `reserve`."""
        now = self._books.moment().now
        cost = self._pricing.cost(request.usage, request.amount, now, is_fact=request.already_incurred)
        if isinstance(cost, Refusal):
            return await self._unless_seen(request.account_id, request, cost, meanwhile)

        def decide(book: Book, at: Moment, _exhausted: bool) -> Change | Short | Refusal:
            return charge_now(book, request, cost, at, self._names.charge(book.account_id), request.labels)

        wanted = Wanted(request.account_id, request, cost.amount, *self._until(within, wait))
        return await self._new_work(wanted, decide, meanwhile)

    async def refund(self, request: RefundCharge) -> Outcome:
        """Give back cost. Once the charge was sent to the central store, the store decides; before, this sidecar does."""
        origin = origin_of(request.charge_id)
        book = self._books.find_sound(origin.account_key) if origin else None
        if book is None:
            return await self._refund_centrally(request)
        at = self._books.moment()
        self._books.expire(book, at.now)
        seen = self._seen(book.account_id, request)
        charge = book.charges.get(request.charge_id)
        if seen is None and charge is not None:
            decided = refund(book, request, charge, at, self._names.refund(book.account_id))
            if not isinstance(decided, SettleFirst):
                return await self._recorded(decided)
            if charge.posting is None:
                await self._settler.settle_charge(book.account_id, request.charge_id)
        return await (self._refund_centrally(request) if seen is None else self._recorded(seen))

    async def _refund_centrally(self, request: RefundCharge) -> Outcome:
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
            await self._books.durable()
        return Done(receipt, done.replayed)

    async def _unless_seen(self, account_id: AccountId, request: Request, refusal: Refusal, meanwhile: Meanwhile) -> Outcome:
        """The refusal of a request that has no price. If the request took effect when it had one, its first reply again."""
        return await self._recorded(self._seen(account_id, request) or refusal, meanwhile=meanwhile)

    def _seen(self, account_id: AccountId, request: Request) -> Receipt | Refusal | None:
        """What a request gets again that took effect before; None if it did not."""
        return replay(self._books.receipt(account_id, request.request_id), request)

    def _until(self, within: float | None, wait: Span | None) -> tuple[float, float | None]:
        """Until when a request waits for recalled credit, and until when for a reply that is under way then: see `Wanted`."""
        for_credit = self._recall_timeout if wait is None else wait / SECOND
        return waits_until(within, for_credit), None if within is None else waits_until(within, within)

    async def _new_work(self, wanted: Wanted, decide: DecideWork, meanwhile: Meanwhile) -> Outcome:
        """Decide about work that needs credit: with what is in hand, else with what the central store leases."""
        book = self._books.open(wanted.account_id)
        at = self._books.moment()
        decided = self._decided(wanted, decide, book, at, exhausted=False)
        try:
            if isinstance(decided, Short | AccountSuspended):
                decided = await self._asking.decide(wanted, partial(self._decided, wanted, decide), decided)
        finally:
            self._books.drop_if_empty(wanted.account_id)
        if isinstance(decided, AccountNotFound):
            return decided
        if isinstance(decided, InsufficientCredits):
            book = self._books.open(wanted.account_id)
            book.refuse(refused_call(book, wanted.request, decided, at.now))
        return await self._recorded(decided, wanted.amount, meanwhile)

    def _decided(self, wanted: Wanted, decide: DecideWork, book: Book, at: Moment, exhausted: bool) -> Decided:
        self._books.expire(book, at.now)
        seen = self._seen(book.account_id, wanted.request)
        if seen is not None:
            return seen
        if self.is_draining and not _is_fact(wanted.request):
            return ShuttingDown()
        if self._journal.is_full:
            return Overloaded(RETRY_AFTER)
        return Short(wanted.amount) if book.account is None else decide(book, at, exhausted)

    async def _about_reservation(
        self, request: Commit | Release, decide: Callable[[Book, Reservation, Moment], Change | Refusal], meanwhile: Meanwhile
    ) -> Outcome:
        """Decide about a reservation. No credit is asked for."""
        book = self._book_of(request.reservation_id)
        if isinstance(book, Refusal):
            return book
        at = self._books.moment()
        self._books.expire(book, at.now)
        seen = self._seen(book.account_id, request)
        if seen is not None:
            return await self._recorded(seen, meanwhile=meanwhile)
        reservation = self._books.reservation(request.reservation_id)
        if reservation is None:
            return await self._recorded(ReservationNotFound(request.reservation_id))
        return await self._recorded(decide(book, reservation, at), meanwhile=meanwhile)

    def _book_of(self, reservation_id: ReservationId) -> Book | Refusal:
        """The book that a reservation is in, if it was made here."""
        origin = origin_of(reservation_id)
        if origin is None:
            return ReservationNotFound(reservation_id)
        if origin.sidecar_id != self._names.sidecar_id:
            return ReservationElsewhere(origin.sidecar_id)
        return self._books.of_reservation(reservation_id) or ReservationNotFound(reservation_id)

    async def _recorded(
        self, decided: Change | Receipt | Refusal, used: Microcredits = ZERO, meanwhile: Meanwhile = nothing
    ) -> Outcome:
        """Record what was decided, and return it once all it rests on is on disk. `used` is the credit that it authorised, in
        microcredits.
        """
        if isinstance(decided, Change):
            self._books.record(decided)
            if used:
                self._planner.used(self._books.open(decided.account_id), used, self._books.moment())
        outcome = outcome_of(decided)
        if isinstance(outcome, Done):
            self._books.hand_over()
            meanwhile(outcome)
        await self._books.durable()
        return outcome


def _is_fact(request: Request) -> bool:
    """Whether a request states a cost that was already incurred. It is recorded in any condition of the sidecar."""
    return isinstance(request, ChargeNow) and request.already_incurred
