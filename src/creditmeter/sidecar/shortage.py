"""What a request that lacks credit makes of what the central store says: to wait, to ask again, or why it is refused."""

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
from creditmeter.core.refusals import InsufficientCredits, RecallPending, Refusal

RECALL_RETRY_AFTER = Span(SECOND // 4)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Work that needs credit: how much, in microcredits, whether a part of it would do, and until when it can wait for what
    has to be recalled, on the event loop's clock.
    """

    account_id: AccountId
    request: Request
    amount: Microcredits
    until: float
    partial: bool = False


def news_until(said: Answer, wanted: Wanted) -> float | None:
    """Until when a request is told of what was recalled for it, on the event loop's clock; None if nothing was."""
    if not said.is_pending:
        return None
    return min(wanted.until, asyncio.get_running_loop().time() + said.pending_for / SECOND)


def is_final(said: Answer, wanted: Wanted) -> bool:
    """Whether the central store has no more to give, or what it recalled will not come in time."""
    if not said.short:
        return False
    return not said.is_pending or asyncio.get_running_loop().time() >= wanted.until


def is_worth_asking(short: Short, said: Answer) -> bool:
    """Whether what came back here since makes enough to be asked for again, with what the central store has left and what of
    others' it had not to recall for the larger need.
    """
    return not said.is_pending and said.free + said.elsewhere >= short.missing


def short_of(book: Book, short: Short, said: Answer, at: Moment) -> Refusal:
    """Why credit is lacking: there is none, or not all who may have it idle have answered."""
    idle = book.idle(at)
    required = Microcredits(short.missing + idle)
    if said.is_pending:
        _log.info("credit is out elsewhere", account_id=book.account_id, required=required, idle=said.elsewhere)
        return RecallPending(RECALL_RETRY_AFTER)
    return InsufficientCredits(required, Microcredits(idle + said.free), said.standing.next_reset_at)


def refused_call(book: Book, request: Request, refusal: InsufficientCredits, now: Instant) -> RefusedCall:
    """What a forecast later asks of a call that was refused for lack of credit."""
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
