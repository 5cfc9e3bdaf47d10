"""Errors: a class for each reason, read from a failed call and from the status of one mutation."""

import copy
import pickle
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.client import (
    AlreadyExists,
    AmountAboveLimit,
    CreditContended,
    CreditmeterError,
    DailyLimitExceeded,
    DeadlineExceeded,
    FieldViolation,
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    ReservationElsewhere,
    SidecarFault,
    Unavailable,
    Unreachable,
)
from creditmeter.client.statuses import CLASSES, DETAILS_KEY, error_of
from creditmeter.v1 import errors_pb2


def status(code: grpc.StatusCode, reason: str = "", *details: object, **metadata: str) -> Status:
    """A status as a sidecar makes it."""
    made = Status(code=code.value[0], message="why")
    info = [ErrorInfo(reason=reason, domain="creditmeter", metadata=metadata)] if reason else []
    for each in (*info, *details):
        packed = Any()
        packed.Pack(each)
        made.details.append(packed)
    return made


def raised(found: Status) -> grpc.aio.AioRpcError:
    """The same as a stub raises it."""
    code = next(each for each in grpc.StatusCode if each.value[0] == found.code)
    trailing = grpc.aio.Metadata((DETAILS_KEY, found.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=found.message)


def both(found: Status) -> list[CreditmeterError]:
    """A status as the result of a mutation, and as a failed call."""
    return [error_of(found), error_of(raised(found))]


def test_every_reason_has_a_class() -> None:
    """Those of the contract, and no other."""
    names = {name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number}
    assert set(CLASSES) == names
    for reason, known in CLASSES.items():
        assert known is not CreditmeterError
        for error in both(status(grpc.StatusCode.FAILED_PRECONDITION, reason)):
            assert (type(error), error.reason, error.code) == (known, reason, "FAILED_PRECONDITION")


def test_a_refusal_for_lack_of_credit() -> None:
    """Amounts are numbers and the moment is a moment; what is missing or no number is told as nothing."""
    said = {"required_microcredits": "5", "available_microcredits": "3", "next_reset_at": "2026-11-25T00:00:00Z"}
    for error in both(status(grpc.StatusCode.RESOURCE_EXHAUSTED, "INSUFFICIENT_CREDITS", **said)):
        assert isinstance(error, InsufficientCredits)
        assert (error.required_microcredits, error.available_microcredits) == (5, 3)
        assert error.next_reset_at == datetime(2026, 11, 25, tzinfo=UTC)
        assert (error.is_retryable, error.is_outcome_unknown) == (False, False)
        assert str(error) == "INSUFFICIENT_CREDITS: why"
    for metadata in ({}, {"required_microcredits": "much", "next_reset_at": "soon"}):
        bare = error_of(status(grpc.StatusCode.RESOURCE_EXHAUSTED, "INSUFFICIENT_CREDITS", **metadata))
        assert isinstance(bare, InsufficientCredits)
        assert (bare.required_microcredits, bare.next_reset_at) == (0, None)


def test_what_else_is_said() -> None:
    """By a limit, and by a sidecar that does not have the reservation."""
    said = {"required_microcredits": "5", "limit_microcredits": "3"}
    above = error_of(status(grpc.StatusCode.FAILED_PRECONDITION, "AMOUNT_ABOVE_LIMIT", **said))
    assert isinstance(above, AmountAboveLimit)
    assert (above.required_microcredits, above.limit_microcredits) == (5, 3)
    said |= {"available_microcredits": "2", "resets_at": "2026-11-25T00:00:00Z"}
    limited = error_of(status(grpc.StatusCode.RESOURCE_EXHAUSTED, "DAILY_LIMIT_EXCEEDED", **said))
    assert isinstance(limited, DailyLimitExceeded)
    assert (limited.required_microcredits, limited.available_microcredits, limited.limit_microcredits) == (5, 2, 3)
    assert limited.resets_at == datetime(2026, 11, 25, tzinfo=UTC)
    elsewhere = error_of(status(grpc.StatusCode.FAILED_PRECONDITION, "RESERVATION_ELSEWHERE", sidecar_id="s1"))
    assert isinstance(elsewhere, ReservationElsewhere)
    assert elsewhere.sidecar_id == "s1"


def test_the_details() -> None:
    """When to ask again, and which fields are wrong."""
    wrong = BadRequest(field_violations=[BadRequest.FieldViolation(field="ttl", description="is too long")])
    for error in both(status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", wrong)):
        assert isinstance(error, InvalidRequest)
        assert error.violations == (FieldViolation("ttl", "is too long"),)
    delay = RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    for error in both(status(grpc.StatusCode.UNAVAILABLE, "RECALL_PENDING", delay)):
        assert isinstance(error, CreditContended)
        assert (error.retry_delay, error.is_retryable, error.is_outcome_unknown) == (1.5, True, False)


@pytest.mark.parametrize(
    ("code", "reason", "known"),
    [
        (grpc.StatusCode.UNAVAILABLE, "", Unreachable),
        (grpc.StatusCode.INTERNAL, "", Unreachable),
        (grpc.StatusCode.CANCELLED, "", Unreachable),
        (grpc.StatusCode.UNKNOWN, "", Unreachable),
        (grpc.StatusCode.INTERNAL, "NEWER", SidecarFault),
        (grpc.StatusCode.UNAVAILABLE, "NEWER", Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", DeadlineExceeded),
        (grpc.StatusCode.NOT_FOUND, "NEWER", NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, "NEWER", AlreadyExists),
        (grpc.StatusCode.ABORTED, "NEWER", CreditmeterError),
    ],
)
def test_what_only_a_newer_sidecar_knows(code: grpc.StatusCode, reason: str, known: type[CreditmeterError]) -> None:
    """It is told by its code; without a reason nobody knows what became of the call."""
    for error in both(status(code, reason)):
        assert type(error) is known
        assert isinstance(error, CreditmeterError)
        assert error.is_outcome_unknown is (not reason)
        assert error.is_retryable is (not reason or code is grpc.StatusCode.UNAVAILABLE)


def test_a_code_that_is_none() -> None:
    """A status from elsewhere is an error all the same."""
    assert error_of(Status(code=99, message="odd")).code == "UNKNOWN"


def test_errors_are_copied_and_pickled() -> None:
    """As queues of jobs do it."""
    error = error_of(status(grpc.StatusCode.RESOURCE_EXHAUSTED, "INSUFFICIENT_CREDITS", required_microcredits="5"))
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - its own
        assert (type(same), same.problem) == (type(error), error.problem)
