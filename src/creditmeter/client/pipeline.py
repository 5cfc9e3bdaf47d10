"""Mutations that share a stream: those that are asked for in one turn of the event loop travel in one frame.

A frame is written as soon as the one before it is on its way; nothing waits for a frame to fill. A sidecar without Pipeline is
called by unary RPCs.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from creditmeter.client.streams import expired, left, lost
from creditmeter.client.stubs import Connection
from creditmeter.client.transport import UnaryTransport
from creditmeter.v1 import metering_pb2

if TYPE_CHECKING:
    from creditmeter.v1.metering_pb2_grpc import MeteringServiceAsyncStub

    Answer = asyncio.Future[metering_pb2.MutationResult]

MAX_MUTATIONS = 1_000
"""Most mutations in one frame: the sidecar takes no more."""

MAX_BYTES = 1024 * 1024
"""Most bytes of a frame, unless it has one mutation alone. A message is at most 4 MiB."""

_CLOSING_SECONDS = 1.0
"""How long the sidecar may take to end its side when the client has ended its own."""


class PipelineTransport:
    """All mutations over one stream, which is opened again when it has ended."""

    @classmethod
    def on(cls, connection: Connection) -> "PipelineTransport":
        """Over this connection."""
        return cls(connection.metering, UnaryTransport.on(connection))

    def __init__(self, metering: "MeteringServiceAsyncStub", unary: UnaryTransport) -> None:
        self._metering = metering
        self._unary = unary
        self._is_supported = True
        self._stream: _Stream | None = None

    async def send(self, mutation: metering_pb2.Mutation, timeout: float) -> metering_pb2.MutationResult:
        """As `Transport` says. What is too large to share a frame is a call of its own."""
        if not self._is_supported or mutation.ByteSize() > MAX_BYTES:
            return await self._unary.send(mutation, timeout)
        if self._stream is None or self._stream.has_ended:
            self._stream = _Stream(self._metering.Pipeline())
        answer = self._stream.ask(mutation)
        expiring = asyncio.get_running_loop().call_later(timeout, _expire, answer)
        try:
            return await answer
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
        finally:
            expiring.cancel()
        self._is_supported = False
        return await self._unary.send(mutation, timeout)

    async def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            await self._stream.close()


class _Stream:
    """One stream, from its first frame to its end. `has_ended`: nothing can be asked on it any more."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.has_ended = False
        self._gathered: list[tuple[metering_pb2.Mutation, Answer]] = []
        self._waiting: dict[int, dict[int, Answer]] = {}
        self._frames = 0
        self._writing: asyncio.Task[None] | None = None
        self._reading = asyncio.ensure_future(self._read())

    def ask(self, mutation: metering_pb2.Mutation) -> "Answer":
        """Send a mutation with the next frame. Returns the result to come."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._gathered.append((mutation, answer))
        if self._writing is None:  # it begins in the next turn of the loop, with all that this one has asked for by then
            self._writing = asyncio.ensure_future(self._write())
        return answer

    async def close(self) -> None:
        """End this side of the stream, and wait for the other one."""
        try:
            await self._call.done_writing()
            await asyncio.wait({self._reading}, timeout=_CLOSING_SECONDS)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # it has ended already
        self._call.cancel()
        await asyncio.wait({self._reading})

    async def _write(self) -> None:
        """Write frames until nothing is left to send. gRPC may take one that goes nowhere, as the stream ended meanwhile."""
        try:
            while self._gathered:
                await self._call.write(self._next_frame())
                if self.has_ended:
                    self._end(None)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._end(error)
        finally:
            self._writing = None

    def _next_frame(self) -> metering_pb2.PipelineRequest:
        """A frame of what was gathered, as much as it may have."""
        self._frames += 1
        frame = metering_pb2.PipelineRequest(frame_id=self._frames, answer_in_parts=True)
        waiting, size = self._waiting.setdefault(self._frames, {}), 0
        for mutation, answer in self._gathered:
            size += mutation.ByteSize()
            if waiting and (size > MAX_BYTES or len(waiting) == MAX_MUTATIONS):
                break
            waiting[len(waiting)] = answer
            frame.mutations.append(mutation)
        del self._gathered[: len(waiting)]
        return frame

    async def _read(self) -> None:
        """Give out the results that come, until the stream ends."""
        error: Exception | None = None
        try:
            async for reply in self._call:
                waiting = self._waiting.get(reply.frame_id, {})
                for number, result in enumerate(reply.results, reply.first_mutation):
                    answer = waiting.pop(number, None)
                    if answer is not None and not answer.done():
                        answer.set_result(result)
                if not waiting:
                    self._waiting.pop(reply.frame_id, None)
        except grpc.aio.AioRpcError as raised:
            error = raised
        except asyncio.CancelledError:
            await left(self._call)
            raise
        finally:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        """Tell all who wait that nobody knows what became of their mutations."""
        self.has_ended = True
        is_unknown = isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNIMPLEMENTED
        unanswered = [each for frame in self._waiting.values() for each in frame.values()]
        unanswered += [answer for _, answer in self._gathered]
        self._waiting.clear()
        self._gathered.clear()
        for each in unanswered:
            if not each.done():
                each.set_exception(error if error is not None and is_unknown else lost(error))


def _expire(answer: "Answer") -> None:
    if not answer.done():
        answer.set_exception(expired())
