"""The queue of the processes that want to write one SQLite file.

SQLite has none. A process that finds the file's lock taken sleeps and looks again, while another one, which has just given the
lock back, takes it once more: some waited for seconds where each had the lock for a few milliseconds. Here a process waits at a
lock of the operating system (https://man7.org/linux/man-pages/man2/flock.2.html), which is given to whoever has waited longest.
Who has that lock is the next, and the only one that looks for SQLite's. It gives it on as soon as its transaction has begun.

Only the order depends on it: a program that knows nothing of the queue takes its chances, as ever.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

_Entered = TypeVar("_Entered")

_MODE = 0o640


class WriteQueue:
    """One process's place in the queue of a file. Its transactions come one after another."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-queue")
        self._file: int | None = None

    @contextlib.asynccontextmanager
    async def served(self, transaction: contextlib.AbstractAsyncContextManager[_Entered]) -> AsyncIterator[_Entered]:
        """The transaction, which begins when it is this process's turn."""
        async with contextlib.AsyncExitStack() as stack:
            async with self._next():
                entered = await stack.enter_async_context(transaction)
            yield entered

    def close(self) -> None:
        """Leave the queue."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextlib.asynccontextmanager
    async def _next(self) -> AsyncIterator[None]:
        file = self._opened()
        if file is None:
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await _wait_for(file)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _opened(self) -> int | None:
        """The file whose lock it is. None if it cannot be opened: then SQLite says what is wrong with the place."""
        if self._file is None:
            with contextlib.suppress(OSError):
                self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
        return self._file


async def _wait_for(file: int) -> None:
    """Wait for the lock, in a thread: that cannot be told to stop, so if nobody waits any more it gives the lock on."""
    loop = asyncio.get_running_loop()
    has_it = loop.create_future()

    def take_over() -> None:
        if has_it.cancelled():
            fcntl.flock(file, fcntl.LOCK_UN)
        else:
            has_it.set_result(None)

    def wait() -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            loop.call_soon_threadsafe(take_over)
        except RuntimeError:  # the loop is closed
            fcntl.flock(file, fcntl.LOCK_UN)

    threading.Thread(target=wait, name="write queue", daemon=True).start()
    await has_it
