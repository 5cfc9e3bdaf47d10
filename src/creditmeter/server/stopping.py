"""A stop of the program: the reason, how long each part took, and the work that is left for the next start."""

import asyncio
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

from creditmeter.core.metering.book import Book
from creditmeter.core.metering.metered import has_progress

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequest:
    """A request to stop the program. The first reason counts."""

    def __init__(self) -> None:
        self.reason = ""
        self._made = asyncio.Event()

    def make(self, reason: str) -> None:
        """Request a stop, with its reason in one word."""
        self.reason = self.reason or reason
        self._made.set()

    def make_on_signals(self) -> None:
        """Request a stop on SIGTERM, SIGINT or SIGHUP; the reason is the signal's name.

        A signal that was set to be ignored when the program started, as `nohup` does, stays ignored.
        """
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, self.make, number.name)

    async def wait(self) -> None:
        """Wait until a stop is requested."""
        await self._made.wait()


class Parts:
    """How long the parts of a stop took, in seconds. They run one after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def end(self, part: str) -> None:
        """End a part, and begin the next one."""
        now = time.monotonic()
        self.seconds[part] = round(now - self._since, 3)
        self._since = now


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Numbers of the holds and of the unposted charges and refunds that a stopped sidecar leaves in its journal, and of the
    metered calls whose progress is still to be charged.
    """

    holds: int
    charges: int
    refunds: int
    metered_calls: int

    @classmethod
    def of(cls, books: Iterable[Book]) -> "LeftBehind":
        """The numbers summed over all books."""
        counts = [(0, 0, 0, 0), *map(_left_behind, books)]
        return cls(*(sum(column) for column in zip(*counts, strict=True)))


def _left_behind(book: Book) -> tuple[int, int, int, int]:
    progressed = sum(has_progress(each) for each in book.reservations.values())
    return book.open_reservations, book.unposted_charge_count, sum(1 for _ in book.unposted_refunds), progressed
