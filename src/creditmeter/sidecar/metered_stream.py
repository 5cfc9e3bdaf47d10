"""One stream that meters a call: what it reports is noted, and the hold is kept ahead of that."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.requests import Commit, Done, Extend
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.metering.metered import (
    Cover,
    Pace,
    as_reported,
    carried_on,
    fallen,
    interrupted,
    progressed,
    raise_id,
    so_far,
)
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.refusals import (
    AmountAboveLimit,
    DailyLimitExceeded,
    InsufficientCredits,
    InvalidRequest,
    Refusal,
    ReservationNotFound,
    StreamResumed,
)
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.meter import Meter
from creditmeter.sidecar.outcomes import Outcome

LONGEST_RAISE_SECONDS = 1.0
"""How long a report waits for credit that its hold is raised by, at each attempt."""

MOST_ATTEMPTS = 4
"""How often a report asks for credit at most: for what is wanted, and then for what each refusal leaves. There are three kinds
of bounds: the reservation's, the credential's and the account's.
"""

RETRY_RAISE = Span(SECOND)
"""How long a hold that could not be raised is left as it is."""


class StopReason(Enum):
    """Why a metered call should stop."""

    HOLD_USED_UP = auto()
    DAILY_LIMIT_EXCEEDED = auto()
    RESERVATION_EXPIRED = auto()
    RESERVATION_ENDED = auto()


def stop_reason_of(reservation: Reservation) -> StopReason:
    """Why a call should stop whose reservation is not held any more."""
    is_expired = reservation.state is ReservationState.EXPIRED
    return StopReason.RESERVATION_EXPIRED if is_expired else StopReason.RESERVATION_ENDED


@dataclass(frozen=True, slots=True)
class GoOn:
    """The call may go on: its hold pays for so many more output tokens."""

    output_tokens_left: int


class MeteredStream:
    """A stream that is attached to a metered call."""

    def __init__(
        self,
        books: Books,
        meter: Meter,
        pricing: Pricing,
        reservation: Reservation,
        ttl: Span,
        on_stop: Callable[[], None],
    ) -> None:
        self._books = books
        self._meter = meter
        self._pricing = pricing
        self._ttl = ttl
        self.reservation_id = reservation.reservation_id
        self.on_stop = on_stop
        self.is_superseded = False
        self._begin(reservation)
        self._raise_at = Span(0)
        self._latest: Instant | None = None
        self._once_used_up = StopReason.HOLD_USED_UP

    def supersede(self) -> None:
        """Note that another stream goes on with the call."""
        self.is_superseded = True
        self.on_stop()

    def _begin(self, reservation: Reservation) -> None:
        """Begin with what was reported since the last commit: one that keeps the hold open begins another count."""
        known = self._known(reservation)
        reported = 0 if known is None else known.output_tokens or 0
        self._pace = Pace(self._books.moment().boot, reported, reported)
        self._commits = len(reservation.charge_ids)

    async def report(self, usage: Usage) -> GoOn | StopReason | Refusal:
        """Note what the call used so far, raise its hold if it is not far enough ahead, and say how it may go on. A refusal
        ends the stream, and what was reported before stays.

        Raises:
            StorageUnavailable: the journal cannot be written; it is unknown whether the report counts.
        """
        since = self._meter.loads
        verdict = await self._reported(usage)
        await self._meter.durable(since)
        return verdict

    async def _reported(self, usage: Usage) -> GoOn | StopReason | Refusal:
        reservation = self._current()
        if isinstance(reservation, Refusal):
            return reservation
        found = self._progress(reservation, usage)
        if isinstance(found, Refusal):
            return found
        progress, counted = found
        if reservation.state in (ReservationState.COMMITTED, ReservationState.RELEASED):
            return StopReason.RESERVATION_ENDED
        if len(reservation.charge_ids) != self._commits:
            self._begin(reservation)
        latest = self._books.reservation(self.reservation_id)  # its deadline may have been moved by a step of the clock
        assert latest is not None, "it was there a moment ago"
        self._books.record(progressed(latest, progress))
        self._meter.hand_over()
        self._pace = self._pace.after(counted.output_tokens or 0)
        return await self._kept_ahead(counted)

    async def finish(self, request_id: RequestId, usage: Usage | None) -> Outcome:
        """Charge the call for what it used: what it says now, and for the rest what it reported last.

        Raises:
            What `Meter.answer` does.
        """
        reservation = self._current()
        whole = reservation if isinstance(reservation, Refusal) else self._whole(reservation, usage)
        if isinstance(whole, Refusal):
            await self._meter.durable()
            return whole
        return await self._meter.answer(Commit(request_id, self.reservation_id, usage=whole))

    def _whole(self, reservation: Reservation, usage: Usage | None) -> Usage | Refusal:
        """What the whole call used, of which this is said at its end."""
        if usage is None:
            return _progress_of(reservation) or InvalidRequest((("finish.usage", "is missing: no progress was reported"),))
        said = self._pricing.counted(usage, reservation.work)
        if isinstance(said, InvalidRequest):
            return _of("finish.usage", said)
        return as_reported(usage, said, carried_on(self._known(reservation), said))

    def _current(self) -> Reservation | Refusal:
        """The reservation as it is now."""
        if self.is_superseded:
            return StreamResumed()
        at = self._books.moment()
        book = self._books.of_reservation(self.reservation_id)
        if book is not None:
            self._books.expire(book, at.now)
        return self._books.reservation(self.reservation_id) or ReservationNotFound(self.reservation_id)

    def _known(self, reservation: Reservation) -> Usage | None:
        """The counts of what was reported so far."""
        progress = _progress_of(reservation)
        known = None if progress is None else self._pricing.counted(progress, reservation.work)
        assert not isinstance(known, InvalidRequest), "it was read before"
        return known

    def _progress(self, reservation: Reservation, usage: Usage) -> tuple[Usage, Usage] | Refusal:
        """A report as it would be charged, and its counts, if it is one: it can be read and priced, and no count has fallen."""
        said = self._pricing.counted(usage, reservation.work)
        if isinstance(said, InvalidRequest):
            return _of("progress", said)
        before = self._known(reservation)
        whole = carried_on(before, said)
        wrong = tuple((f"progress.{name}", why) for name, why in fallen(before, whole))
        if wrong:
            return InvalidRequest(wrong)
        progress = as_reported(usage, said, whole)
        cost = self._cost(reservation, interrupted(progress))
        if isinstance(cost, Refusal):
            return _of("progress", cost) if isinstance(cost, InvalidRequest) else cost
        return progress, so_far(whole)

    def _cost(self, reservation: Reservation, usage: Usage) -> Cost | Refusal:
        return self._pricing.reserved_cost(reservation, usage, None, self._books.moment().now)

    async def _kept_ahead(self, counted: Usage) -> GoOn | StopReason:
        """How the call may go on, once its hold is as far ahead as it has to be and can be."""
        reservation, at = self._current(), self._books.moment()
        if isinstance(reservation, Reservation) and reservation.state is ReservationState.HELD:
            is_ahead = self._cover(reservation, counted).is_ahead(self._pace, at.boot)
            if not (is_ahead and self._is_lasting(reservation)) and at.boot >= self._raise_at:
                await self._raise(reservation, counted)
                reservation = self._current()
        if not isinstance(reservation, Reservation):
            return StopReason.RESERVATION_ENDED
        if reservation.state is not ReservationState.HELD:
            return stop_reason_of(reservation)
        cover = self._cover(reservation, counted)
        return self._once_used_up if cover.is_used_up(self._pace) else GoOn(cover.left)

    def _is_lasting(self, reservation: Reservation) -> bool:
        """Whether its deadline is far enough ahead, or as far as it may be."""
        return reservation.expires_at == self._latest or reservation.expires_at - self._books.moment().now >= self._ttl // 2

    def _cover(self, reservation: Reservation, counted: Usage) -> Cover:
        """What the hold pays for as it is."""
        held, cost = reservation.held, self._cost(reservation, counted)
        return Cover(
            reported=counted.output_tokens or 0,
            paid=self._pricing.paid_output_tokens(reservation, counted, held, self._books.moment().now),
            bound=None if reservation.work is None else reservation.work.max_output_tokens,
            is_covered=isinstance(cost, Cost) and cost.amount <= held,
        )

    async def _raise(self, reservation: Reservation, counted: Usage) -> None:
        """Raise the hold to what the call will have cost before long, or as far as its account can pay, and push its deadline.
        If that fails, it is tried again after a while.
        """
        boot = self._books.moment().boot
        self._raise_at = Span(boot + RETRY_RAISE)
        tokens = self._cover(reservation, counted).wanted(self._pace, boot)
        cost = self._cost(reservation, replace(counted, output_tokens=tokens))
        held = Microcredits(reservation.charged + reservation.held)
        wanted = held
        if isinstance(cost, Cost) and reservation.work is not None:
            wanted = Microcredits(reservation.charged + cost.amount)
        self._once_used_up = StopReason.HOLD_USED_UP
        asked, outcome = wanted, await self._extend(wanted, held)
        for _ in range(MOST_ATTEMPTS - 1):
            most = None if outcome is None else _most(outcome, held)
            if most is None or not held < most < asked:
                break
            asked, outcome = most, await self._extend(most, held)
        if isinstance(outcome, Done) and asked == wanted:
            self._raise_at = Span(0)
        if not self._is_lasting(reservation):
            outcome = outcome if isinstance(outcome, Done) else await self._extend(held, held)
            self._note_latest(reservation, outcome)

    def _note_latest(self, before: Reservation, outcome: Outcome | None) -> None:
        """Note that a deadline is as late as it may be: it was to be pushed, and did not move."""
        after = self._books.reservation(self.reservation_id)
        if isinstance(outcome, Done) and after is not None and after.expires_at == before.expires_at:
            self._latest = after.expires_at

    async def _extend(self, wanted: Microcredits, held: Microcredits) -> Outcome | None:
        """Raise the hold to a total, unless it is that already, and push its deadline. None if there was no answer."""
        is_more = wanted > held
        name = raise_id(self.reservation_id, str(wanted) if is_more else f"until-{self._books.moment().now}")
        asked = Extend(name, self.reservation_id, amount=wanted if is_more else None, ttl=self._ttl)
        try:
            async with asyncio.timeout(LONGEST_RAISE_SECONDS):
                outcome = await self._meter.answer(asked)
        except (CentralUnavailable, TimeoutError):
            return None
        if is_more and isinstance(outcome, Refusal):
            is_limited = isinstance(outcome, DailyLimitExceeded)
            self._once_used_up = StopReason.DAILY_LIMIT_EXCEEDED if is_limited else StopReason.HOLD_USED_UP
        return outcome


def _most(outcome: Outcome, held: Microcredits) -> Microcredits | None:
    """The total to which a hold can be raised that could not be raised as far as was wanted; None if that is not known."""
    match outcome:
        case InsufficientCredits(available=available) | DailyLimitExceeded(available=available):
            return Microcredits(held + available)
        case AmountAboveLimit(limit=limit):
            return limit
        case _:
            return None


def _progress_of(reservation: Reservation) -> Usage | None:
    return None if reservation.metered is None else reservation.metered.progress


def _of(place: str, wrong: InvalidRequest) -> InvalidRequest:
    """The refusal of a usage, with the fields of the message that it came in."""
    return InvalidRequest(tuple((f"{place}.{name.removeprefix('usage.')}", why) for name, why in wrong.violations))
