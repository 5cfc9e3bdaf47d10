"""Streams that are open: their requests are read until the caller has no more, or the server stops."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

_Message = TypeVar("_Message")


class OpenStreams:
    """Reads the requests of all streams, and ends the reading of all at once."""

    def __init__(self) -> None:
        self.is_ending = False
        self._reads: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()

    async def until_end(self, requests: AsyncIterator[_Message]) -> AsyncGenerator[_Message, None]:
        """The requests of a stream, until its caller has sent the last one or `end` is called."""
        while not self.is_ending:
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

    def end(self) -> None:
        """Read no more. What is under way of each stream is still answered."""
        self.is_ending = True
        self._ended |= self._reads
        for each in list(self._reads):
            each.cancel()


async def _next(requests: AsyncIterator[_Message]) -> _Message:
    return await anext(requests)
