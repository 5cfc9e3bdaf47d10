"""The Pipeline: frames of mutations on one stream.

Frames are answered as they are done, in any order. What is under way on a stream is bounded: beyond that nothing more is read,
and gRPC's flow control holds up the caller.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from creditmeter.server.access.caller import Caller
from creditmeter.server.access.gate import Gate
from creditmeter.server.errors import Context, Problem, problem_of
from creditmeter.server.faults import OUR_METHODS, Unusable, problem_of_fault
from creditmeter.server.frames import MAX_REFUSED, MAX_REPLY_BYTES, Frames, Results, all_failed, too_many
from creditmeter.server.open_streams import OpenStreams, Replies
from creditmeter.server.unread import Room
from creditmeter.v1 import metering_pb2

_METHOD = f"{OUR_METHODS}MeteringService/Pipeline"

MAX_FRAMES = 64
"""Most frames of one stream that are under way."""

MAX_BYTES = 2 * MAX_REPLY_BYTES
"""Most bytes of the frames of one stream that are under way, with the answers to come; one frame may always be."""

ANSWER_BYTES = 1024
"""What the answer to a mutation is counted as: it is kept until its caller reads it."""


def _unanswerable(frame: metering_pb2.PipelineRequest) -> Problem | None:
    """Why a frame ends its stream: it has so many mutations that no reply has room for the error of each."""
    count = len(frame.mutations)
    refusal = too_many(count) if count > MAX_REFUSED else None
    return None if refusal is None else problem_of(refusal)


class PipelineStream:
    """One stream of frames."""

    def __init__(self, frames: Frames, streams: OpenStreams, gate: Gate, context: Context, room: Room | None = None) -> None:
        self._frames = frames
        self._room = room or Room()
        self._task = asyncio.current_task()
        self._streams = streams
        self._context = context
        self._caller = partial(Caller, gate, context)
        self._is_dropped = False
        self._replies = Replies(context)
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._has_room = asyncio.Event()

    @property
    def unread_since(self) -> float | None:
        """As `Replies.unread_since`."""
        return self._replies.unread_since

    @property
    def peer(self) -> str:
        """As `Holder.peer`."""
        return str(self._context.peer())

    def drop(self) -> None:
        """End the stream at once, without a status: its caller does not read."""
        self._is_dropped = True
        self._replies.drop()
        if self._task is not None:
            self._task.cancel()

    async def answer(self, requests: AsyncIterator[Any]) -> Problem | None:
        """Answer frames until the caller closes its side and all are answered. Returns why the stream ends with an error: a
        frame could not be decoded or answered, or the server stops. What was read before is answered.

        Once it is dropped, nothing is answered. gRPC keeps what it has of it until its connection ends: until then it is open.
        """
        try:
            return await self._answer_all(requests)
        except asyncio.CancelledError:
            is_by_drop_alone = self._is_dropped and self._task is not None and self._task.cancelling() == 1
            if is_by_drop_alone:  # its caller is still there
                await self._streams.until_stop()
            raise

    async def _answer_all(self, requests: AsyncIterator[Any]) -> Problem | None:
        problem = None
        async with contextlib.aclosing(self._streams.until_end(requests)) as read, asyncio.TaskGroup() as group:
            async for frame in read:
                problem = frame.problem if isinstance(frame, Unusable) else _unanswerable(frame)
                if problem is not None:
                    break
                size = frame.ByteSize() + ANSWER_BYTES * max(1, len(frame.mutations))  # no frame is nothing
                await self._room_for(size)
                await self._room.take(self, size)
                task = group.create_task(self._answer(frame))
                self._under_way[task] = size
                task.add_done_callback(self._is_done)
        return problem or self._streams.ending

    async def _room_for(self, size: int) -> None:
        while self._under_way and (len(self._under_way) >= MAX_FRAMES or sum(self._under_way.values()) + size > MAX_BYTES):
            self._has_room.clear()
            await self._has_room.wait()

    def _is_done(self, task: "asyncio.Task[None]") -> None:
        self._room.free(self, self._under_way.pop(task))
        self._has_room.set()

    async def _answer(self, frame: metering_pb2.PipelineRequest) -> None:
        async def send(first: int, results: Results) -> None:
            reply = metering_pb2.PipelineResponse(frame_id=frame.frame_id, results=results, first_mutation=first)
            await self._replies.write(reply)

        refusal = too_many(len(frame.mutations))
        try:
            if refusal is not None:
                await send(0, all_failed(len(frame.mutations), problem_of(refusal)))
            elif frame.answer_in_parts and frame.mutations:
                await self._frames.apply_in_parts(frame.mutations, send, self._caller())
            else:
                await send(0, await self._frames.apply(frame.mutations, lambda: None, self._caller()))
        except Exception as error:  # noqa: BLE001 - a frame fails alone, whatever is wrong with it
            await send(0, all_failed(len(frame.mutations), problem_of_fault(_METHOD, error)))
