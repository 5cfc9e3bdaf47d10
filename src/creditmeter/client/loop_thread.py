"""An event loop in a thread of its own, for callers that block."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class LoopThread:
    """A loop that runs in a daemon thread from its first use on, for any number of threads that call it."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """The result of `work`, or what it raises. Who is interrupted while waiting cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin work for whose end nobody waits."""
        asyncio.run_coroutine_threadsafe(work, self._running())

    def each(self, items: AsyncIterator[_Result]) -> Iterator[_Result]:
        """The items of an asynchronous iterator, one by one."""
        try:
            while True:
                with contextlib.suppress(StopAsyncIteration):
                    yield self.run(_next(items))
                    continue
                return
        finally:
            if isinstance(items, AsyncGenerator):
                self.run(_closed(items))

    def stop(self) -> None:
        """End the loop and its thread. Another use begins another."""
        with self._starting:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join()
            loop.close()

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's own thread, which must not wait for itself."""
        return self._thread is threading.current_thread()

    @property
    def is_running(self) -> bool:
        """Whether there is a loop."""
        return self._loop is not None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="creditmeter-client", daemon=True)
                self._thread.start()
            return self._loop


async def _next(items: AsyncIterator[_Result]) -> _Result:
    return await items.__anext__()


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()
