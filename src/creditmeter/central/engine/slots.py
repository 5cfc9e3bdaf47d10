"""The slots of this process's transactions on an embedded store, and how long they wait until they begin.

One transaction writes at a time, and a few read beside it. Until a transaction has begun it waits: for its slot, for the file
to be opened, for SQLite's lock, which another process may have. All of that together is bounded.

SQLite cannot be told to stop in the middle. So a beginning that takes too long is left to itself: it is undone as soon as it
has come about, and keeps its slot until then. Nothing was written by then, so nothing takes effect of a transaction that did
not begin in time. One that has begun is not broken off: it has the lock, and whether it was committed is to be known.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.engine.write_queue import WriteQueue

_Entered = TypeVar("_Entered")
_Transaction = contextlib.AbstractAsyncContextManager[_Entered]


class Slots:
    """The slots of one writer and of so many readers. `patience_seconds` is the longest wait of each until its transaction has
    begun; None: as long as it takes. The writer waits in the `queue` of all processes, if there is one.
    """

    def __init__(self, readers: int, patience_seconds: float | None, queue: WriteQueue | None = None) -> None:
        self.patience_seconds = patience_seconds
        self._queue = queue
        self._writer = asyncio.Semaphore(1)
        self._readers = asyncio.Semaphore(readers)
        self._left: set[asyncio.Task[None]] = set()

    def to_write(self) -> "Slot":
        """A slot for a transaction that may write."""
        return Slot(self._writer, self.patience_seconds, self._left, self._queue)

    def to_read(self) -> "Slot":
        """A slot for a transaction that only reads."""
        return Slot(self._readers, self.patience_seconds, self._left)

    async def close(self) -> None:
        """Wait until what was left to itself is undone, but no longer than a transaction waits."""
        if self._left:
            await asyncio.wait(self._left, timeout=self.patience_seconds)
        if self._queue is not None:
            self._queue.close()


class Slot:
    """A slot for one transaction, for as long as the block runs.

    Raises:
        CentralUnavailable: others of this process took too long. On entering.
    """

    def __init__(
        self,
        places: asyncio.Semaphore,
        patience_seconds: float | None,
        left: set[asyncio.Task[None]],
        queue: WriteQueue | None = None,
    ) -> None:
        self._queue = queue
        self._places = places
        self._patience = patience_seconds
        self._left = left
        self._give_up: float | None = None
        self._is_kept = False

    async def __aenter__(self) -> Self:
        if self._patience is not None:
            self._give_up = asyncio.get_running_loop().time() + self._patience
        try:
            async with asyncio.timeout_at(self._give_up):
                await self._places.acquire()
        except TimeoutError:
            text = f"other calls of this sidecar kept it busy for {self._patience:g} s"
            raise CentralUnavailable(text, is_crowded=True) from None
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if not self._is_kept:
            self._places.release()

    @contextlib.asynccontextmanager
    async def begun(self, transaction: _Transaction[_Entered]) -> AsyncIterator[_Entered]:
        """The transaction, which begins before the slot's patience is over.

        Raises:
            CentralUnavailable: it did not. Nothing of it takes effect.
        """
        if self._queue is not None:
            transaction = self._queue.served(transaction)
        beginning = asyncio.ensure_future(transaction.__aenter__())
        try:
            await asyncio.wait((beginning,), timeout=self._rest())
        except BaseException:  # the caller went away; it may have begun at the same moment
            self._leave(transaction, beginning)
            raise
        if not beginning.done():
            self._leave(transaction, beginning)
            raise CentralUnavailable(f"it was locked, or did not answer, for {self._patience:g} s")
        entered = beginning.result()
        try:
            yield entered
        except BaseException as error:
            if not await transaction.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await transaction.__aexit__(None, None, None)

    def _rest(self) -> float | None:
        """The seconds that are left until the transaction has to have begun."""
        return None if self._give_up is None else max(0.0, self._give_up - asyncio.get_running_loop().time())

    def _leave(self, transaction: _Transaction[_Entered], beginning: "asyncio.Future[_Entered]") -> None:
        """Have the slot kept until the beginning has come about and is undone."""
        self._is_kept = True
        undoing = asyncio.create_task(self._undo(transaction, beginning))
        self._left.add(undoing)
        undoing.add_done_callback(self._left.discard)

    async def _undo(self, transaction: _Transaction[_Entered], beginning: "asyncio.Future[_Entered]") -> None:
        try:
            with contextlib.suppress(Exception):  # the caller was told; the next transaction meets what is wrong
                await beginning
                undone = _Undone()
                await transaction.__aexit__(_Undone, undone, None)
        finally:
            self._places.release()


class _Undone(Exception):
    """The transaction began too late, and is rolled back."""
