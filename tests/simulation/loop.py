"""An event loop on which time passes only when nothing else is left to do, and then at once.

What sleeps until a moment is woken at exactly that moment, in the order of the moments; nothing waits for real. With all
randomness drawn from one seed, a run is the same each time.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

MAX_TURNS = 60_000
"""As many turns of the loop a run may take. One that takes more is busy with nothing."""


class Stuck(BaseException):
    """Nothing will ever happen again, or everything happens without time going by. No task can catch it by mistake."""


class _Hands:
    """The hands of the clock, in seconds since the run began."""

    def __init__(self) -> None:
        self.seconds = 0.0


class _NoWaiting(selectors.BaseSelector):
    """A selector that knows no files: instead of waiting it moves the clock."""

    def __init__(self, hands: _Hands) -> None:
        self._hands = hands
        self._turns = 0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Take note of a file; the loop has one of its own, to be woken by other threads."""
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forget a file."""
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """The files."""
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass that there is nothing to do in."""
        self._turns += 1
        if self._turns > MAX_TURNS:
            self._turns = 0  # tasks that are cancelled now have turns of their own
            raise Stuck(f"more than {MAX_TURNS} turns of the loop")
        if timeout is None:
            raise Stuck("every task waits for another one")
        self._hands.seconds += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._hands = _Hands()
        super().__init__(_NoWaiting(self._hands))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._hands.seconds
