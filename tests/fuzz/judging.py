"""What may not be: how the end of a call breaks what the contract promises."""

import re
from collections.abc import Iterator, Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from creditmeter.server.errors import DOMAIN
from tests.fuzz.calling import Answer
from tests.fuzz.calls import PATIENCE, Call
from tests.fuzz.contract import REASONS, Rpc, stated_codes

MOST_REPLY_BYTES = 4 * 1024 * 1024
_NEVER = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
_STATED = stated_codes()
_OF_GRPC = re.compile(r"message larger than max|metadata size exceeds|Method not found|decompress", re.IGNORECASE)
"""Errors that gRPC answers by itself, before the sidecar sees the call: a message or headers that are too large, a method that
there is not, and compressed bytes that are none.
"""

_PROBES = ("Health/", "Channelz/")
"""Services of others, which know no reasons."""


def wrong_with(call: Call, answer: Answer) -> Iterator[str]:
    """What is wrong with how a call ended."""
    if answer.seconds > PATIENCE:
        yield f"it took more than {PATIENCE:g} s"
    if answer.code in _NEVER:
        yield f"{answer.code.name}: {answer.message[:200]}"
        return
    if answer.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        if call.deadline is None:
            yield "it did not end in time"
        return
    if answer.code is grpc.StatusCode.CANCELLED:
        if not answer.left:
            yield f"it was cancelled, and not by its caller: {answer.message[:200]}"
        return
    if call.must_be is not None and answer.code.name != call.must_be and not is_of_grpc(answer):
        yield f"its caller may not make it, and the answer was {answer.code.name}: {answer.message[:200]}"
    if answer.code is not grpc.StatusCode.OK:
        yield from _wrong_with_refusal(call.rpc, answer)
    for each in answer.replies:
        yield from _wrong_with_reply(call.rpc, each)


def is_of_grpc(answer: Answer) -> bool:
    """Whether gRPC itself refused the call."""
    return not answer.details and _OF_GRPC.search(answer.message) is not None


def reasons_of(details: Sequence[bytes]) -> list[ErrorInfo]:
    """The ErrorInfos in the details of an error.

    Raises:
        DecodeError: they are no details of an error.
    """
    found = []
    for each in details:
        for detail in Status.FromString(each).details:
            info = ErrorInfo()
            if detail.Unpack(info):
                found.append(info)
    return found


def is_refusal(call: Call, answer: Answer) -> bool:
    """Whether everything that a call asked for was refused, for a reason: then it has changed nothing."""
    if answer.code is grpc.StatusCode.OK:
        results = [each for reply in answer.replies for each in getattr(call.rpc.reply(reply), "results", ())]
        return bool(results) and all(each.WhichOneof("result") == "error" for each in results)
    return bool(answer.details) and not answer.replies and not answer.left


def _wrong_with_refusal(rpc: Rpc, answer: Answer) -> Iterator[str]:
    if is_of_grpc(answer) or (rpc.name.startswith(_PROBES) and not answer.details):
        return
    yield from _wrong_with_details(answer.code, answer.details)


def _wrong_with_details(code: grpc.StatusCode, details: Sequence[bytes]) -> Iterator[str]:
    try:
        infos = reasons_of(details)
    except DecodeError:
        yield f"{code.name} with details that are none"
        return
    if len(infos) != 1:
        yield f"{code.name} with {len(infos)} ErrorInfos"
        return
    info = infos[0]
    if info.domain != DOMAIN or info.reason not in REASONS:
        yield f"{code.name} with a reason that the contract does not have: {info.domain}/{info.reason}"
    elif _STATED[info.reason] is not code:
        yield f"{info.reason} with the code {code.name}"


def _wrong_with_reply(rpc: Rpc, received: bytes) -> Iterator[str]:
    if len(received) > MOST_REPLY_BYTES:
        yield f"a reply of {len(received):,} bytes"
    try:
        reply = rpc.reply(received)
    except DecodeError:
        yield "a reply that is no message of its type"
        return
    for each in getattr(reply, "results", ()):
        if each.WhichOneof("result") == "error":
            code = _CODES[each.error.code]
            if code in _NEVER:
                yield f"a result that is {code.name}: {each.error.message[:200]}"
            yield from _wrong_with_details(code, [each.error.SerializeToString()])


_CODES = {each.value[0]: each for each in grpc.StatusCode}
