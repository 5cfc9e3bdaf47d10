"""Statuses of gRPC as errors, by the reason that they carry.

A sidecar answers with a status that has one google.rpc.ErrorInfo and, where it helps, further details
(https://google.aip.dev/193). The status comes with a call that failed, or as the result of one mutation of several. Both
become the same errors here.
"""

import contextlib
from collections.abc import Mapping
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.client.errors import (
    LOST,
    AccountClosed,
    AccountNotFound,
    AccountSuspended,
    AdministrationRefused,
    AlreadyExists,
    AmountAboveLimit,
    CentralUnavailable,
    ChargeNotFound,
    CreditContended,
    CreditmeterError,
    DailyLimitExceeded,
    DeadlineExceeded,
    FieldViolation,
    InsufficientCredits,
    InvalidRequest,
    LimitExceeded,
    NotAllowed,
    NotFound,
    NotImplementedBySidecar,
    Overloaded,
    Problem,
    RefundExceedsCharge,
    RefundNotFound,
    RequestIdReused,
    ReservationCommitted,
    ReservationElsewhere,
    ReservationExpired,
    ReservationNotFound,
    ReservationReleased,
    ShuttingDown,
    SidecarFault,
    SidecarFenced,
    StorageDamaged,
    StorageUnavailable,
    StreamResumed,
    Unavailable,
    Unpriced,
    Unreachable,
)

DETAILS_KEY = "grpc-status-details-bin"
_NANOSECONDS = 1_000_000_000
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

_Class: TypeAlias = type[CreditmeterError]

CLASSES: Mapping[str, _Class] = {
    "INSUFFICIENT_CREDITS": InsufficientCredits,
    "LIMIT_EXCEEDED": LimitExceeded,
    "DAILY_LIMIT_EXCEEDED": DailyLimitExceeded,
    "OVERLOADED": Overloaded,
    "ACCOUNT_NOT_FOUND": AccountNotFound,
    "RESERVATION_NOT_FOUND": ReservationNotFound,
    "CHARGE_NOT_FOUND": ChargeNotFound,
    "REFUND_NOT_FOUND": RefundNotFound,
    "GRANT_NOT_FOUND": NotFound,
    "PLAN_NOT_FOUND": NotFound,
    "RATE_CARD_NOT_FOUND": NotFound,
    "ACCOUNT_SUSPENDED": AccountSuspended,
    "ACCOUNT_CLOSED": AccountClosed,
    "AMOUNT_ABOVE_LIMIT": AmountAboveLimit,
    "GRANT_ENDED": AdministrationRefused,
    "GRANT_VOIDED": AdministrationRefused,
    "TIME_ZONE_CHANGE_TOO_SOON": AdministrationRefused,
    "RESERVATION_COMMITTED": ReservationCommitted,
    "RESERVATION_RELEASED": ReservationReleased,
    "RESERVATION_EXPIRED": ReservationExpired,
    "RESERVATION_ELSEWHERE": ReservationElsewhere,
    "REFUND_EXCEEDS_CHARGE": RefundExceedsCharge,
    "UNPRICED": Unpriced,
    "REQUEST_ID_REUSED": RequestIdReused,
    "ACCOUNT_EXISTS": AlreadyExists,
    "RATE_CARD_EXISTS": AlreadyExists,
    "INVALID_REQUEST": InvalidRequest,
    "CENTRAL_UNAVAILABLE": CentralUnavailable,
    "STORAGE_UNAVAILABLE": StorageUnavailable,
    "RECALL_PENDING": CreditContended,
    "CONTENDED": CreditContended,
    "DAY_NOT_BEGUN": CreditContended,
    "SHUTTING_DOWN": ShuttingDown,
    "FENCED": SidecarFenced,
    "UNAUTHENTICATED": NotAllowed,
    "PERMISSION_DENIED": NotAllowed,
    "NOT_IMPLEMENTED": NotImplementedBySidecar,
    "INTERNAL": SidecarFault,
    "STORAGE_DAMAGED": StorageDamaged,
    "STREAM_RESUMED": StreamResumed,
}
"""The class of each reason."""

_CLASSES_BY_CODE: Mapping[str, _Class] = {
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "INVALID_ARGUMENT": InvalidRequest,
    "UNAUTHENTICATED": NotAllowed,
    "PERMISSION_DENIED": NotAllowed,
    "UNIMPLEMENTED": NotImplementedBySidecar,
    "INTERNAL": SidecarFault,
    "DATA_LOSS": StorageDamaged,
}
"""The class of a reason that only a newer sidecar knows, and of a status without one."""


def error_of(raised: grpc.aio.AioRpcError | Status) -> CreditmeterError:
    """The error for what a stub raised, or for the status of one mutation of several."""
    problem = _problem(raised) if isinstance(raised, Status) else _problem_of_call(raised)
    by_code = _CLASSES_BY_CODE.get(problem.code, CreditmeterError)
    if not problem.reason and problem.code in LOST:
        return (DeadlineExceeded if by_code is DeadlineExceeded else Unreachable)(problem)
    return CLASSES.get(problem.reason, by_code)(problem)


def _problem_of_call(raised: grpc.aio.AioRpcError) -> Problem:
    status = Status(code=raised.code().value[0], message=raised.details() or "")
    for key, value in raised.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                status.details.extend(Status.FromString(value).details)
    return _problem(status)


def _problem(status: Status) -> Problem:
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    delay: float | None = None
    for detail in status.details:
        if detail.Unpack(retry):
            delay = retry.retry_delay.seconds + retry.retry_delay.nanos / _NANOSECONDS
        else:
            _ = detail.Unpack(info) or detail.Unpack(bad_request)
    return Problem(
        _NAMES.get(status.code, "UNKNOWN"),
        info.reason,
        status.message,
        dict(info.metadata),
        tuple(FieldViolation(each.field, each.description) for each in bad_request.field_violations),
        delay,
    )
