"""What all streams to the sidecar have in common: how one that is lost is told of, and how a loop that ends leaves it."""

import asyncio
from typing import Any

import grpc

from creditmeter.client.statuses import error_of

_REFUSALS = frozenset((grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED))
_LAST_EVENT_SECONDS = 0.02
"""For how long a loop that ends goes on after its stream was cancelled. gRPC tells it of the stream's end from another thread,
and complains on stderr if it is closed by then.
"""


async def happened(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, for so long at most. A cancellation is never lost, as it may be in `asyncio.wait_for`."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()


async def left(call: Any) -> None:
    """Cancel a stream in a loop that may be about to end."""
    call.cancel()
    await asyncio.sleep(_LAST_EVENT_SECONDS)


def is_refusal(error: BaseException | None) -> bool:
    """Whether a stream without any answer ended because it was refused: for good, or with a word on when to try again."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return False
    return error.code() in _REFUSALS or error_of(error).retry_delay is not None


def lost(error: BaseException | None) -> grpc.aio.AioRpcError:
    """What a caller gets whose stream has ended before its answer came, for whatever reason."""
    why = error.details() if isinstance(error, grpc.aio.AioRpcError) else "the stream has ended"
    return failure(grpc.StatusCode.UNAVAILABLE, why or "the stream has ended")


def expired() -> grpc.aio.AioRpcError:
    """What a caller gets whose answer did not come in time."""
    return failure(grpc.StatusCode.DEADLINE_EXCEEDED, "no result came in time")


def failure(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    """The end of a call that gRPC itself knows nothing of."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
