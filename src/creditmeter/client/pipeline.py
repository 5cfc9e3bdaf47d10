"""Mutations that share a stream: those that are asked for in one turn of the event loop travel in one frame.

A frame is written as soon as the one before it is on its way; nothing waits for a frame to fill. What may wait at the sidecar,
such as a hold, has a stream of its own: the sidecar reads no more of a stream on which too much waits. A sidecar without
Pipeline is called by unary RPCs.
"""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc

from creditmeter.client.streams import expired, is_refusal, left, lost
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
"""How long it may take to end both sides of a stream."""

_NEVER_WAIT = ("commit", "release")
"""The mutations that the sidecar answers at once, whatever credit the account has."""


class PipelineTransport:
    """All mutations over two streams, each opened when it is needed, and again when it has ended."""

    @classmethod
    def on(cls, connection: Connection) -> "PipelineTransport":
        """Over this connection."""
        return cls(connection.metering, UnaryTransport.on(connection))

    def __init__(self, metering: "MeteringServiceAsyncStub", unary: UnaryTransport) -> None:
        self._metering = metering
        self._unary = unary
        self._is_supported = True
        self._streams: dict[bool, _Stream] = {}

    async def send(self, mutation: metering_pb2.Mutation, timeout: float) -> metering_pb2.MutationResult:
        """As `Transport` says. What is too large to share a frame is a call of its own."""
        if not self._is_supported or mutation.ByteSize() > MAX_BYTES:
            return await self._unary.send(mutation, timeout)
        answer = self._stream(may_wait=mutation.WhichOneof("request") not in _NEVER_WAIT).ask(mutation)
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
        """End the streams."""
        await asyncio.gather(*(each.close() for each in self._streams.values()))

    def _stream(self, *, may_wait: bool) -> "_Stream":
        stream = self._streams.get(may_wait)
        if stream is None or stream.has_ended:
            stream = self._streams[may_wait] = _Stream(self._metering.Pipeline())
        return stream


class _Stream:
    """One stream, from its first frame to its end. Made in a running loop.

    A loop that ends may cancel the two tasks before their first step. So what is done at their end is not done by themselves.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._gathered: deque[tuple[metering_pb2.Mutation, Answer]] = deque()
        self._waiting: dict[int, dict[int, Answer]] = {}
        self._frames = 0
        self._has_answered = False
        self._news = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())
        self._writing = asyncio.ensure_future(self._write())
        for each in (self._reading, self._writing):
            each.add_done_callback(self._end)

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be asked on it any more."""
        return self._reading.done() or self._writing.done()

    def ask(self, mutation: metering_pb2.Mutation) -> "Answer":
        """Send a mutation with the next frame. Returns the result to come."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._gathered.append((mutation, answer))
        self._news.set()  # it is written in the next turn of the loop, with all that this one has asked for by then
        return answer

    async def close(self) -> None:
        """End this side of the stream, and wait for the other one, both within a bound: a sidecar that reads nothing may block
        a frame that is being written.
        """
        with contextlib.suppress(asyncio.TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await asyncio.wait_for(self._closed(), _CLOSING_SECONDS)
        self._call.cancel()
        await asyncio.wait({self._reading, self._writing})

    async def _closed(self) -> None:
        await self._call.done_writing()
        await asyncio.wait({self._reading})

    async def _write(self) -> None:
        """Write frames, until the stream ends. gRPC may take one that goes nowhere, as the stream ended meanwhile."""
        while True:
            await self._news.wait()
            self._news.clear()
            while (frame := self._next_frame()) is not None:
                await self._call.write(frame)

    def _next_frame(self) -> metering_pb2.PipelineRequest | None:
        """A frame of what was gathered, as much as it may have. What nobody waits for any more is left out."""
        self._frames += 1
        frame, size = metering_pb2.PipelineRequest(frame_id=self._frames, answer_in_parts=True), 0
        waiting: dict[int, Answer] = {}
        while self._gathered:
            mutation, answer = self._gathered[0]
            if not answer.done():
                size += mutation.ByteSize()
                if waiting and (size > MAX_BYTES or len(waiting) == MAX_MUTATIONS):
                    break
                waiting[len(waiting)] = answer
                frame.mutations.append(mutation)
            self._gathered.popleft()
        if not waiting:
            return None
        self._waiting[self._frames] = waiting
        return frame

    async def _read(self) -> None:
        """Give out the results that come, until the stream ends."""
        try:
            while (reply := await self._call.read()) is not grpc.aio.EOF:
                self._give_out(reply)
        except asyncio.CancelledError:
            await left(self._call)
            raise

    def _give_out(self, reply: metering_pb2.PipelineResponse) -> None:
        self._has_answered = True
        waiting = self._waiting.get(reply.frame_id, {})
        for number, result in enumerate(reply.results, reply.first_mutation):
            answer = waiting.pop(number, None)
            if answer is not None and not answer.done():
                answer.set_result(result)
        if not waiting:
            self._waiting.pop(reply.frame_id, None)

    def _end(self, task: "asyncio.Task[None]") -> None:
        """End the stream with the first of its tasks, and tell all who wait: that it was refused as a whole, or that nobody
        knows what became of their mutations.
        """
        error = None if task.cancelled() else task.exception()
        self._call.cancel()
        self._writing.cancel()
        unanswered = [each for frame in self._waiting.values() for each in frame.values()]
        unanswered += [answer for _, answer in self._gathered]
        self._waiting.clear()
        self._gathered.clear()
        was_refused = not self._has_answered and is_refusal(error)
        for each in unanswered:
            if not each.done():
                each.set_exception(error if error is not None and was_refused else lost(error))


def _expire(answer: "Answer") -> None:
    if not answer.done():
        answer.set_exception(expired())
