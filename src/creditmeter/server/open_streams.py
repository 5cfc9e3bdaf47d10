"""Streams that are open: their requests are read until the caller has no more, or the server stops."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

import grpc

from creditmeter.server.errors import Context, Problem

_Message = TypeVar("_Message")


class Replies:
    """The replies of one stream, written one after another by the tasks that answer it.

    No write may be cancelled before the stream ends with a status: gRPC would never send that. So a write goes on when the task
    that asked for it is cancelled, and `finished` waits for it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Future[None]] = set()
        self.unread_since: float | None = None
        """Since when, by `time.monotonic`, a reply waits to be read; None if none does."""

    async def write(self, reply: object) -> None:
        """Write a reply. What cannot be written has nobody to read it: its caller is gone."""
        write = asyncio.ensure_future(self._write(reply))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        await asyncio.shield(write)

    def drop(self) -> None:
        """Write nothing more, not even a status: the stream's task has to end by being cancelled."""
        for each in list(self._writes):
            each.cancel()

    async def finished(self, most_seconds: float) -> None:
        """Wait until nothing is being written, for so long at most: the caller may not read."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(most_seconds), self._writing:
                pass

    async def _write(self, reply: object) -> None:
        async with self._writing:
            self.unread_since = time.monotonic()
            try:
                with contextlib.suppress(grpc.aio.BaseError):
                    await self._context.write(reply)
            finally:
                self.unread_since = None


class OpenStreams:
    """Reads the requests of all streams, and ends the reading of all at once."""

    def __init__(self) -> None:
        self.ending: Problem | None = None
        """Why no stream is read any more; None while they are."""

        self._reads: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()
        self._stopping = asyncio.Event()

    async def until_end(self, requests: AsyncIterator[_Message]) -> AsyncGenerator[_Message, None]:
        """The requests of a stream, until its caller has sent the last one or `end` is called."""
        while self.ending is None:
            reading = asyncio.ensure_future(_next(requests))
            self._reads.add(reading)
            try:
                message = await reading
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if reading in self._ended:
                    return
                raise
            finally:
                self._reads.discard(reading)
            yield message

    async def until_stop(self) -> None:
        """Wait until `end` is called."""
        await self._stopping.wait()

    def end(self, why: Problem) -> None:
        """Read no more. What is under way of each stream is still answered, and then it ends with this problem."""
        self.ending = why
        self._stopping.set()
        self._ended |= self._reads
        for each in list(self._reads):
            each.cancel()


async def _next(requests: AsyncIterator[_Message]) -> _Message:
    return await anext(requests)
