"""An event loop in a thread of its own, for callers that block."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class LoopThread:
    """A loop that runs in a daemon thread from its first use on, for any number of threads that call it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may come by while it is held, and close a generator of `each`
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calls: set[Future[Any]] = set()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """The result of `work`, or what it raises. Who is interrupted while waiting cancels it."""
        future = self.begin(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def begin(self, work: Coroutine[Any, Any, _Result]) -> "Future[_Result]":
        """Begin work. The loop is not stopped before its end."""
        with self._lock:
            future, calls = asyncio.run_coroutine_threadsafe(work, self._running()), self._calls
            calls.add(future)
        future.add_done_callback(calls.discard)
        return future

    def each(self, items: AsyncIterator[_Result]) -> Iterator[_Result]:
        """The items of an asynchronous iterator, one by one."""
        try:
            while True:
                with contextlib.suppress(StopAsyncIteration):
                    yield self.run(_next(items))
                    continue
                return
        finally:
            if isinstance(items, AsyncGenerator) and self.is_running:
                closing = self.begin(_closed(items))
                if not self.is_current:  # as where the garbage collector came by, and this thread cannot wait for itself
                    closing.result()

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for what was begun, run `last`, and end the loop and its thread. What is begun meanwhile begins another loop.

        It is not for the loop's own thread.
        """
        with self._lock:
            loop, thread, calls = self._loop, self._thread, self._calls
            self._loop, self._thread, self._calls = None, None, set()
        if loop is None or thread is None:
            return
        wait(tuple(calls))
        asyncio.run_coroutine_threadsafe(_wound_up(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
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
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="creditmeter-client", daemon=True)
            self._thread.start()
        return self._loop


async def _wound_up(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `last`, and end what is left on the loop, as asyncio.run does."""
    await last()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _next(items: AsyncIterator[_Result]) -> _Result:
    return await items.__anext__()


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()
