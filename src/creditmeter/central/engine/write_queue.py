"""The queue of the processes that want to write one SQLite file.

SQLite has none. A process that finds the file's lock taken sleeps and looks again, while another one, which has just given the
lock back, takes it once more: some waited for seconds where each had the lock for a few milliseconds. Here a process waits at a
lock of the operating system (https://man7.org/linux/man-pages/man2/flock.2.html), which those who wait get one after another.
Who has that lock is the next, and the only one that looks for SQLite's. It gives it on as soon as its transaction has begun.

Only the order depends on it. Whoever has waited here for long (`SHARE`) begins without it, as the next one may have been
stopped; so does a process for which the file of the queue cannot be opened or locked.
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

SHARE = 0.3
"""How much of what a transaction waits in all it waits here at most; the rest is for SQLite's lock. Of 1.75 s that is 0.5 s: of
eight processes that have the lock for 40 ms each, the last one waits for less.
"""

_MODE = 0o640


class WriteQueue:
    """One process's place in the queue of a file. Its transactions come one after another.

    A thread waits for the lock, which cannot be told to stop. When it has the lock, the transaction that waits then takes it,
    which may be a later one. If none does, it is given on.
    """

    def __init__(self, path: Path, patience_seconds: float) -> None:
        self._longest_seconds = SHARE * patience_seconds
        self._store, self._path = path, Path(f"{path}-queue")
        self._file: int | None = None
        self._is_waiting = False
        self._next: asyncio.Future[bool] | None = None

    @contextlib.asynccontextmanager
    async def served(self, transaction: contextlib.AbstractAsyncContextManager[_Entered]) -> AsyncIterator[_Entered]:
        """The transaction, which begins when it is this process's turn."""
        async with contextlib.AsyncExitStack() as stack:
            file = self._opened()
            has_lock = file is not None and await self._take(file)
            try:
                entered = await stack.enter_async_context(transaction)
            finally:
                if has_lock:
                    self._give_on(file)
            yield entered

    def close(self) -> None:
        """Leave the queue. A thread that waits closes the file when it has the lock, which gives that on."""
        file, self._file = self._file, None
        if file is not None and not self._is_waiting:
            os.close(file)

    def _opened(self) -> int | None:
        """The file whose lock it is. Where it cannot be made, SQLite says what is wrong with the place."""
        if self._file is None:
            for how in (os.O_RDWR, os.O_RDONLY):  # some file systems lock only what may be written
                with contextlib.suppress(OSError):
                    self._file = os.open(self._path, how | os.O_CREAT | os.O_CLOEXEC, _MODE)
                    self._hand_over(self._file)
                    break
        return self._file

    def _hand_over(self, file: int) -> None:
        """Give what root made to the owner of the store, as SQLite does with its own files. So others can wait here, too."""
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                store = self._store.stat()
                os.fchown(file, store.st_uid, store.st_gid)

    async def _take(self, file: int) -> bool:
        """Wait for the lock. Says whether this transaction has it."""
        if not self._is_waiting:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._start_to_wait(file)
            except OSError:  # this file system has no such locks
                return False
            else:
                return True
        self._next = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._longest_seconds):
                return await self._given(self._next, file)
        except TimeoutError:
            return False
        finally:
            self._next = None

    async def _given(self, given: "asyncio.Future[bool]", file: int) -> bool:
        try:
            return await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled() and given.result():  # at the same moment
                self._give_on(file)
            raise

    def _give_on(self, file: int | None) -> None:
        """Give the lock to whoever is behind. It was given by closing the file, if that is closed."""
        if file is not None and file == self._file:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _start_to_wait(self, file: int) -> None:
        loop = asyncio.get_running_loop()

        def wait() -> None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                has_lock = True
            except OSError:
                has_lock = False
            try:
                loop.call_soon_threadsafe(self._arrive, file, has_lock)
            except RuntimeError:  # the loop is closed
                os.close(file)

        threading.Thread(target=wait, name="write queue", daemon=True).start()
        self._is_waiting = True

    def _arrive(self, file: int, has_lock: bool) -> None:  # noqa: FBT001 - `call_soon_threadsafe` names nothing
        """The thread is done waiting."""
        self._is_waiting = False
        if file != self._file:
            os.close(file)
        elif self._next is not None and not self._next.done():
            self._next.set_result(has_lock)
        elif has_lock:
            self._give_on(file)
