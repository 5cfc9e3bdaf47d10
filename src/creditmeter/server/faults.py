"""Faults as callers see them: after one it is unknown whether the call took effect, unless its reason says so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from creditmeter.central.engine.faults import CentralRowDamaged, CentralUnavailable, NoFilesLeft, is_refused
from creditmeter.core.refusals import ShuttingDown
from creditmeter.journal.faults import AccountDamaged, FileMissing, JournalUnusable, StorageUnavailable
from creditmeter.server.errors import Problem, problem_of
from creditmeter.sidecar.exchanger import SidecarFenced

OUR_METHODS = "/creditmeter.v1."
ADMIN_METHODS = f"{OUR_METHODS}AdminService/"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for a message of a caller that is not taken: it is none of its type, or its caller may not send it any more."""

    problem: Problem


def _undecodable(reason: str) -> Unusable:
    text = f"the request is no message of its type ({reason}): is the client of this contract?"
    return Unusable(Problem(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", text))


def lenient(decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer that returns an Unusable instead of raising. If it raised, gRPC would answer INTERNAL, and the call would
    not be counted.
    """

    def read(received: bytes) -> Any:
        assert decode is not None, "generated code names how requests are read"
        try:
            return decode(received)
        except DecodeError as error:
            return _undecodable(str(error))

    return read


def problem_of_stop(fence: SidecarFenced | None) -> Problem:
    """Why streams end when the program stops: it is fenced, or was asked to stop."""
    return problem_of(ShuttingDown()) if fence is None else _fenced(fence)


def _fenced(fence: SidecarFenced) -> Problem:
    return Problem(grpc.StatusCode.FAILED_PRECONDITION, "FENCED", str(fence))


def problem_of_fault(method: str, error: Exception) -> Problem:
    """What a caller of a method gets to see of a fault. What it cannot mend is logged."""
    match error:
        case CentralUnavailable() if method.startswith(ADMIN_METHODS) and is_refused(error):
            text = "this sidecar's role may not do this at the central store: `creditmeter central grant-role --admin` lets it"
            return Problem(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", text)
        case CentralRowDamaged(account_id=account_id):
            return Problem(grpc.StatusCode.DATA_LOSS, "STORAGE_DAMAGED", str(error), {"account_id": account_id})
        case NoFilesLeft():
            text = f"the central store cannot be reached: {error}; then try again, a change with the same request_id"
            return Problem(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", text)
        case CentralUnavailable():
            text = f"the central store did not answer ({error}); try again, a change with the same request_id"
            return Problem(grpc.StatusCode.UNAVAILABLE, "CENTRAL_UNAVAILABLE", text)
        case FileMissing():
            text = f"nothing can be stored: {error}; its sidecar has to be started again"
            return Problem(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", text)
        case AccountDamaged(account_id=account_id):
            return Problem(grpc.StatusCode.DATA_LOSS, "STORAGE_DAMAGED", str(error), {"account_id": account_id})
        case JournalUnusable():
            _log.error("the journal is damaged", method=method, reason=str(error))
            return Problem(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", f"the journal cannot be read ({error})")
        case StorageUnavailable():
            text = f"the journal cannot be written ({error}); try again, a change with the same request_id"
            return Problem(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", text)
        case SidecarFenced():
            return _fenced(error)
        case _:
            _log.error("a call failed", method=method, exc_info=error)
            return Problem(grpc.StatusCode.INTERNAL, "INTERNAL", "an internal error; the sidecar's log has the details")
