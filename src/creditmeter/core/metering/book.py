"""One account as its sidecar knows it: leases, reservations, charges, refunds and receipts.

A decision reads the book and returns a `Change`; the change is applied to the book in memory and written to the journal, and
both hold the same thing: whatever a change names replaces what was there under that id. Loading the journal is applying its
changes to empty books. What has ended leaves the book once it is on disk, where it is looked up.
"""

import heapq
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.leases import Lease, Moment
from creditmeter.core.credit.messages import BalanceSummary, LeaseReport, RefusedCall
from creditmeter.core.credit.requests import Receipt
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, ChargeId, LeaseId, RefundId, RequestId, ReservationId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.listing import Listing
from creditmeter.core.values import Value, replace

MAX_REFUSED_CALLS = 1_000
"""Most calls refused for lack of credit that are kept until a message reported them. The oldest are dropped first."""


_SPARE_DEADLINES = 64
"""So many deadlines of ended reservations are always kept, so that dropping them is rare."""

_Key = TypeVar("_Key")
_Thing = TypeVar("_Thing")


class Change(Value, frozen=True):
    """New versions of what one decision touched, all of one account."""

    account_id: AccountId
    reservations: tuple[Reservation, ...] = ()
    charges: tuple[Charge, ...] = ()
    refunds: tuple[Refund, ...] = ()
    leases: tuple[Lease, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    account: Account | None = None

    def __add__(self, later: "Change") -> "Change":
        """Both changes as one. Of a thing that both touch, the later version counts."""
        return Change(
            self.account_id,
            self.reservations + later.reservations,
            self.charges + later.charges,
            self.refunds + later.refunds,
            self.leases + later.leases,
            self.receipts + later.receipts,
            later.account or self.account,
        )

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.reservations or self.charges or self.refunds or self.leases or self.receipts or self.account)


class Snapshot(Value, frozen=True):
    """How the account stood at the central store's last answer, and what of that was this sidecar's own, in microcredits.

    `reports` say what was held on each of its leases.
    """

    balance: BalanceSummary
    reports: tuple[LeaseReport, ...]
    own_unposted: Microcredits

    @property
    def own_held(self) -> Microcredits:
        """What was held here on all leases."""
        return Microcredits(sum(each.held for each in self.reports))


class Book:
    """The state of one account on one sidecar. Changed only by `apply`, `let_go` and `drop_ended_leases`.

    A thing that has ended is in it until it is on disk: an ended reservation, a posted charge or refund, a receipt.
    `refused`, the calls refused for lack of credit that no message reported yet, is in memory only. Its reservations are in the
    `listing`, too, which other books may share.
    """

    def __init__(self, account_id: AccountId, listing: Listing | None = None) -> None:
        self.account_id = account_id
        self._listing = Listing() if listing is None else listing
        self.account: Account | None = None
        self.snapshot: Snapshot | None = None
        self.leases: dict[LeaseId, Lease] = {}
        self.reservations: dict[ReservationId, Reservation] = {}
        self.charges: dict[ChargeId, Charge] = {}
        self.refunds: dict[RefundId, Refund] = {}
        self.receipts: dict[RequestId, Receipt] = {}
        self.refused: dict[RequestId, RefusedCall] = {}
        self.open_reservations = 0
        self._held: dict[LeaseId, int] = {}
        self._unposted_charges: dict[ChargeId, Charge] = {}
        self._unposted_refunds: dict[RefundId, Refund] = {}
        self._deadlines: list[tuple[Instant, ReservationId]] = []

    def apply(self, change: Change) -> None:
        """Take over what the change names."""
        for reservation in change.reservations:
            self._put_reservation(reservation)
        for charge in change.charges:
            self.charges[charge.charge_id] = charge
            if charge.posting is None:
                self._unposted_charges[charge.charge_id] = charge
            else:
                self._unposted_charges.pop(charge.charge_id, None)
        for refund in change.refunds:
            self.refunds[refund.refund_id] = refund
            if refund.posting is None:
                self._unposted_refunds[refund.refund_id] = refund
            else:
                self._unposted_refunds.pop(refund.refund_id, None)
        for lease in change.leases:
            self.leases[lease.lease_id] = lease
        for receipt in change.receipts:
            self.receipts[receipt.request.request_id] = receipt
            self.refused.pop(receipt.request.request_id, None)  # repeated, it was not refused
        if change.account is not None:
            self.account = change.account

    def _put_reservation(self, new: Reservation) -> None:
        old = self.reservations.get(new.reservation_id)
        if old is not None:
            self._count(old, -1)
        self._count(new, 1)
        self.reservations[new.reservation_id] = new
        self._listing.put(new)
        if new.state is ReservationState.HELD and (old is None or old.expires_at != new.expires_at):
            heapq.heappush(self._deadlines, (new.expires_at, new.reservation_id))
            if len(self._deadlines) > 2 * self.open_reservations + _SPARE_DEADLINES:
                self._drop_ended_deadlines()

    def _drop_ended_deadlines(self) -> None:
        """Forget the deadlines of reservations that have ended or have another deadline. So they take no more memory than those
        that are open.
        """
        open_ones = (each for each in self.reservations.values() if each.state is ReservationState.HELD)
        self._deadlines = [(each.expires_at, each.reservation_id) for each in open_ones]
        heapq.heapify(self._deadlines)

    def _count(self, reservation: Reservation, sign: int) -> None:
        if reservation.state is not ReservationState.HELD:
            return
        self.open_reservations += sign
        for part in reservation.parts:
            self._held[part.lease_id] = self._held.get(part.lease_id, 0) + sign * part.amount
            assert self._held[part.lease_id] >= 0, "held is the sum of open reservations"

    def refuse(self, call: RefusedCall) -> None:
        """Remember that a call was refused for lack of credit. Of a call that is refused again the last refusal counts."""
        self.refused.pop(call.request_id, None)
        self.refused[call.request_id] = call
        if len(self.refused) > MAX_REFUSED_CALLS:
            del self.refused[next(iter(self.refused))]

    def forget_reported(self, calls: Iterable[RefusedCall]) -> None:
        """Forget refused calls that the central store has stored, unless they were refused again since."""
        for call in calls:
            if self.refused.get(call.request_id) == call:
                del self.refused[call.request_id]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written in it."""
        return not (self.account or self.leases or self.reservations or self.charges or self.refunds or self.receipts)

    def due(self, now: Instant) -> list[Reservation]:
        """Open reservations whose deadline is past. At most as many as the account may have open."""
        found: dict[ReservationId, Reservation] = {}
        while self._deadlines and self._deadlines[0][0] <= now:
            _, reservation_id = heapq.heappop(self._deadlines)
            reservation = self.reservations.get(reservation_id)
            if reservation is not None and reservation.is_due(now):
                found[reservation_id] = reservation
        return list(found.values())

    @property
    def next_deadline(self) -> Instant | None:
        """When the next open reservation ends, or earlier: reservations that have ended count until their deadline. None if
        there is none.
        """
        return self._deadlines[0][0] if self._deadlines else None

    def held_on(self, lease_id: LeaseId) -> Microcredits:
        """What open reservations hold on a lease."""
        return Microcredits(self._held.get(lease_id, 0))

    @property
    def held(self) -> Microcredits:
        """What open reservations hold on all leases."""
        return Microcredits(sum(self._held.values()))

    def idle_on(self, lease: Lease) -> Microcredits:
        """What of a lease is neither held nor spent, in microcredits; never negative. After a journal was set back to an older
        copy, more may be held and spent than the lease has.
        """
        return Microcredits(max(0, lease.limit - lease.spent - self.held_on(lease.lease_id)))

    def authorising(self, at: Moment) -> list[Lease]:
        """The leases that new work may use at this moment, the one that ends first before the others.

        After a grant was voided a day can have a second lease. Of leases that end together the newer one comes first.
        """
        usable = (each for each in self.leases.values() if each.authorises(at))
        return sorted(usable, key=lambda each: (each.ends_at, -each.opened_at))

    def idle(self, at: Moment) -> Microcredits:
        """What new work may use at this moment, in microcredits, without an exchange."""
        return Microcredits(sum(self.idle_on(lease) for lease in self.authorising(at)))

    def idle_once_renewed(self, now: Instant) -> Microcredits:
        """What new work may use, in microcredits, once the central store has renewed the leases of this day, as every answer
        does.
        """
        leases = (each for each in self.leases.values() if each.runs(now) and not each.offline)
        return Microcredits(sum(self.idle_on(lease) for lease in leases))

    @property
    def unposted_charges(self) -> Iterable[Charge]:
        """Charges that the central store has not confirmed, oldest first."""
        return self._unposted_charges.values()

    @property
    def oldest_unposted(self) -> Instant | None:
        """When the oldest charge or refund was made that the central store has not confirmed; None if it confirmed all."""
        charges = (each.committed_at for each in islice(self.unposted_charges, 1))
        refunds = (each.refunded_at for each in islice(self.unposted_refunds, 1))
        return min((*charges, *refunds), default=None)

    @property
    def unposted_charge_count(self) -> int:
        """How many those are."""
        return len(self._unposted_charges)

    @property
    def unposted_refunds(self) -> Iterable[Refund]:
        """Refunds that the central store has not confirmed, oldest first."""
        return self._unposted_refunds.values()

    @property
    def has_unposted(self) -> bool:
        """Whether anything waits to be posted."""
        return bool(self._unposted_charges or self._unposted_refunds)

    def is_posted(self, charge_id: ChargeId) -> bool:
        """Whether the central store has confirmed a charge of this sidecar."""
        return charge_id not in self._unposted_charges

    def unposted_on(self, lease_id: LeaseId) -> Microcredits:
        """What is committed on a lease and not confirmed by the central store."""
        return Microcredits(
            sum(part.amount for charge in self._unposted_charges.values() for part in charge.parts if part.lease_id == lease_id)
        )

    def refunded_here(self, charge_id: ChargeId) -> Microcredits:
        """What this sidecar decided to refund of a charge and has not posted yet."""
        return Microcredits(sum(refund.amount for refund in self._unposted_refunds.values() if refund.charge_id == charge_id))

    def distrust_leases(self) -> None:
        """Authorise nothing more on any lease until the central store renews it."""
        self.leases = {key: replace(lease, trusted_until=Span(0)) for key, lease in self.leases.items()}

    @property
    def live(self) -> Change:
        """All that is in it, as a change to an empty book."""
        return Change(
            self.account_id,
            tuple(self.reservations.values()),
            tuple(self.charges.values()),
            tuple(self.refunds.values()),
            tuple(self.leases.values()),
            tuple(self.receipts.values()),
            self.account,
        )

    def let_go(self, written: Change) -> None:
        """Drop what a change named that is on disk now, as far as it cannot change by itself any more. It is found there."""
        for receipt in written.receipts:
            _drop(self.receipts, receipt.request.request_id, receipt)
        for reservation in written.reservations:
            if reservation.has_ended and _drop(self.reservations, reservation.reservation_id, reservation):
                self._listing.drop(reservation.reservation_id)
        for charge in written.charges:
            if charge.posting is not None:
                _drop(self.charges, charge.charge_id, charge)
        for refund in written.refunds:
            if refund.posting is not None:
                _drop(self.refunds, refund.refund_id, refund)

    def drop_ended_leases(self, now: Instant) -> None:
        """Drop the leases of other days of which nothing is left to authorise, to end or to post."""
        for lease in list(self.leases.values()):
            is_used_up = lease.limit == lease.spent or lease.offline
            if not lease.runs(now) and is_used_up and not self.held_on(lease.lease_id) and not self.unposted_on(lease.lease_id):
                del self.leases[lease.lease_id]
                self._held.pop(lease.lease_id, None)

    def leave_listing(self) -> None:
        """Take its reservations out of the listing: nothing is made of this book any more."""
        for each in self.reservations:
            self._listing.drop(each)

    @property
    def has_nothing_but_its_account(self) -> bool:
        """Whether nothing is in it that may still change here, or that waits to be reported."""
        others = self.leases or self.reservations or self.charges or self.refunds or self.receipts or self.refused
        return not others


def _drop(things: dict[_Key, _Thing], key: _Key, version: _Thing) -> bool:
    """Drop a thing, unless there is a later version of it. Returns whether it was dropped."""
    is_last = things.get(key) is version
    if is_last:
        del things[key]
    return is_last
