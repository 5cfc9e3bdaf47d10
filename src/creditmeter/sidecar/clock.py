"""The two clocks a sidecar reads."""

import time
from typing import Protocol

from creditmeter.core.instants import Instant, Span

_NANOSECONDS_PER_MICROSECOND = 1_000
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Where the time comes from: the system in production, a value that tests move elsewhere."""

    def wall(self) -> Instant:
        """The time of day. It may be stepped either way."""
        ...

    def boot(self) -> Span:
        """The time since the machine booted, sleep included. No step moves it."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> Instant:
        """The time of day."""
        return Instant(time.time_ns() // _NANOSECONDS_PER_MICROSECOND)

    def boot(self) -> Span:
        """The time since boot, where the system counts it through sleep; else the monotonic time."""
        return Span(time.clock_gettime_ns(_BOOT) // _NANOSECONDS_PER_MICROSECOND)
