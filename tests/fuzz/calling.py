"""Makes a call, and says how it ended."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from tests.fuzz.calls import PATIENCE, Call, Ending

_WRITTEN_TOO_LATE = "Internal error from Core"
"""What gRPC for Python says in place of the status if a call ended while its caller wrote to it."""

A_MOMENT = 0.05
GRACE_SECONDS = 2.0
"""After its deadline a call must have ended within so many seconds more, also as seen here."""


@dataclass(frozen=True)
class Answer:
    """How a call ended. `details` are the bytes of its google.rpc.Status. `left` says that its caller went before the end."""

    code: grpc.StatusCode
    message: str
    details: Sequence[bytes]
    replies: Sequence[bytes]
    seconds: float
    left: bool = False


class Ways:
    """The channels to one sidecar, by the socket and by TCP."""

    def __init__(self, by_socket: grpc.aio.Channel, by_network: grpc.aio.Channel) -> None:
        self._by_socket = by_socket
        self._by_network = by_network

    @classmethod
    @asynccontextmanager
    async def to(cls, socket: str, network: str) -> AsyncIterator["Ways"]:
        """Channels to these addresses. They take messages of any size."""
        options = [("grpc.max_receive_message_length", -1)]
        async with (
            grpc.aio.insecure_channel(socket, options) as by_socket,
            grpc.aio.insecure_channel(network, options) as by_network,
        ):
            yield cls(by_socket, by_network)

    async def make(self, call: Call) -> Answer:
        """Make a call, and wait for its end."""
        began = time.monotonic()
        limit = PATIENCE if call.deadline is None else call.deadline
        running, replies = None, list[bytes]()
        left = False
        try:
            async with asyncio.timeout(limit + GRACE_SECONDS):
                running = self._start(call, limit)
                left = await _converse(running, call, replies)
                code, message = await running.code(), await running.details() or ""
                trailing = await running.trailing_metadata() or ()
        except TimeoutError:
            if running is not None:
                running.cancel()
            return Answer(grpc.StatusCode.DEADLINE_EXCEEDED, "it never ended", (), replies, time.monotonic() - began)
        except ValueError as error:  # metadata that gRPC does not send
            return Answer(grpc.StatusCode.CANCELLED, str(error), (), (), 0.0, left=True)
        if message == _WRITTEN_TOO_LATE:
            code, left = grpc.StatusCode.CANCELLED, True
        details = [value for key, value in _pairs(trailing) if key == "grpc-status-details-bin"]
        return Answer(code, message, details, replies, time.monotonic() - began, left)

    def _start(self, call: Call, limit: float) -> Any:
        channel: Any = self._by_socket if call.caller.by_socket else self._by_network  # bytes go and come
        options: Mapping[str, Any] = {
            "timeout": limit,
            "metadata": (*call.caller.metadata, *call.more_metadata),
            "compression": grpc.Compression.Gzip if call.is_compressed else None,
        }
        if call.rpc.takes_stream:
            return channel.stream_stream(call.rpc.path)(**options)
        if call.rpc.gives_stream:
            return channel.unary_stream(call.rpc.path)(call.messages[0], **options)
        return channel.unary_unary(call.rpc.path)(call.messages[0], **options)


_ENDED = (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError)
"""What is raised where a call has ended already: its status is read after that."""


def _pairs(trailing: Any) -> list[tuple[str, bytes]]:
    return [(key, value) for key, value in trailing if isinstance(value, bytes)]


async def _converse(running: Any, call: Call, replies: list[bytes]) -> bool:
    """Write the messages, and read what is read of the replies. Returns whether the caller went before the end."""
    if call.rpc.takes_stream:
        with contextlib.suppress(*_ENDED, TimeoutError):
            await asyncio.wait_for(_write(running, call), A_MOMENT if call.ending is not Ending.CLOSE else None)
    if call.ending is Ending.CLOSE and not call.rpc.name.endswith("/Watch"):
        with contextlib.suppress(*_ENDED):
            await _read(running, call, replies)
        return False
    if call.ending is not Ending.CANCEL:
        with contextlib.suppress(*_ENDED, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(A_MOMENT):
                await (asyncio.sleep(A_MOMENT) if call.ending is Ending.UNREAD else _read(running, call, replies))
    running.cancel()
    return True


async def _write(running: Any, call: Call) -> None:
    for each in call.messages:
        await running.write(each)
    if call.ending is Ending.CLOSE:
        await running.done_writing()


async def _read(running: Any, call: Call, replies: list[bytes]) -> None:
    if not (call.rpc.takes_stream or call.rpc.gives_stream):
        replies.append(await running)
        return
    while (reply := await running.read()) is not grpc.aio.EOF:
        replies.append(reply)
