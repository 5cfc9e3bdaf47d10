"""What follows from the central store's answer for a request that lacks credit: wait, ask again, or be refused."""

import asyncio
from dataclasses import dataclass

import structlog

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import Moment
from creditmeter.core.credit.messages import Answer, RefusedCall
from creditmeter.core.credit.requests import ChargeNow, Extend, Request, Reserve
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.metering.book import Book
from creditmeter.core.metering.decisions import Short
from creditmeter.core.refusals import Contended, DayNotBegun, InsufficientCredits, RecallPending, Refusal

RETRY_AFTER = Span(SECOND // 4)
"""When a request that waited in vain may be repeated."""

TIMERS_ARE_EARLY_BY = 0.005
"""An event loop may call a timer so much too early, in seconds: uvloop counts whole milliseconds."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Work that needs credit: how much, in microcredits, and whether a part of it would do.

    Until `until` it can wait for recalled credit, and until `hears_by` for a reply that is under way then (None: as long as
    that takes). Both are on the event loop's clock.
    """

    account_id: AccountId
    request: Request
    amount: Microcredits
    until: float
    hears_by: float | None
    partial: bool = False


def notified_until(answer: Answer, wanted: Wanted) -> float | None:
    """Until when the central store notifies of credit that was recalled for a request, on the event loop's clock; None if none
    was, or if the request waits no more: what was recalled for it is for its next attempt.
    """
    if not answer.is_pending or not has_time_left(wanted):
        return None
    return min(wanted.until, asyncio.get_running_loop().time() + answer.pending_for / SECOND)


def may_come(answer: Answer, asked_at: Instant | None) -> bool:
    """Whether more may come for a request that was first asked for at a moment, by the central store's count: credit was
    recalled, and not all that may have it have answered since.
    """
    is_heard = asked_at is not None and answer.heard_since is not None and asked_at <= answer.heard_since
    return answer.is_pending and not is_heard


def is_final(answer: Answer, wanted: Wanted, asked_at: Instant | None) -> bool:
    """Whether the central store has no more to give, or what it recalled will not come in time."""
    if not answer.short:
        return False
    return not may_come(answer, asked_at) or not has_time_left(wanted)


def is_worth_asking(short: Short, answer: Answer, asked_at: Instant | None) -> bool:
    """Whether to ask again because less is missing than before: what the central store has left, and what other sidecars have
    idle that it did not recall for the larger need, are enough for the rest.
    """
    return not may_come(answer, asked_at) and answer.free + answer.elsewhere >= short.missing


def short_of(book: Book, short: Short, answer: Answer, asked_at: Instant | None, at: Moment) -> Refusal:
    """Why credit is lacking: there is none, it is promised to others, or sidecars that may have it idle have not answered."""
    idle = book.idle(at)
    required = Microcredits(short.missing + idle)
    if may_come(answer, asked_at):
        _log.info("credit is out elsewhere", account_id=book.account_id, required=required, idle=answer.elsewhere)
        return RecallPending(RETRY_AFTER, answer.awaited) if answer.awaited else Contended(RETRY_AFTER)
    return InsufficientCredits(required, Microcredits(idle + answer.free), answer.balance.next_reset_at)


def day_not_begun(answer: Answer, at: Moment) -> DayNotBegun | None:
    """The refusal of a request whose credit was leased for a day that has ended by this sidecar's clock; None if it was not.

    The store leases for the account's day by its own clock. Once that day has ended there, too, the new one has begun.
    """
    ends_at = max((each.ends_at for each in answer.leases), default=None)
    if not answer.granted or ends_at is None or at.now < ends_at:
        return None
    return DayNotBegun(ends_at, Span(max(1, ends_at - answer.balance.as_of)))


def has_time_left(wanted: Wanted) -> bool:
    """Whether a request may still wait."""
    return asyncio.get_running_loop().time() < wanted.until - TIMERS_ARE_EARLY_BY


def refused_call(book: Book, request: Request, refusal: InsufficientCredits, now: Instant) -> RefusedCall:
    """What is kept for forecasts of a call that was refused for lack of credit."""
    match request:
        case Reserve(work=work):
            action = work.action if work else ""
        case Extend(work=work, reservation_id=reservation_id):
            reservation = book.reservations.get(reservation_id)
            work = work or (reservation.work if reservation else None)
            action = work.action if work else ""
        case ChargeNow(usage=usage):
            action = usage.action if usage else ""
        case _:
            action = ""
    return RefusedCall(request.request_id, now, action, refusal.required)
