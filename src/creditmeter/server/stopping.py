"""What is known of a stop: why it was asked for, how long its parts took, and what is left behind."""

import asyncio
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

from creditmeter.core.metering.book import Book

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequest:
    """Somebody's wish that the program stops. The first one counts."""

    def __init__(self) -> None:
        self.reason = ""
        self._made = asyncio.Event()

    def make(self, reason: str) -> None:
        """Ask to stop, and say why in a word."""
        self.reason = self.reason or reason
        self._made.set()

    def make_on_signals(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP for the wish to stop; the reason is the signal's name. A signal that whoever started
        the program has it ignore, as `nohup` does, is ignored.
        """
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, self.make, number.name)

    async def wait(self) -> None:
        """Wait until somebody asks."""
        await self._made.wait()


class Parts:
    """How long the parts of a stop took that came one after another, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def end(self, part: str) -> None:
        """A part is done, and the next one begins."""
        now = time.monotonic()
        self.seconds[part] = round(now - self._since, 3)
        self._since = now


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a stopped sidecar has in its journal for its next start: holds, and what is not settled yet."""

    holds: int
    charges: int
    refunds: int

    @classmethod
    def of(cls, books: Iterable[Book]) -> "LeftBehind":
        """What is left in all books."""
        counts = [(each.open_reservations, each.unposted_charge_count, sum(1 for _ in each.unposted_refunds)) for each in books]
        holds, charges, refunds = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
        return cls(holds, charges, refunds)
