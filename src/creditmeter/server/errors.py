"""Refusals and faults as gRPC statuses. `_TABLE` has a row for each refusal, and `allowed` ends a call with one.

Every error is a status code with exactly one google.rpc.ErrorInfo of the domain `creditmeter`, and, where it helps,
BadRequest, QuotaFailure or RetryInfo (https://google.aip.dev/193).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.core import refusals
from creditmeter.core.amounts import format_credits
from creditmeter.core.awaited import Awaited
from creditmeter.core.instants import MINUTE, Instant, Span, to_datetime
from creditmeter.core.refusals import Refusal
from creditmeter.server.contract_names import contract_path

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
"""The context of a call, which gRPC passes to the method of a service."""

Behavior: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
"""What answers a call, from its request and its context."""

DOMAIN = "creditmeter"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
DO_NOT_RETRY = "-1"

LONGEST_PAUSE = MINUTE
"""A call that may be repeated after a longer time is not to be repeated by gRPC's own policy for retries."""

MAX_MESSAGE_BYTES = 2_000
"""Longest message of an error, in bytes after percent-encoding, as gRPC sends it."""

MAX_VIOLATION_BYTES = 500
"""Longest description of one wrong field, in bytes after percent-encoding."""

_AROUND_BYTES = 8

_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a caller sees it."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    quota_subject: str = ""
    retry_after: Span | None = None

    def as_status(self) -> Status:
        """The error with its details, as a google.rpc.Status."""
        details = [_pack(ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata))]
        if self.violations:
            found = [BadRequest.FieldViolation(field=name, description=text) for name, text in self.violations]
            details.append(_pack(BadRequest(field_violations=found)))
        if self.quota_subject:
            violation = QuotaFailure.Violation(subject=self.quota_subject, description=self.message)
            details.append(_pack(QuotaFailure(violations=[violation])))
        if self.retry_after is not None:
            delay = Duration()
            delay.FromMicroseconds(self.retry_after)
            details.append(_pack(RetryInfo(retry_delay=delay)))
        return Status(code=self.code.value[0], message=self.message, details=details)


def _pack(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _insufficient(refusal: refusals.InsufficientCredits) -> Problem:
    metadata = {
        "required_microcredits": str(refusal.required),
        "available_microcredits": str(refusal.available),
        "next_reset_at": _rfc3339(refusal.next_reset_at),
    }
    return Problem(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "INSUFFICIENT_CREDITS",
        f"{format_credits(refusal.required)} credits are needed, {format_credits(refusal.available)} are available",
        {name: value for name, value in metadata.items() if value},
        quota_subject="credits",
    )


def _rfc3339(moment: Instant | None) -> str:
    return "" if moment is None else to_datetime(moment).isoformat().replace("+00:00", "Z")


def _above_limit(refusal: refusals.AmountAboveLimit) -> Problem:
    return Problem(
        grpc.StatusCode.FAILED_PRECONDITION,
        "AMOUNT_ABOVE_LIMIT",
        f"{format_credits(refusal.required)} credits are more than the account allows for one call"
        f" ({format_credits(refusal.limit)}); ask for less, or raise max_reservation_microcredits",
        {"required_microcredits": str(refusal.required), "limit_microcredits": str(refusal.limit)},
    )


def _calendar_rests(refusal: refusals.TimeZoneChangeTooSoon) -> Problem:
    again = _rfc3339(refusal.may_change_at)
    return Problem(
        grpc.StatusCode.FAILED_PRECONDITION,
        "TIME_ZONE_CHANGE_TOO_SOON",
        f"the time zone or anchor day was changed less than 30 days ago; both stay as they are until {again}",
        {"may_change_at": again},
    )


def _recall_pending(refusal: refusals.RecallPending) -> Problem:
    awaited = refusal.awaited
    return Problem(
        grpc.StatusCode.UNAVAILABLE,
        "RECALL_PENDING",
        f"the credit is out on other sidecars, which were asked to return it; {_waited_for(awaited)}; try again",
        {
            "awaited_sidecars": ",".join(each.sidecar_id for each in awaited),
            "awaited_microcredits": ",".join(str(each.amount) for each in awaited),
            "awaited_until": ",".join(_rfc3339(each.until) for each in awaited),
        },
        retry_after=refusal.retry_after,
    )


def _waited_for(awaited: Sequence[Awaited]) -> str:
    """The sidecar that may bring most and has not answered, and how many others there are."""
    first, others = awaited[0].sidecar_id, len(awaited) - 1
    return f"{first} and {others} more have not answered" if others else f"{first} has not answered"


def _day_not_begun(refusal: refusals.DayNotBegun) -> Problem:
    begins = _rfc3339(refusal.day_begins_at)
    return Problem(
        grpc.StatusCode.UNAVAILABLE,
        "DAY_NOT_BEGUN",
        f"the clock of this sidecar is ahead: at the central store the account's new day begins at {begins}; try again then",
        {"day_begins_at": begins},
        retry_after=refusal.retry_after,
    )


def _too_many_open(refusal: refusals.TooManyOpenReservations) -> Problem:
    return Problem(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "LIMIT_EXCEEDED",
        f"the account has {refusal.limit} open reservations on this sidecar, as many as it may have",
        quota_subject="open reservations",
        retry_after=refusal.retry_after,
    )


def _above_daily_limit(refusal: refusals.DailyLimitExceeded) -> Problem:
    resets_at = _rfc3339(refusal.resets_at)
    required, left, limit = map(format_credits, (refusal.required, refusal.available, refusal.limit))
    return Problem(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "DAILY_LIMIT_EXCEEDED",
        f"{required} credits are needed, and {left} are left of the {limit} that {refusal.name} may spend at this sidecar each"
        f" UTC day; ask for less, wait until {resets_at}, or raise its daily_limit_credits in the access file",
        {
            "required_microcredits": str(refusal.required),
            "available_microcredits": str(refusal.available),
            "limit_microcredits": str(refusal.limit),
            "resets_at": resets_at,
        },
        quota_subject="daily limit",
        retry_after=refusal.retry_after,
    )


def _invalid(refusal: refusals.InvalidRequest) -> Problem:
    named = _as_many_as_fit(refusal.violations)
    more = len(refusal.violations) - len(named)
    lines = [f"{name}: {text}" for name, text in named]
    return Problem(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "; ".join([*lines, *((f"and {more} more",) if more else ())]),
        violations=named,
    )


def _as_many_as_fit(violations: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The first violations that fit into an error, with long descriptions cut short.

    They are sent twice in the trailing metadata of a call, for which gRPC allows 8 KiB.
    """
    kept: list[tuple[str, str]] = []
    left = MAX_MESSAGE_BYTES
    for name, text in violations:
        shown = name, _cut(text, MAX_VIOLATION_BYTES)
        left -= sum(map(_size, name + shown[1])) + _AROUND_BYTES
        if kept and left < 0:
            break
        kept.append(shown)
    return tuple(kept)


def _cut(text: str, most: int) -> str:
    """A text, cut after at most `most` bytes, counted after percent-encoding as gRPC sends it."""
    for end, size in enumerate(accumulate(map(_size, text))):
        if size > most:
            return f"{text[:end]}…"
    return text


def _size(character: str) -> int:
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode("utf-8", "surrogatepass"))


def _refund_exceeds(refusal: refusals.RefundExceedsCharge) -> Problem:
    left = format_credits(refusal.refundable)
    return Problem(
        grpc.StatusCode.FAILED_PRECONDITION,
        "REFUND_EXCEEDS_CHARGE",
        f"{left} credits of the charge are left to refund" if refusal.refundable else "nothing is left to refund",
        {"refundable_microcredits": str(refusal.refundable)},
    )


def _reused(refusal: refusals.RequestIdReused) -> Problem:
    field = contract_path(refusal.field)
    return Problem(
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
        f"the request_id belongs to another request, which differs in {field}",
        {"field": field},
    )


def _not_found(reason: str, attribute: str) -> Callable[[Any], Problem]:
    noun = reason.removesuffix("_NOT_FOUND").lower().replace("_", " ")
    return lambda refusal: Problem(grpc.StatusCode.NOT_FOUND, reason, f"there is no {noun} {getattr(refusal, attribute)}")


def _precondition(reason: str, message: str) -> Callable[[Any], Problem]:
    return lambda refusal: Problem(
        grpc.StatusCode.FAILED_PRECONDITION,
        reason,
        message.format(**{name: getattr(refusal, name) for name in refusal.__slots__}),
    )


_TABLE: Mapping[type[Refusal], Callable[[Any], Problem]] = {
    refusals.InsufficientCredits: _insufficient,
    refusals.RecallPending: _recall_pending,
    refusals.Contended: lambda refusal: Problem(
        grpc.StatusCode.UNAVAILABLE,
        "CONTENDED",
        "other requests of the account come first or were quicker to use its credit; try again",
        retry_after=refusal.retry_after,
    ),
    refusals.DayNotBegun: _day_not_begun,
    refusals.TooManyOpenReservations: _too_many_open,
    refusals.DailyLimitExceeded: _above_daily_limit,
    refusals.Overloaded: lambda refusal: Problem(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        refusal.reason,
        retry_after=refusal.retry_after,
    ),
    refusals.ShuttingDown: lambda _: Problem(
        grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "the sidecar is stopping and takes no new work"
    ),
    refusals.StreamResumed: lambda _: Problem(
        grpc.StatusCode.ABORTED, "STREAM_RESUMED", "the metered call was resumed on another stream, which goes on with it"
    ),
    refusals.AmountAboveLimit: _above_limit,
    refusals.AccountNotFound: _not_found("ACCOUNT_NOT_FOUND", "account_id"),
    refusals.PlanNotFound: _not_found("PLAN_NOT_FOUND", "plan_id"),
    refusals.RateCardNotFound: _not_found("RATE_CARD_NOT_FOUND", "version"),
    refusals.GrantNotFound: _not_found("GRANT_NOT_FOUND", "grant_id"),
    refusals.ReservationNotFound: _not_found("RESERVATION_NOT_FOUND", "reservation_id"),
    refusals.ChargeNotFound: _not_found("CHARGE_NOT_FOUND", "charge_id"),
    refusals.RefundNotFound: _not_found("REFUND_NOT_FOUND", "refund_id"),
    refusals.AccountSuspended: _precondition(
        "ACCOUNT_SUSPENDED", "the account {account_id} is suspended; what it has reserved may still be committed"
    ),
    refusals.AccountClosed: _precondition(
        "ACCOUNT_CLOSED", "the account {account_id} is closed for good; what it has reserved may still be committed"
    ),
    refusals.GrantEnded: _precondition("GRANT_ENDED", "the grant {grant_id} has ended: there is nothing to take back"),
    refusals.GrantVoided: _precondition(
        "GRANT_VOIDED",
        "the grant {grant_id} was voided before: no further request is needed;"
        " what sidecars still hold of it is taken back when they return it",
    ),
    refusals.TimeZoneChangeTooSoon: _calendar_rests,
    refusals.ReservationElsewhere: lambda refusal: Problem(
        grpc.StatusCode.FAILED_PRECONDITION,
        "RESERVATION_ELSEWHERE",
        f"the reservation belongs to the sidecar {refusal.sidecar_id}: ask that one",
        {"sidecar_id": refusal.sidecar_id},
    ),
    refusals.ReservationCommitted: _precondition(
        "RESERVATION_COMMITTED", "the reservation {reservation_id} has been committed by another request"
    ),
    refusals.ReservationReleased: _precondition("RESERVATION_RELEASED", "the reservation {reservation_id} has been released"),
    refusals.ReservationExpired: _precondition(
        "RESERVATION_EXPIRED", "the reservation {reservation_id} has expired; charge with already_incurred instead"
    ),
    refusals.RefundExceedsCharge: _refund_exceeds,
    refusals.UnpricedWork: lambda refusal: Problem(
        grpc.StatusCode.FAILED_PRECONDITION, "UNPRICED", _cut(refusal.message, MAX_MESSAGE_BYTES)
    ),
    refusals.RequestIdReused: _reused,
    refusals.AccountExists: lambda refusal: Problem(
        grpc.StatusCode.ALREADY_EXISTS, "ACCOUNT_EXISTS", f"there is an account {refusal.account_id} already"
    ),
    refusals.RateCardExists: lambda refusal: Problem(
        grpc.StatusCode.ALREADY_EXISTS,
        "RATE_CARD_EXISTS",
        f"another document was published as rate card {refusal.version}, and none ever changes: give this one a new version",
    ),
    refusals.InvalidRequest: _invalid,
    refusals.NotImplementedYet: lambda refusal: Problem(
        grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED", f"not in this version: {refusal.what}"
    ),
}


def problem_of(refusal: Refusal) -> Problem:
    """The row of the table for a refusal."""
    return _TABLE[type(refusal)](refusal)


def problem_of_abort(error: grpc.aio.AbortError) -> Problem | None:
    """The problem with which `abort` ended a call; None if gRPC's own context did."""
    found = getattr(error, "problem", None)
    return found if isinstance(found, Problem) else None


async def abort(context: Context, problem: Problem) -> NoReturn:
    """End a call with an error, by raising the AbortError that gRPC made, with the problem for those who count.

    Raises:
        asyncio.CancelledError: the caller has gone, so nobody is told; gRPC is about to cancel the call.
    """
    trailing: list[tuple[str, str | bytes]] = [(DETAILS_KEY, problem.as_status().SerializeToString())]
    is_soon = problem.retry_after is not None and problem.retry_after <= LONGEST_PAUSE
    if problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED and not is_soon:
        trailing.append((PUSHBACK_KEY, DO_NOT_RETRY))
    try:
        await abort_without_reason(context, problem.code, problem.message, tuple(trailing))
    except grpc.aio.AbortError as error:
        error.problem = problem  # type: ignore[attr-defined]  # gRPC takes no other exception in the place of its own
        raise


async def abort_without_reason(
    context: Context, code: grpc.StatusCode, message: str, trailing: tuple[tuple[str, str | bytes], ...] = ()
) -> NoReturn:
    """End a call as gRPC itself would. Raises what `abort` does."""
    try:
        await context.abort(code, message, trailing)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error
    raise AssertionError("abort does not return")


async def allowed(context: Context, outcome: _Outcome | Refusal) -> _Outcome:
    """The outcome, if it is no refusal. A refusal ends the call with its row of the table."""
    if isinstance(outcome, Refusal):
        await abort(context, problem_of(outcome))
    return outcome


def not_implemented(method: str) -> Callable[[Any, Context], Awaitable[NoReturn]]:
    """What answers a method that this version does not have."""

    async def call(_request: Any, context: Context) -> NoReturn:
        await abort(context, Problem(grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED", f"not in this version: {method}"))

    return call
