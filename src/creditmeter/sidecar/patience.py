"""How long a caller waits for the central store's replies.

A server keeps times of its own. An embedded store may be locked by another process, or on a slow disk, and a transaction that
has begun there cannot be broken off. So the caller stops waiting, and the work goes on without it. That is safe for an exchange
alone: the store knows its message by epoch and seq, and what its reply says comes to the book whoever waits. What a caller
wanted the credit for is decided after the reply, so nothing is held or charged for one who was told that there was none.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from creditmeter.central.engine.faults import CentralUnavailable

PATIENCE_SECONDS = 2.0
"""Longest wait of a caller for an embedded store, in all."""

_Result = TypeVar("_Result")


class Patience:
    """How many seconds a caller still waits for the store's replies; None: as long as these take. `going_on` are the exchanges
    that callers wait for, or did until their patience was over.
    """

    def __init__(self, seconds: float | None, going_on: set[asyncio.Task[None]]) -> None:
        self._seconds = seconds
        self._left = seconds
        self._going_on = going_on

    def renew(self) -> None:
        """Begin anew, since the store answered."""
        self._left = self._seconds

    async def outlast(self, waiting: Coroutine[Any, Any, _Result]) -> _Result:
        """Wait for something that may be cancelled.

        Raises:
            CentralUnavailable: the patience is over.
        """
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._left):
                return await waiting
        except TimeoutError:
            raise self._over() from None
        finally:
            self._count(began)

    async def see(self, exchange: Coroutine[Any, Any, None]) -> None:
        """Wait for an exchange, which goes on to its end in any case if the store is embedded.

        Raises:
            CentralUnavailable: the patience is over.
        """
        if self._left is None:
            await exchange
            return
        began = asyncio.get_running_loop().time()
        task = asyncio.create_task(exchange)
        self._going_on.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait((task,), timeout=max(0.0, self._left))
        finally:
            self._count(began)
        if not task.done():
            raise self._over()
        task.result()

    def _count(self, began: float) -> None:
        if self._left is not None:
            self._left -= asyncio.get_running_loop().time() - began

    def _over(self) -> CentralUnavailable:
        return CentralUnavailable(f"it was locked or slow for {self._seconds:g} s")

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget an exchange. Its fault was noted, and passed on to those who wait for it."""
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()
