"""The clocks that a sidecar reads, and the one that it goes by."""

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from creditmeter.core.clocks import ClockStep, HostClock, RemoteClock
from creditmeter.core.instants import SECOND, Instant, Span, to_datetime

WARNED_FROM = Span(2 * SECOND)
"""A host and the central store whose clocks are this far apart are warned of."""

_NANOSECONDS_PER_MICROSECOND = 1_000
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_CLOSE = Span(SECOND // 10)

_log = structlog.get_logger()


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


class SidecarClock:
    """The clock that a sidecar goes by: the central store's, carried on by the boot-time clock of this machine.

    An embedded store goes by this machine's wall clock, of which a step is believed when it has lasted for `patience`. So does
    a sidecar that the store has not answered yet. `on_step` are called with each step of the time of day, `on_look` with the
    offset and the drift at each look.
    """

    def __init__(self, machine: Clock, patience: Span) -> None:
        self._machine = machine
        self._host = HostClock(patience)
        self._store = RemoteClock()
        self._is_told = False
        self.offset: Span | None = None
        """How far the time of day was ahead of this machine's wall clock at the last look, in microseconds; None before one."""
        self.on_step: list[Callable[[ClockStep], None]] = []
        self.on_look: list[Callable[[Span, float], None]] = []

    def wall(self) -> Instant:
        """The time of day, as far as it is known."""
        if self._store.is_known:
            return self._store.at(self._machine.boot())
        return self.host_time()

    def boot(self) -> Span:
        """The time since the machine booted."""
        return self._machine.boot()

    def host_time(self) -> Instant:
        """The time of day by this machine's own clocks alone."""
        wall, boot = self._both()
        step = self._host.read(wall, boot)
        if step is not None:
            _log.warning("this machine's clock was set", before=_text(step.before), after=_text(step.after))
            if not self._store.is_known:
                self._stepped(step)
        return self._host.at(boot)

    def not_before(self, earlier: Instant) -> None:
        """State that it was `earlier` already: the journal says so."""
        self._host.not_before(earlier, self._machine.boot())

    def learn(self, said: Instant, asked: Span, answered: Span) -> None:
        """Take an answer of a central store that has a clock of its own, with the moments of the question and of the answer on
        the boot-time clock.
        """
        is_first = not self._store.is_known
        before = self.wall()
        step = self._store.learn(said, asked, answered)
        if is_first:
            self._stepped(ClockStep(before, self.wall(), is_first=True))
        elif step is not None:
            if not step.is_correction:
                _log.warning("the central store's clock was set", before=_text(step.before), after=_text(step.after))
            self._stepped(step)
        self._compare()

    @property
    def drift(self) -> float:
        """How much faster the central store's clock runs than this machine's boot-time clock, in parts of one."""
        return self._store.drift

    @property
    def error(self) -> Span | None:
        """By how much the time of day may be other than the central store's, in microseconds; None before that answered."""
        return self._store.error_at(self._machine.boot()) if self._store.is_known else None

    def look(self) -> None:
        """Compare the clocks, and warn once if they are far apart. To be called every second or so, also for a step that has to
        last.
        """
        offset = self._compare()
        for listener in self.on_look:
            listener(offset, self.drift)

    def _compare(self) -> Span:
        now, wall = self.wall(), self._machine.wall()
        self.offset = offset = Span(now - wall)
        is_apart = abs(offset) >= WARNED_FROM
        if is_apart and not self._is_told:
            _log.warning("this machine's clock is wrong: the time of day is another", here=_text(wall), there=_text(now))
        self._is_told = is_apart
        return offset

    def _both(self) -> tuple[Instant, Span]:
        """Both clocks at one moment: the process may be stopped between two readings."""
        before, wall, after = self._machine.boot(), self._machine.wall(), self._machine.boot()
        if after - before >= _CLOSE:
            wall, after = self._machine.wall(), self._machine.boot()
        return wall, after

    def _stepped(self, step: ClockStep) -> None:
        for listener in self.on_step:
            listener(step)


def _text(moment: Instant) -> str:
    return to_datetime(moment).isoformat(timespec="milliseconds")
