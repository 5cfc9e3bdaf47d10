"""Bounds what is kept for streams whose callers send more than they read.

What is under way on a stream, with the answers to come, is kept until its caller reads them. All streams together have so much
room. A stream that finds none is not read, so gRPC's flow control holds up its caller. What has not been read for a while is
dropped then, with its stream and the connection that it is on: whoever does not read cannot keep others waiting.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from creditmeter.server.disconnecting import disconnect

MAX_BYTES = 64 * 1024 * 1024
"""Most bytes under way on all streams. One frame of a stream that has no other may come on top of it."""

PATIENCE_SECONDS = 2.0
"""Where there is no room, a stream that read nothing of an answer for so long is ended."""

_LOOK_SECONDS = 0.25

_log = structlog.get_logger()


class Holder(Protocol):
    """A stream that holds room."""

    @property
    def unread_since(self) -> float | None:
        """Since when, by `time.monotonic`, an answer waits to be read; None if none does."""

    @property
    def peer(self) -> str:
        """The other end of its connection, as gRPC names it."""

    def drop(self) -> None:
        """Answer nothing more, and give all room back."""


class Room:
    """The room of all streams."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = MAX_BYTES
        self._clock = clock
        self._held: dict[Holder, int] = {}
        self._dropped: set[Holder] = set()
        self._bytes = 0
        self._freed = asyncio.Event()

    async def take(self, holder: Holder, size: int) -> None:
        """Wait until there is room for so many bytes, and hold it."""
        while self._bytes + size > self._max_bytes and self._bytes:
            self._drop_unread()
            self._freed.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._freed.wait()
            except TimeoutError:
                continue
        self._bytes += size
        self._held[holder] = self._held.get(holder, 0) + size

    def free(self, holder: Holder, size: int) -> None:
        """Give room back."""
        self._bytes -= size
        self._held[holder] -= size
        if not self._held[holder]:
            del self._held[holder]
            self._dropped.discard(holder)
        self._freed.set()

    @property
    def bytes(self) -> int:
        """The bytes that are held."""
        return self._bytes

    def _drop_unread(self) -> None:
        """End the streams whose answers have not been read for too long."""
        now = self._clock()
        unread = [
            each
            for each in self._held
            if each not in self._dropped and each.unread_since is not None and now - each.unread_since > PATIENCE_SECONDS
        ]
        for each in unread:
            self._dropped.add(each)
            each.drop()
        if unread:
            asyncio.get_running_loop().run_in_executor(None, _end_connections, {each.peer for each in unread})
            _log.warning("streams were ended whose callers do not read their answers", streams=len(unread), bytes=self._bytes)


def _end_connections(peers: Collection[str]) -> None:
    """End the connections of callers, as far as they can be told apart. In a thread: every open file is looked at."""
    _log.info("connections were ended", connections=disconnect(peers), callers=len(peers))
