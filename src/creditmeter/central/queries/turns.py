"""Turns: long reads of the store run one at a time.

A summary or a forecast keeps one of the store's few connections until it has read all that it needs. One at a time leaves the
others to settlement. A few requests may wait for their turn, and further ones are refused as overloaded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from creditmeter.core.instants import SECOND, Span
from creditmeter.core.refusals import Overloaded

MAX_WAITING = 8
"""Most long reads that wait for the one that runs."""

RETRY_AFTER = Span(2 * SECOND)

_Found = TypeVar("_Found")


class Turns:
    """Lets one long read run at a time."""

    def __init__(self) -> None:
        self._running = asyncio.Lock()
        self._present = 0

    async def read(self, long_read: Callable[[], Awaitable[_Found]]) -> _Found | Overloaded:
        """The result of a long read, after it has waited for its turn; Overloaded if `MAX_WAITING` others wait."""
        if self._present > MAX_WAITING:
            return Overloaded(RETRY_AFTER)
        self._present += 1
        try:
            async with self._running:
                return await long_read()
        finally:
            self._present -= 1
