"""Decisions about reservations and charges, from one book at one moment.

Each function reads a book and returns what is to change, a refusal, or `Short`: the credit in hand is not enough, and more has
to be leased from the central store before the decision is taken again. Nothing is changed here.
"""

from collections.abc import Iterable, Mapping

from creditmeter.core.amounts import MAX_BALANCE, Microcredits
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.charges import Charge, Cost, Part, Refund
from creditmeter.core.credit.leases import Lease, Moment
from creditmeter.core.credit.requests import (
    ChargeNow,
    Commit,
    Extend,
    Receipt,
    RefundCharge,
    Release,
    Request,
    Reserve,
)
from creditmeter.core.credit.reservations import Hold, MeteredCall, Reservation, ReservationState, take, total
from creditmeter.core.ids import ChargeId, RefundId, ReservationId
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Instant, Span, after
from creditmeter.core.metering.book import Book, Change
from creditmeter.core.metering.spending import NOBODY, Spender
from creditmeter.core.refusals import (
    AccountClosed,
    AccountSuspended,
    AmountAboveLimit,
    InvalidRequest,
    RefundExceedsCharge,
    Refusal,
    ReservationCommitted,
    ReservationExpired,
    ReservationReleased,
    TooManyOpenReservations,
)
from creditmeter.core.values import Value, replace


class Limits(Value, frozen=True):
    """The server's bounds on reservations."""

    default_ttl: Span = Span(10 * MINUTE)
    max_hold_lifetime: Span = HOUR
    late_commit_window: Span = Span(24 * HOUR)
    max_open_reservations: int = 1_000
    retry_after: Span = SECOND


class Short(Value, frozen=True):
    """The credit in hand is not enough: `missing` microcredits are lacking."""

    missing: Microcredits


class SettleFirst(Value, frozen=True):
    """The central store has to know the charge before this can be decided."""


def expire(book: Book, due: Iterable[Reservation]) -> Change:
    """End these reservations. What they held is idle again. They ended at their deadline, also if that is noticed later."""
    ended = tuple(each.end(ReservationState.EXPIRED, each.expires_at) for each in due)
    return Change(book.account_id, reservations=ended)


def shift_deadlines(book: Book, by: Span) -> Change:
    """Move the deadlines of all that is held along with a step of the time of day: each hold has as long left as before."""
    held = [each for each in book.reservations.values() if each.state is ReservationState.HELD]
    return Change(book.account_id, reservations=tuple(replace(each, expires_at=after(each.expires_at, by)) for each in held))


def bound_deadlines(book: Book, now: Instant, longest: Span) -> Change:
    """Move the deadlines of what is held longer than anything may be held from now on: the clock was ahead when it was."""
    latest = after(now, longest)
    held = [each for each in book.reservations.values() if each.state is ReservationState.HELD and each.expires_at > latest]
    return Change(book.account_id, reservations=tuple(replace(each, expires_at=latest) for each in held))


def reserve(
    book: Book,
    request: Reserve,
    hold: Hold,
    at: Moment,
    reservation_id: ReservationId,
    limits: Limits,
    spender: Spender = NOBODY,
) -> Change | Short | Refusal:
    """Hold credit, all or nothing."""
    refusal = _new_work_refused(book) or _hold_refused(book, hold.amount, limits) or spender.refusal_of(hold.amount, at.now)
    if refusal is not None:
        return refusal
    parts = _allocate(book, hold.amount, at)
    if isinstance(parts, Short):
        return parts
    reservation = Reservation(
        reservation_id=reservation_id,
        account_id=book.account_id,
        request_id=request.request_id,
        state=ReservationState.HELD,
        parts=parts,
        created_at=at.now,
        expires_at=Instant(at.now + min(request.ttl or limits.default_ttl, limits.max_hold_lifetime)),
        rate_card_version=hold.rate_card_version,
        work=hold.work,
        labels=request.labels,
        max_output_tokens=hold.max_output_tokens,
        metered=MeteredCall() if request.is_metered else None,
        credential_id=spender.credential_id,
    )
    return _receipt(book, request, reservation=reservation)


def extend(
    book: Book,
    request: Extend,
    reservation: Reservation,
    hold: Hold | None,
    at: Moment,
    limits: Limits,
    spender: Spender = NOBODY,
) -> Change | Short | Refusal:
    """Raise a hold to a new total of charged and held, push its deadline, or both. Refused, the old hold stands. The spender is
    the one that opened the hold.
    """
    refusal = _not_held(reservation, at.now) or _new_work_refused(book)
    if refusal is not None:
        return refusal
    extended = reservation
    if hold is not None:
        missing = hold.amount - reservation.charged - reservation.held
        if missing < 0:
            return InvalidRequest((("bound", "the new total is below what is already charged and held"),))
        refusal = _amount_refused(book, hold.amount) or spender.refusal_of(missing, at.now)
        if refusal is not None:
            return refusal
        parts = _allocate(book, missing, at)
        if isinstance(parts, Short):
            return parts
        extended = replace(extended, parts=reservation.parts + parts)
        if hold.work is not None:
            extended = replace(extended, work=hold.work, max_output_tokens=hold.max_output_tokens)
    if request.ttl is not None:
        latest = Instant(reservation.created_at + limits.max_hold_lifetime)
        wanted = max(reservation.expires_at, Instant(at.now + request.ttl))
        extended = replace(extended, expires_at=min(wanted, latest))
    return _receipt(book, request, reservation=extended)


def commit(
    book: Book,
    request: Commit,
    reservation: Reservation,
    cost: Cost,
    at: Moment,
    charge_id: ChargeId,
    limits: Limits,
) -> Change | Refusal:
    """Charge what a call cost. This is never refused for lack of credit: what the hold does not cover is taken from idle
    credit, and the rest is excess, which the central store draws. A hold that was charged more than `MAX_BALANCE` in all ends.
    """
    late = reservation.state is ReservationState.EXPIRED
    refusal = _not_committable(reservation, at.now, limits)
    if refusal is not None:
        return refusal
    covered, left = take(reservation.parts, cost.amount)
    covered += _allocate_up_to(book, Microcredits(cost.amount - total(covered)), at)
    charged = Microcredits(reservation.charged + cost.amount)
    keeps_open = request.keep_open and not late and charged <= MAX_BALANCE
    charge = _charge(book, request, cost, covered, at, charge_id, reservation=reservation)
    committed = replace(
        reservation,
        parts=left if keeps_open else (),
        state=ReservationState.HELD if keeps_open else ReservationState.COMMITTED,
        ended_at=None if keeps_open else at.now,
        charged=charged,
        charge_ids=(*reservation.charge_ids, charge_id),
        metered=MeteredCall() if keeps_open and reservation.metered is not None else reservation.metered,
    )
    return _receipt(book, request, reservation=committed, charge=charge, spent=covered)


def release(book: Book, request: Release, reservation: Reservation, at: Moment) -> Change | Refusal:
    """Give a hold back. What was charged of it with `keep_open` stays charged."""
    refusal = _not_held(reservation, at.now)
    if refusal is not None:
        return refusal
    released = replace(reservation.end(ReservationState.RELEASED, at.now), release_reason=request.reason)
    return _receipt(book, request, reservation=released)


def charge_now(
    book: Book,
    request: ChargeNow,
    cost: Cost,
    at: Moment,
    charge_id: ChargeId,
    labels: Mapping[str, str],
    spender: Spender = NOBODY,
) -> Change | Short | Refusal:
    """Reserve and commit in one step. A cost that was already incurred is never refused for lack of credit, and a free action
    needs none.
    """
    if request.already_incurred:
        parts = _allocate_up_to(book, cost.amount, at)
    else:
        refusal = _new_work_refused(book) or _amount_refused(book, cost.amount) or spender.refusal_of(cost.amount, at.now)
        if refusal is not None:
            return refusal
        allocated = _allocate(book, cost.amount, at)
        if isinstance(allocated, Short):
            return allocated
        parts = allocated
    charge = _charge(book, request, cost, parts, at, charge_id, labels=labels, credential_id=spender.credential_id)
    return _receipt(book, request, charge=charge, spent=parts)


def refund(
    book: Book, request: RefundCharge, charge: Charge, at: Moment, refund_id: RefundId
) -> Change | SettleFirst | Refusal:
    """Decide a refund of a charge that was never sent to the central store; any other one the central store decides."""
    if charge.sent or charge.posting is not None or charge.excess:
        return SettleFirst()
    refundable = Microcredits(charge.cost - book.refunded_here(charge.charge_id))
    amount = refundable if request.amount is None else request.amount
    if amount > refundable or refundable == 0:
        return RefundExceedsCharge(refundable)
    made = Refund(
        refund_id=refund_id,
        charge_id=charge.charge_id,
        account_id=book.account_id,
        request_id=request.request_id,
        amount=amount,
        mode=request.mode,
        reason=request.reason,
        refunded_at=at.now,
    )
    return _receipt(book, request, refund=made)


def _new_work_refused(book: Book) -> Refusal | None:
    assert book.account is not None, "new work is decided once the account is known"
    match book.account.state:
        case AccountState.ACTIVE:
            return None
        case AccountState.SUSPENDED:
            return AccountSuspended(book.account_id)
        case AccountState.CLOSED:
            return AccountClosed(book.account_id)


def _hold_refused(book: Book, amount: Microcredits, limits: Limits) -> Refusal | None:
    assert book.account is not None
    limit = book.account.max_open_reservations or limits.max_open_reservations
    if book.open_reservations >= limit:
        return TooManyOpenReservations(limit, limits.retry_after)
    return _amount_refused(book, amount)


def _amount_refused(book: Book, amount: Microcredits) -> Refusal | None:
    assert book.account is not None
    limit = book.account.max_reservation
    return AmountAboveLimit(limit, amount) if limit and amount > limit else None


def _not_held(reservation: Reservation, now: Instant) -> Refusal | None:
    assert not reservation.is_due(now), "what is due is ended before anything else is decided"
    match reservation.state:
        case ReservationState.HELD:
            return None
        case ReservationState.COMMITTED:
            return ReservationCommitted(reservation.reservation_id)
        case ReservationState.RELEASED:
            return ReservationReleased(reservation.reservation_id)
        case ReservationState.EXPIRED:
            return ReservationExpired(reservation.reservation_id)


def _not_committable(reservation: Reservation, now: Instant, limits: Limits) -> Refusal | None:
    """An expired reservation is committed late, once, within a window after its deadline."""
    if reservation.state is ReservationState.EXPIRED and now < reservation.expires_at + limits.late_commit_window:
        return None
    return _not_held(reservation, now)


def _allocate(book: Book, amount: int, at: Moment) -> tuple[Part, ...] | Short:
    """Idle credit for exactly this amount, or how much is missing."""
    parts = _allocate_up_to(book, Microcredits(amount), at)
    missing = amount - total(parts)
    return Short(Microcredits(missing)) if missing else parts


def _allocate_up_to(book: Book, amount: Microcredits, at: Moment) -> tuple[Part, ...]:
    """Idle credit for this amount or, if there is less, all of it."""
    parts = []
    for lease in book.authorising(at) if amount else ():
        used = min(amount, book.idle_on(lease))
        if used:
            parts.append(Part(lease.lease_id, used, at.now))
            amount = Microcredits(amount - used)
    return tuple(parts)


def _charge(
    book: Book,
    request: Commit | ChargeNow,
    cost: Cost,
    parts: tuple[Part, ...],
    at: Moment,
    charge_id: ChargeId,
    *,
    reservation: Reservation | None = None,
    labels: Mapping[str, str] | None = None,
    credential_id: str = "",
) -> Charge:
    """A charge that these parts cover. What an offline allowance covers is excess, since the central store did not lease it."""
    authorized_at = parts[0].authorized_at if parts else at.now
    parts = tuple(part for part in parts if not book.leases[part.lease_id].offline)
    return Charge(
        charge_id=charge_id,
        account_id=book.account_id,
        request_id=request.request_id,
        reservation_id=reservation.reservation_id if reservation else None,
        commit_number=len(reservation.charge_ids) + 1 if reservation else 1,
        cost=cost.amount,
        parts=parts,
        excess=Microcredits(cost.amount - total(parts)),
        exact_credits=cost.exact_credits,
        cost_usd=cost.usd,
        usage=cost.usage,
        rate_card_version=cost.rate_card_version,
        authorized_at=authorized_at,
        committed_at=at.now,
        late=reservation is not None and reservation.state is ReservationState.EXPIRED,
        flags=cost.flags,
        labels=reservation.labels if reservation else (labels or {}),
        priced_parts=cost.priced_parts,
        unread=cost.unread,
        reported_cost_usd=cost.reported_cost_usd,
        priced_at=cost.priced_at,
        stand_in=cost.stand_in,
        credential_id=reservation.credential_id if reservation else credential_id,
    )


def _receipt(
    book: Book,
    request: Request,
    *,
    reservation: Reservation | None = None,
    charge: Charge | None = None,
    refund: Refund | None = None,
    spent: tuple[Part, ...] = (),
) -> Change:
    """The change that a decision makes, with the receipt for its request. `spent` is what a charge takes from leases."""
    return Change(
        book.account_id,
        reservations=(reservation,) if reservation else (),
        charges=(charge,) if charge else (),
        refunds=(refund,) if refund else (),
        leases=_spent_leases(book, spent),
        receipts=(Receipt(request, reservation, charge, refund),),
    )


def _spent_leases(book: Book, parts: tuple[Part, ...]) -> tuple[Lease, ...]:
    """The leases of some parts after these were spent on them."""
    spent: dict[str, Lease] = {}
    for part in parts:
        lease = spent.get(part.lease_id) or book.leases[part.lease_id]
        spent[part.lease_id] = replace(lease, spent=Microcredits(lease.spent + part.amount))
    return tuple(spent.values())
