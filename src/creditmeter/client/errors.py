"""Errors of calls, each a class of its own where a worker does something about it.

All of them are a `CreditmeterError`. `statuses.py` says which status is which.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

LOST = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "INTERNAL"})
"""What a call without a reason may end with although a sidecar has done it. A sidecar always names one. gRPC itself says so
when a connection breaks: INTERNAL for a stream that is reset, or that breaks while something is written to it.
"""
_AT_THE_DOOR = frozenset({"FENCED", "UNAUTHENTICATED", "PERMISSION_DENIED"})
"""Beside what may be tried again: refusals of a sidecar that did not look whether it knows the request."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that is wrong, and why."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What a status says. `retry_delay` is in seconds; None if none was given."""

    code: str
    reason: str = ""
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None


class CreditmeterError(Exception):
    """A call that ended without a reply.

    `code` is the name of a gRPC status code, such as "RESOURCE_EXHAUSTED". `reason` is an ErrorReason without its prefix, such
    as "INSUFFICIENT_CREDITS"; it is empty if no sidecar answered. `metadata` has what the sidecar says beside it. `retry_delay`
    is in seconds; None if the sidecar named none.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem
        self.was_unanswered = False
        """Whether an earlier attempt of the same request had no answer."""

    def __str__(self) -> str:
        return f"{self.reason or self.code}: {self.message}"

    @property
    def code(self) -> str:
        """The name of the gRPC status code."""
        return self.problem.code

    @property
    def reason(self) -> str:
        """The name of an ErrorReason without its prefix. Empty: no sidecar answered."""
        return self.problem.reason

    @property
    def message(self) -> str:
        """What went wrong, for people."""
        return self.problem.message

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the sidecar says beside the reason."""
        return self.problem.metadata

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """The fields that are wrong, all of them. Empty unless the request was invalid."""
        return self.problem.violations

    @property
    def retry_delay(self) -> float | None:
        """After how many seconds the sidecar asks for the same request again; None if it does not."""
        return self.problem.retry_delay

    @property
    def is_retryable(self) -> bool:
        """Whether the same request, with the same request_id, may succeed later: nothing is known about its effect, or
        the sidecar said when to try again.
        """
        return self._was_lost or self.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} or self.retry_delay is not None

    @property
    def is_outcome_unknown(self) -> bool:
        """Whether the call may have taken effect. A refusal changed nothing; but if an earlier attempt had no answer, a refusal
        at the door says nothing of that.
        """
        if self._was_lost or self.reason in {"STORAGE_UNAVAILABLE", "INTERNAL"}:
            return True
        return self.was_unanswered and (self.is_retryable or self.reason in _AT_THE_DOOR)

    @property
    def _was_lost(self) -> bool:
        return not self.reason and self.code in LOST

    def _amount(self, name: str) -> int:
        text = self.metadata.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    def _moment(self, name: str) -> datetime | None:
        with contextlib.suppress(KeyError, ValueError):
            return datetime.fromisoformat(self.metadata[name].replace("Z", "+00:00"))
        return None


class InsufficientCredits(CreditmeterError):
    """The account cannot pay. It is a fact, not a guess: the central store confirmed it."""

    @property
    def required_microcredits(self) -> int:
        """What the call needs."""
        return self._amount("required_microcredits")

    @property
    def available_microcredits(self) -> int:
        """What the account may spend."""
        return self._amount("available_microcredits")

    @property
    def next_reset_at(self) -> datetime | None:
        """When the account's plan next gives credit; None if it gives none."""
        return self._moment("next_reset_at")


class Unavailable(CreditmeterError):
    """No answer for now. The same request, with the same request_id, may succeed later."""


class Unreachable(Unavailable):
    """No sidecar answered: there is none at the address, or the connection broke. The outcome is unknown."""


class DeadlineExceeded(Unavailable):
    """The sidecar did not answer in time. The outcome is unknown."""


class CentralUnavailable(Unavailable):
    """The central store is needed and cannot be reached."""


class StorageUnavailable(Unavailable):
    """The sidecar could not write its journal. The outcome is unknown."""


class ShuttingDown(Unavailable):
    """The sidecar is stopping and takes no new work."""


class CreditContended(Unavailable):
    """The account has the credit, or had it a moment ago, but others come first: RECALL_PENDING, CONTENDED, DAY_NOT_BEGUN."""


class Overloaded(Unavailable):
    """A queue of the sidecar is full."""


class LimitExceeded(CreditmeterError):
    """The account has as many open reservations on this sidecar as it may have. Try again when one has ended."""


class DailyLimitExceeded(CreditmeterError):
    """More than the daily limit of a token or certificate leaves: the caller's, or that of who opened the hold."""

    @property
    def required_microcredits(self) -> int:
        """What the call needs."""
        return self._amount("required_microcredits")

    @property
    def available_microcredits(self) -> int:
        """What the limit leaves at this sidecar."""
        return self._amount("available_microcredits")

    @property
    def limit_microcredits(self) -> int:
        """The most that may be spent at this sidecar on a UTC day."""
        return self._amount("limit_microcredits")

    @property
    def resets_at(self) -> datetime | None:
        """When the UTC day ends."""
        return self._moment("resets_at")


class NotFound(CreditmeterError):
    """What the request names is not there."""


class AccountNotFound(NotFound):
    """There is no such account."""


class ReservationNotFound(NotFound):
    """There is no such reservation."""


class ChargeNotFound(NotFound):
    """There is no such charge."""


class RefundNotFound(NotFound):
    """There is no such refund."""


class AccountSuspended(CreditmeterError):
    """The account starts no new work for now."""


class AccountClosed(CreditmeterError):
    """The account starts no new work, for good."""


class AmountAboveLimit(CreditmeterError):
    """The hold or charge is larger than the account allows for one call."""

    @property
    def required_microcredits(self) -> int:
        """What the call needs."""
        return self._amount("required_microcredits")

    @property
    def limit_microcredits(self) -> int:
        """The most that one call may hold or charge."""
        return self._amount("limit_microcredits")


class ReservationEnded(CreditmeterError):
    """The reservation has ended: by another request, or because its time was over."""


class ReservationCommitted(ReservationEnded):
    """It was committed by another request. `charge_ids` names its charges, where a job was charged already."""

    @property
    def charge_ids(self) -> tuple[str, ...]:
        """The charges of the job. Empty where the sidecar refused."""
        return tuple(filter(None, self.metadata.get("charge_ids", "").split(",")))


class ReservationReleased(ReservationEnded):
    """It was released."""


class ReservationExpired(ReservationEnded):
    """Its deadline passed; for a commit, its late window too."""


class ReservationElsewhere(CreditmeterError):
    """Another sidecar made the reservation: ask that one."""

    @property
    def sidecar_id(self) -> str:
        """The sidecar that made it."""
        return self.metadata.get("sidecar_id", "")


class RefundExceedsCharge(CreditmeterError):
    """The refund is larger than what is left to refund."""

    @property
    def refundable_microcredits(self) -> int:
        """What is left to refund."""
        return self._amount("refundable_microcredits")


class Unpriced(CreditmeterError):
    """The rate card has no price for the work. The message names models that have one."""


class RequestIdReused(CreditmeterError):
    """The account used this request_id for another request."""

    @property
    def field(self) -> str:
        """The first field that differs, or "rpc"."""
        return self.metadata.get("field", "")


class InvalidRequest(CreditmeterError):
    """The request is wrong; `violations` names every wrong field."""


class AlreadyExists(CreditmeterError):
    """There is an account or a rate card of this name."""


class AdministrationRefused(CreditmeterError):
    """An operator's request that does not fit what is there: a grant that ended, a time zone that changed a moment ago."""


class NotAllowed(CreditmeterError):
    """The caller is not authenticated, or may not do this."""


class NotImplementedBySidecar(CreditmeterError):
    """This version of the sidecar does not implement the call."""


class SidecarFenced(CreditmeterError):
    """Another process runs under the sidecar's identity; this one exits. Ask the other one."""


class SidecarFault(CreditmeterError):
    """A fault of the sidecar. The outcome is unknown; the same request_id is safe to repeat."""


class StorageDamaged(CreditmeterError):
    """What is stored of the account is damaged. No retry helps until an operator has seen to it."""


class StreamResumed(CreditmeterError):
    """The metered call was resumed on another stream, which goes on with it: do not open this one again."""


class NotSettled(CreditmeterError):
    """A charge was not posted within the time that was given. It counts all the same, and will be posted."""
