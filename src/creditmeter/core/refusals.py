"""Everything that can be said instead of yes.

Refusals are values, not exceptions: they are expected, they change nothing, and the edge turns each into its status in one
table. Amounts in microcredits.
"""

from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant, Span


class Refusal:
    """A request that changed nothing."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class InsufficientCredits(Refusal):
    """The central store confirmed that what is left, less what is held, cannot cover the need."""

    required: Microcredits
    available: Microcredits
    next_reset_at: Instant | None


@dataclass(frozen=True, slots=True)
class RecallPending(Refusal):
    """The credit is there, but idle on another sidecar's lease; it is on its way home."""

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
class AccountNotFound(Refusal):
    """No such account."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountSuspended(Refusal):
    """The account starts no new work."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountClosed(Refusal):
    """The account starts no new work, for good."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountExists(Refusal):
    """An account of this id is there already."""

    account_id: str


@dataclass(frozen=True, slots=True)
class RateCardExists(Refusal):
    """Another document was published under this version; what is published never changes."""

    version: str


@dataclass(frozen=True, slots=True)
class RateCardNotFound(Refusal):
    """No card of this version was published; without a version, none at all."""

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
    """The grant has ended: there is nothing to take back."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class GrantVoided(Refusal):
    """The grant was voided before: there is nothing left to do."""

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
    """The reservation was made by another sidecar: ask that one."""

    sidecar_id: SidecarId


@dataclass(frozen=True, slots=True)
class ReservationCommitted(Refusal):
    """The reservation has been committed by another request."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class ReservationReleased(Refusal):
    """The reservation has been released: it never commits."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class ReservationExpired(Refusal):
    """The reservation has expired, and its late window too if this was a commit."""

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
    """More was asked back than is left to refund, or nothing is left."""

    refundable: Microcredits


@dataclass(frozen=True, slots=True)
class UnpricedWork(Refusal):
    """The rate card has no price for it."""

    message: str


@dataclass(frozen=True, slots=True)
class RequestIdReused(Refusal):
    """The id belongs to another request, which differs in this field."""

    field: str


@dataclass(frozen=True, slots=True)
class Overloaded(Refusal):
    """Too much is waiting: to be written, or to sum up what was."""

    retry_after: Span


@dataclass(frozen=True, slots=True)
class ShuttingDown(Refusal):
    """The sidecar is stopping and takes no new work."""


@dataclass(frozen=True, slots=True)
class InvalidRequest(Refusal):
    """The request can never be served as it stands: (field, what is wrong) for every wrong field."""

    violations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NotImplementedYet(Refusal):
    """The contract names it, this version does not do it."""

    what: str
