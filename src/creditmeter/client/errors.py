"""Errors of calls, read from the details of the status.

Every error of a sidecar has one google.rpc.ErrorInfo and, where it helps, further details (https://google.aip.dev/193).
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:  # Python 3.10 has none
    from typing_extensions import Self

DETAILS_KEY = "grpc-status-details-bin"
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that is wrong, and why."""

    field: str
    description: str


@dataclass(eq=False)
class CallError(Exception):
    """A call that ended without a reply.

    `reason` is an ErrorReason without its prefix, such as "INSUFFICIENT_CREDITS". It is empty if no sidecar answered, because
    the connection failed or the deadline passed. `retry_delay` is in seconds; None if none was given.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"

    @property
    def is_retryable(self) -> bool:
        """Whether the same request, with the same request_id, may succeed later: nothing is known about its effect, or
        the sidecar said when to try again.
        """
        lost = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return self.code in lost or self.retry_delay is not None

    @classmethod
    def of(cls, raised: grpc.aio.AioRpcError) -> "Self":
        """The error for what a stub raised."""
        found = cls(raised.code(), "", raised.details() or "")
        status = _status(raised)
        info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        for detail in status.details:
            if detail.Unpack(info):
                found.reason, found.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad_request):
                found.violations = tuple(FieldViolation(each.field, each.description) for each in bad_request.field_violations)
            elif detail.Unpack(retry):
                found.retry_delay = retry.retry_delay.seconds + retry.retry_delay.nanos / _NANOSECONDS
        return found


def _status(raised: grpc.aio.AioRpcError) -> Status:
    """The status with its details; an empty one if it is missing or cannot be decoded."""
    for key, value in raised.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                return Status.FromString(value)
    return Status()
