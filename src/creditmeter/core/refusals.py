"""Every reason for which a request is refused.

Refusals are values, not exceptions: they are expected, and a refused request changes nothing. The edge maps each of them to its
status in one table. Amounts are in microcredits.
"""

from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.awaited import Awaited
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant, Span


class Refusal:
    """Why a request was refused. It changed nothing."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StreamResumed(Refusal):
    """The metered call was resumed on another stream, which goes on with it."""


@dataclass(frozen=True, slots=True)
class InsufficientCredits(Refusal):
    """The central store confirmed that what is left, less what is held, does not cover what is required."""

    required: Microcredits
    available: Microcredits
    next_reset_at: Instant | None


@dataclass(frozen=True, slots=True)
class RecallPending(Refusal):
    """Credit that would do is out on the leases of other sidecars, which were asked to return it and have not answered."""

    retry_after: Span
    awaited: tuple[Awaited, ...]


@dataclass(frozen=True, slots=True)
class Contended(Refusal):
    """The account has credit, but other requests come first, or were quicker to use what was leased for this one."""

    retry_after: Span


@dataclass(frozen=True, slots=True)
class DayNotBegun(Refusal):
    """At the central store the account's day goes on until this moment of its clock; by this sidecar's clock it has ended."""

    day_begins_at: Instant
    retry_after: Span


@dataclass(frozen=True, slots=True)
class TooManyOpenReservations(Refusal):
    """The account has as many open reservations on this sidecar as it may have."""

    limit: int
    retry_after: Span


@dataclass(frozen=True, slots=True)
class AmountAboveLimit(Refusal):
    """The hold would be larger than the account allows for one reservation."""

    limit: Microcredits
    required: Microcredits


@dataclass(frozen=True, slots=True)
class DailyLimitExceeded(Refusal):
    """What is required is more than the daily limit of a credential leaves, which is of the one called `name`. The UTC day ends
    at `resets_at`.
    """

    name: str
    limit: Microcredits
    required: Microcredits
    available: Microcredits
    resets_at: Instant
    retry_after: Span


@dataclass(frozen=True, slots=True)
class AccountNotFound(Refusal):
    """No such account."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountSuspended(Refusal):
    """The account is suspended: it starts no new work."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountClosed(Refusal):
    """The account is closed: it never starts new work again."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountExists(Refusal):
    """There is an account with this id already."""

    account_id: str


@dataclass(frozen=True, slots=True)
class RateCardExists(Refusal):
    """Another document was published under this version. A published card never changes."""

    version: str


@dataclass(frozen=True, slots=True)
class RateCardNotFound(Refusal):
    """No card of this version was published. An empty version: no card was published at all."""

    version: str


@dataclass(frozen=True, slots=True)
class PlanNotFound(Refusal):
    """No such plan."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class GrantNotFound(Refusal):
    """The account has no such grant."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class GrantEnded(Refusal):
    """The grant has ended: it has nothing to take back."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class GrantVoided(Refusal):
    """The grant was voided before."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class TimeZoneChangeTooSoon(Refusal):
    """The account's time zone or anchor day was changed less than 30 days ago."""

    may_change_at: Instant


@dataclass(frozen=True, slots=True)
class ReservationNotFound(Refusal):
    """No such reservation."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class ReservationElsewhere(Refusal):
    """The reservation was made by another sidecar, which has to be asked."""

    sidecar_id: SidecarId


@dataclass(frozen=True, slots=True)
class ReservationCommitted(Refusal):
    """The reservation has been committed by another request."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class ReservationReleased(Refusal):
    """The reservation has been released. A released reservation never commits."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class ReservationExpired(Refusal):
    """The reservation has expired. For a commit: its window for late commits is over, too."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class ChargeNotFound(Refusal):
    """No such charge."""

    charge_id: str


@dataclass(frozen=True, slots=True)
class RefundNotFound(Refusal):
    """No such refund."""

    refund_id: str


@dataclass(frozen=True, slots=True)
class RefundExceedsCharge(Refusal):
    """The requested refund is larger than what is left to refund, or nothing is left."""

    refundable: Microcredits


@dataclass(frozen=True, slots=True)
class UnpricedWork(Refusal):
    """The rate card has no price for the work."""

    message: str


@dataclass(frozen=True, slots=True)
class RequestIdReused(Refusal):
    """The request id belongs to an earlier request, which differs from this one in `field`."""

    field: str


@dataclass(frozen=True, slots=True)
class Overloaded(Refusal):
    """Too much waits: for a turn, for the central store's turn to read at length, or for callers to read their replies."""

    retry_after: Span
    reason: str = "too many requests wait for their turn"


@dataclass(frozen=True, slots=True)
class ShuttingDown(Refusal):
    """The sidecar is stopping and takes no new work."""


@dataclass(frozen=True, slots=True)
class InvalidRequest(Refusal):
    """The request can never be served as it is. `violations` has (field, what is wrong) for every wrong field."""

    violations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NotImplementedYet(Refusal):
    """The contract has it, but this version does not implement it."""

    what: str
