"""Bounds how many calls are open that wait for something to happen: each costs memory for as long as its caller likes.

Each kind has a bound of its own, so that those of one kind take no place from another, and calls that are answered at once need
none. A call beyond a bound is refused before anything is done.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from enum import Enum

from creditmeter.core.instants import SECOND
from creditmeter.core.refusals import Overloaded
from creditmeter.server.admission import caller_of
from creditmeter.server.errors import Context

RETRY_AFTER = SECOND


class LongCall(Enum):
    """A kind of calls, and the most of them that one caller and all have open. All that use Unix sockets are one caller."""

    METER = ("Meter streams", 1_000, 4_000)
    """A worker has one for each metered call that it makes."""

    PIPELINE = ("Pipelines", 500, 1_000)
    """A client has up to two for each event loop. gRPC takes some 120 KB for one that sends more than is read."""

    CENTRAL = ("calls that wait for the central store", 2_000, 4_000)
    """Most ask it for credit that their account does not have here."""

    CHARGE = ("calls that wait until a charge is posted", 500, 4_000)

    WATCH = ("watches of health and streams of reflection", 500, 4_000)
    """A client has one for each connection."""

    @property
    def most_of_caller(self) -> int:
        """The most that one caller has open."""
        return self.value[1]

    @property
    def most(self) -> int:
        """The most that all callers have open."""
        return self.value[2]


class LongCalls:
    """The calls that wait, of all callers."""

    def __init__(self) -> None:
        self._open: Counter[LongCall] = Counter()
        self._open_of: Counter[tuple[LongCall, str]] = Counter()

    @contextlib.contextmanager
    def place(self, kind: LongCall, context: Context) -> Iterator[Overloaded | None]:
        """A place for a call for as long as the block runs. Yields the refusal if there is none."""
        caller = kind, caller_of(context)()
        if self._open[kind] >= kind.most or self._open_of[caller] >= kind.most_of_caller:
            yield Overloaded(RETRY_AFTER, f"too many {kind.value[0]} are open")
            return
        self._open[kind] += 1
        self._open_of[caller] += 1
        try:
            yield None
        finally:
            self._open[kind] -= 1
            self._open_of[caller] -= 1
            if not self._open_of[caller]:
                del self._open_of[caller]
