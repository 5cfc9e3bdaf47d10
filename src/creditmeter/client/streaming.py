"""One provider's stream of a hold: its chunks are counted and reported, and it goes on while that is paid."""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from creditmeter.client.counting import StreamCount
from creditmeter.client.loop_thread import LoopThread
from creditmeter.client.metering import Metering
from creditmeter.client.words import MeterStopReason

_Chunk = TypeVar("_Chunk")

REPORT_TOKENS = 32
"""Most output tokens between two reports: those that are lost if the process dies."""


class Streaming:
    """Counts a stream and reports it. `stop_reason` says why it does not go on, if it does not.

    `is_current` says whether the hold is still of this stream: not once it was committed, or its block was left.
    """

    def __init__(self, count: StreamCount, metering: Metering, is_current: Callable[[], bool]) -> None:
        self._count = count
        self._metering = metering
        self._is_current = is_current
        self.stop_reason: MeterStopReason | None = None

    async def take(self, chunk: object) -> bool:
        """Count one chunk, and return whether the stream may go on after it.

        Raises:
            RuntimeError: the hold was committed, or its block was left.
            TypeError: nothing can be counted of it.
            Unreachable: no sidecar answered, and no more is known to be paid.
        """
        if not self._is_current():
            raise RuntimeError("its hold was committed or left: read the whole stream inside the block, and commit it then")
        self._count.take(chunk)
        output_tokens = self._count.output_tokens
        if self._metering.is_due(output_tokens, REPORT_TOKENS):
            self._metering.tell(self._count.progress, output_tokens)
        if not await self._metering.may_go_on(output_tokens):
            self.stop_reason = self._metering.stop_reason
        return self.stop_reason is None

    async def end(self) -> None:
        """Note that the stream came to its end, and report all of it."""
        if not self._is_current():
            return
        self._count.end()
        self._metering.tell(self._count.progress, self._count.output_tokens)


def blocking(
    thread: LoopThread, begin: Callable[[], Coroutine[Any, Any, Streaming]], chunks: Iterable[_Chunk]
) -> Iterator[_Chunk]:
    """The chunks of a stream that blocks, counted on the loop of a thread."""
    try:
        streaming = thread.run(begin())
        for chunk in chunks:
            may_go_on = thread.run(streaming.take(chunk))
            yield chunk
            if not may_go_on:
                return
        thread.run(streaming.end())
    finally:
        if callable(method := getattr(chunks, "close", None)):
            method()


async def close(chunks: Any) -> None:
    """Close a stream, so that its provider generates no more. A list has nothing to close."""
    for name in ("aclose", "close"):
        if callable(method := getattr(chunks, name, None)):
            closing = method()
            if inspect.isawaitable(closing):
                await closing
            return
