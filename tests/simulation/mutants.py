"""Deliberate bugs: each takes away one rule, check, write or deadline that the design rests on.

The simulation has to find every one of them; one that it does not find means that the simulation looks away.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from creditmeter.central.decisions import accounts, elapsed_time, exchanges, touching
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit import grants, leases
from creditmeter.core.credit.charges import Charge, Part
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.leases import Lease, Moment
from creditmeter.core.credit.messages import Reply
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.elapsed import ElapsedCount
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering import composing as lease_keeping
from creditmeter.core.metering import decisions as metering
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.spending import Spending
from creditmeter.core.settlement import answering, ledger, posting, reclaiming
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.values import replace
from creditmeter.journal import groups, journal, records
from creditmeter.server import frames
from creditmeter.server.frames import Frames
from creditmeter.server.mutations import Decided
from creditmeter.server.pipeline import PipelineStream
from creditmeter.sidecar import exchanger, meter, metered_stream
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.clock import SidecarClock
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.exchanger import Exchanger
from creditmeter.sidecar.metered_calls import MeteredCalls
from tests.simulation.replacing import Replacement


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: what is wrong, what it puts in the place of what, and the seed that found it last."""

    wrong: str
    changes: tuple[Replacement, ...]
    found_by: int = 0


# Availability, and what is drawn on.


def _available_without(is_left_out: Callable[[Any, Any], bool]) -> tuple[Replacement, ...]:
    def available(all_grants: Iterable[Any], all_leases: Iterable[Any], now: Any, rest: Any) -> Microcredits:
        return leases.available(all_grants, [each for each in all_leases if not is_left_out(each, now)], now, rest)

    return ((ledger, "available", available),)


def _idle_counts_as_free(all_grants: Iterable[Any], all_leases: Iterable[Any], now: Any, rest: Any) -> Microcredits:
    busy = [replace(each, limit=Microcredits(each.limit - each.idle)) for each in all_leases]
    return leases.available(all_grants, busy, now, rest)


def _draw_now(one: Ledger, part: Part) -> tuple[Any, ...]:
    return one.draw(grants.usable(one.grants.values(), one.now), part.amount)


def _usable_in_any_order(all_grants: Iterable[Any], at: Any) -> list[Any]:
    return grants.usable(all_grants, at)[::-1]


def _lapse_at_once(one: Ledger, lapse: Callable[[Ledger], None] = Ledger.lapse) -> None:
    kept, one.leases = one.leases, {}
    lapse(one)
    one.leases = kept


def _void_all(one: Ledger, grant_id: Any, void: Callable[[Ledger, Any], Any] = Ledger.void) -> Any:
    grant = one.grants.get(grant_id)
    if grant is None or grant.has_ended(one.now) or not grant.remaining:
        return void(one, grant_id)
    one.put_grant(grant.void(grant.remaining))
    one.record(one.entry(EntryType.VOIDED, -grant.remaining, one.now, grant))
    return grant.remaining


def _nothing_to_take_back(*_state: object) -> tuple[()]:
    return ()


# What was done before.


async def _nothing_applied(*_: Any) -> dict[AccountId, Reply]:
    return {}


def _post_again(one: Ledger, charge: Charge, sender: Any) -> Any:
    one.charges.pop(charge.charge_id, None)
    one._firsts.clear()
    return posting.post(one, charge, sender)


def _counted_again(spending: Spending, book: Book, change: Change, note: Any = Spending.note) -> None:
    note(spending, book, change)
    for each in change.charges:
        if each.charge_id in book.charges:
            spending.charge(each)


def _refund_here(book: Book, request: Any, charge: Charge, *more: Any) -> Any:
    return metering.refund(book, request, charge if charge.excess else replace(charge, sent=False, posting=None), *more)


async def _registered_with_nothing(
    one: Exchanger, nonce: str, register: Callable[..., Any] = Exchanger._register_with
) -> tuple[Any, ...]:
    await register(one, nonce)
    return ()


# What is written, sent and given back.


async def _durable_already(_books: Books) -> None:
    return None


def _unwritten(**nothing: Any) -> tuple[Replacement, ...]:
    def encoded(seq: int, record: records.Record) -> records.Encoded:
        change = replace(record.change, **nothing)
        return records.encoded(seq, dataclasses.replace(record, change=change))

    return ((journal, "encoded", encoded),)


def _compose_keeping(*arguments: Any, **options: Any) -> Any:
    message, change = lease_keeping.compose(*arguments, **options)
    return message, replace(change, leases=())


def _compose_once(book: Book, *arguments: Any, **options: Any) -> Any:
    message, change = lease_keeping.compose(book, *arguments, **options)
    new = tuple(each for each in message.charges if not book.charges[each.charge_id].sent)
    return replace(message, charges=new), change


# Time.


def _never_due(*_: Any) -> bool:
    return False


def _authorises_after_its_day(lease: Lease, at: Moment) -> bool:
    return at.boot < lease.trusted_until


def _authorises_without_renewal(lease: Lease, at: Moment) -> bool:
    return at.now < lease.ends_at


def _reclaim_at_once(*given: Any, renewed: Callable[..., Any] = answering._renewed) -> Any:
    return replace(renewed(*given), lost_after=Span(0))


def _nothing_to_reclaim(*_: Any) -> bool:
    return False


def _reclaim_by_one_reading(one: Ledger, _elapsed: Span) -> bool:
    due = [each for each in one.leases.values() if each.reclaim_at <= one.now]
    for each in due:
        one.put_lease(reclaiming._closed(each))
    return bool(due)


def _count_nothing(elapsed: Span, _least: Span | None) -> Span:
    return elapsed


def _count_twice(count: ElapsedCount, boot: Span) -> Span | None:
    return None if count._said is None else Span(count._said + 2 * (boot - count._heard_at))


def _count_from_any_answer(count: ElapsedCount, boot: Span) -> Span | None:
    return None if count._said is None else Span(count._said + boot - count._heard_at)


def _count_outages(elapsed: Span, least: Span | None) -> Span:
    return max(elapsed, least or elapsed)


def _latest_so_far(now: Instant, decided_at: Instant) -> Instant:
    return max(now, decided_at)


def _recall_ignored(_planner: ExchangePlanner, _account_id: Any) -> None:
    return None


# Frames and streams.


async def _answered_at_once(one: Frames, decided: list[Decided], *_: Any) -> Any:
    return [each.result for each in decided]


def _parts_from_the_first(_number: int, since: int, turn: Any = None, part: type = frames._Part) -> Any:
    return part(0, since, turn)


def _nothing_noted(reservation: Reservation, _progress: Any) -> Change:
    return Change(reservation.account_id)


async def _never_ended(_calls: MeteredCalls) -> None:
    return None


def _has_ended_once_expired(reservation: Reservation) -> bool:
    return reservation.state is not ReservationState.HELD


def _left_for_good(calls: MeteredCalls, stream: Any) -> None:
    calls._attached.pop(stream.reservation_id, None)


def _count_goes_on(book: Book, request: Any, reservation: Reservation, *rest: Any) -> Any:
    made = metering.commit(book, request, reservation, *rest)
    if not isinstance(made, Change) or made.reservations[0].state is not ReservationState.HELD:
        return made
    return replace(made, reservations=(replace(made.reservations[0], metered=reservation.metered),))


async def _answered_no_more(stream: PipelineStream, requests: AsyncIterator[Any]) -> None:
    under_way = [asyncio.ensure_future(stream._answer(frame)) async for frame in requests]
    under_way[-1].cancel()


def _machine_time(clock: SidecarClock) -> Instant:
    return clock._machine.wall()


MUTANTS = {
    "ended days": Mutant(
        "what is out on leases of ended days does not count",
        _available_without(lambda lease, now: lease.ends_at <= now),
        found_by=34,
    ),
    "idle is free": Mutant(
        "idle credit on leases can be leased again",
        ((ledger, "available", _idle_counts_as_free),),
    ),
    "drawn when posted": Mutant(
        "a charge draws on what is usable when it is posted, not when it was authorised",
        ((posting, "_draw_part", _draw_now),),
        found_by=6,
    ),
    "drawn in any order": Mutant(
        "a charge draws on the last grant first",
        ((posting, "usable", _usable_in_any_order),),
    ),
    "lapsed at once": Mutant(
        "a grant lapses at its end, though a charge of that day may still come",
        ((Ledger, "lapse", _lapse_at_once),),
        found_by=5,
    ),
    "voided to nothing": Mutant(
        "a void takes back what is out on leases",
        ((Ledger, "void", _void_all),),
        found_by=1,
    ),
    "voided comes back": Mutant(
        "what returns to a voided grant is not taken back",
        ((ledger, "surplus", _nothing_to_take_back),),
        found_by=3,
    ),
    "seq unchecked": Mutant(
        "the store applies a message as often as it comes, and in any order",
        ((exchanges, "_applied", _nothing_applied),),
        found_by=7,
    ),
    "posted again": Mutant(
        "the store posts a charge that it knows",
        ((answering, "post", _post_again),),
        found_by=4,
    ),
    "charged twice": Mutant(
        "the store charges one request through two sidecars",
        ((Ledger, "first_like", lambda _ledger, _charge: None),),
        found_by=4,
    ),
    "receipts ignored": Mutant(
        "a sidecar decides a repeated request anew",
        ((meter, "replay", lambda _book, _request: None),),
        found_by=2,
    ),
    "refunded twice": Mutant(
        "a sidecar decides refunds of charges that are the store's to refund",
        ((meter, "refund", _refund_here),),
        found_by=8,
    ),
    "nothing restated": Mutant(
        "a sidecar sends nothing about its old leases after a restart",
        ((Exchanger, "_register_with", _registered_with_nothing),),
        found_by=12,
    ),
    "acknowledged early": Mutant(
        "a sidecar acknowledges before it is on disk",
        ((Books, "durable", _durable_already),),
        found_by=1,
    ),
    "leases unwritten": Mutant(
        "the journal does not keep what was spent and given back of a lease",
        _unwritten(leases=()),
        found_by=5,
    ),
    "charges unwritten": Mutant(
        "the journal does not keep charges",
        _unwritten(charges=()),
        found_by=12,
    ),
    "given back and kept": Mutant(
        "a sidecar goes on using credit that it gave back",
        ((exchanger, "compose", _compose_keeping),),
    ),
    "sent only once": Mutant(
        "a charge that was sent is not sent again, though it may not have arrived",
        ((exchanger, "compose", _compose_once),),
        found_by=3,
    ),
    "held for ever": Mutant(
        "the deadline of a hold is not judged",
        ((Reservation, "is_due", _never_due),),
    ),
    "authorised after its day": Mutant(
        "a lease is used after the end of its day",
        ((Lease, "authorises", _authorises_after_its_day),),
        found_by=1,
    ),
    "authorised without renewal": Mutant(
        "a lease is used after its time to live",
        ((Lease, "authorises", _authorises_without_renewal),),
        found_by=6,
    ),
    "reclaimed at once": Mutant(
        "a lease is reclaimed while it may still be used",
        ((answering, "_renewed", _reclaim_at_once),),
        found_by=6,
    ),
    "never reclaimed": Mutant(
        "what a lost sidecar had is lost, too",
        ((answering, "reclaim_lost", _nothing_to_reclaim), (exchanges, "reclaim_lost", _nothing_to_reclaim)),
    ),
    "recalls ignored": Mutant(
        "a sidecar does not give back what others wait for",
        ((ExchangePlanner, "recall", _recall_ignored),),
        found_by=3,
    ),
    "reclaimed by one reading": Mutant(
        "leases are reclaimed by what the store's clock says, also if that is wrong for a moment",
        ((exchanges, "reclaim_lost", _reclaim_by_one_reading), (answering, "reclaim_lost", _reclaim_by_one_reading)),
        found_by=8,
    ),
    "nothing counted": Mutant(
        "no time is counted, so what a lost sidecar had does not come back",
        ((elapsed_time, "counted", _count_nothing),),
        found_by=9,
    ),
    "counted twice": Mutant(
        "twice the time is counted that passes",
        ((elapsed_time, "counted", _count_outages), (ElapsedCount, "least", _count_twice)),
    ),
    "outages counted": Mutant(
        "an outage of the store counts against leases that were renewed since",
        ((elapsed_time, "counted", _count_outages), (ElapsedCount, "least", _count_from_any_answer)),
        found_by=8,
    ),
    "never back": Mutant(
        "an account's time never goes back, also if its last decision lies in the future",
        ((accounts, "decided_now", _latest_so_far), (touching, "decided_now", _latest_so_far)),
        found_by=4,
    ),
    "frames not on disk": Mutant(
        "a frame is answered before what it rests on is on disk",
        ((Frames, "_durable", _answered_at_once),),
    ),
    "parts from the first": Mutant(
        "each part of an answer says that it begins with the first mutation",
        ((frames, "_Part", _parts_from_the_first),),
        found_by=2,
    ),
    "progress not noted": Mutant(
        "what a stream reports is not written down",
        ((metered_stream, "progressed", _nothing_noted),),
        found_by=1,
    ),
    "broken streams wait for ever": Mutant(
        "a metered call without a stream is never ended",
        ((MeteredCalls, "end_broken", _never_ended),),
        found_by=3,
    ),
    "expired progress is lost": Mutant(
        "what a metered call reported is forgotten once its hold has expired",
        ((Reservation, "has_ended", property(_has_ended_once_expired)),),
        found_by=3,
    ),
    "progress charged as nothing": Mutant(
        "a metered call that broke off is charged for no output",
        ((meter, "interrupted", lambda progress: replace(progress, output_tokens=0)),),
        found_by=3,
    ),
    "charged progress counts again": Mutant(
        "a commit that keeps a metered call open leaves what it charged to be charged again",
        ((meter, "commit", _count_goes_on),),
        found_by=6,
    ),
    "half-closed streams end": Mutant(
        "what is under way when a caller closes its side of a stream is given up",
        ((PipelineStream, "answer", _answered_no_more),),
    ),
    "left streams are forgotten": Mutant(
        "a call whose stream broke is not looked after",
        ((MeteredCalls, "leave", _left_for_good),),
        found_by=13,
    ),
    "holds count for no limit": Mutant(
        "after a restart nothing is known to be held with a credential",
        ((Spending, "note_holds", lambda _spending, _book: None),),
        found_by=3,
    ),
    "images forget the day": Mutant(
        "an image comes without what was spent until then",
        ((groups, "put_kept_spending", lambda _connection, _spent: None),),
        found_by=3,
    ),
    "posted charges count again": Mutant(
        "a charge counts for a limit once more when it is posted",
        ((Spending, "note", _counted_again),),
    ),
    "machine's time": Mutant(
        "a sidecar goes by its machine's clock",
        ((SidecarClock, "wall", _machine_time),),
        found_by=5,
    ),
}
"""The bugs by name."""
