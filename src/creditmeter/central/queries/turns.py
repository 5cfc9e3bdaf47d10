"""Long readings of a store take turns.

A summary or a forecast keeps one of the store's few connections until it has read all it needs. One at a time leaves the
others to settlement; few wait, and who comes when they do is told to come again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from creditmeter.core.instants import SECOND, Span
from creditmeter.core.refusals import Overloaded

MAX_WAITING = 8
"""As many long readings wait for the one that runs."""

RETRY_AFTER = Span(2 * SECOND)

_Found = TypeVar("_Found")


class Turns:
    """Lets one long reading run at a time."""

    def __init__(self) -> None:
        self._running = asyncio.Lock()
        self._present = 0

    async def read(self, reading: Callable[[], Awaitable[_Found]]) -> _Found | Overloaded:
        """What a reading finds when it is its turn; Overloaded if as many wait as may."""
        if self._present > MAX_WAITING:
            return Overloaded(RETRY_AFTER)
        self._present += 1
        try:
            async with self._running:
                return await reading()
        finally:
            self._present -= 1
