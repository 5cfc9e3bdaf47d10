"""The clocks that a sidecar reads, and the one that it goes by."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from creditmeter.core.clocks import ClockStep, HostClock, KeptTime, RemoteClock
from creditmeter.core.instants import SECOND, Instant, Span, to_datetime

WARNED_FROM = Span(2 * SECOND)
"""A host and the central store whose clocks are this far apart are warned of."""

_NANOSECONDS_PER_MICROSECOND = 1_000
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_CLOSE = Span(SECOND // 10)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/time")

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


def this_boot() -> str:
    """The name of what the boot-time clock counts from: this run of the machine, and the namespace of its times. Empty where
    the system gives it none.
    """
    found = []
    with contextlib.suppress(OSError):
        found.append(_BOOT_ID.read_text().strip())
        found.append(str(_NAMESPACE.readlink()))  # Linux before 5.6 has no such namespaces
    return " ".join(found)


class SidecarClock:
    """The clock that a sidecar goes by: the central store's, carried on by the boot-time clock of this machine.

    An embedded store goes by this machine's wall clock, of which a step is believed when it has lasted for `patience`. So does
    a sidecar that the store has not answered yet, unless what was known in an earlier run goes on (`carry_on`). `boot_id` is
    the name of this run of the machine. `on_step` are called with each step of the time of day, `on_look` with the offset and
    the drift at each look.
    """

    def __init__(self, machine: Clock, patience: Span, boot_id: str = "") -> None:
        self._machine = machine
        self._boot_id = boot_id
        self._host = HostClock(patience)
        self._shown = HostClock(patience)
        self._store = RemoteClock()
        self._correction = self._own_steps = Span(0)
        self._least = Instant(0)
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
                self._own_steps = Span(self._own_steps + step.length)
                self._stepped(step)
        return self._host.at(boot)

    def not_before(self, earlier: Instant) -> None:
        """State, before the first reading, that it was `earlier` already: the journal says so."""
        self._least = earlier
        self._host.not_before(earlier, self._machine.boot())

    def carry_on(self, kept: KeptTime) -> None:
        """Go on, before the first reading, from what was known of the time in an earlier run.

        If the machine has run since, its boot-time clock says the time. Else the store's time corrects the wall clock, which
        may be as wrong as it was, or may have been put right.
        """
        boot = self._machine.boot()
        self._correction, self._own_steps = kept.correction, kept.own_steps
        self._host.correct_by(kept.correction)
        if kept.goes_on(self._boot_id, boot):
            self._least = Instant(0)
            if kept.is_stores:
                self._store.carry_on(kept)
            else:
                self._host.carry_on(kept, boot)
        elif kept.is_stores:
            self.not_before(Instant(max(self._least, kept.offset + kept.at)))

    @property
    def is_stores(self) -> bool:
        """Whether the time of day is the central store's: it answered in this run of the machine."""
        return self._store.is_known

    def surely(self) -> Instant:
        """At the start, as how late the time is taken for what cannot be undone: after another start of the machine as late as
        it was known to be before, if anything was known.
        """
        now = self.wall()
        return min(now, self._least) if self._least else now

    def known(self) -> KeptTime:
        """What is known of the time, to be kept for the next run. A wall clock corrects nothing by a single reading of it."""
        wall, boot = self._both()
        self._shown.read(wall, boot)
        if self._store.is_known:
            now, error = self._store.at(boot), self._store.error_at(boot)
            return KeptTime(self._boot_id, now - boot, error, boot, Span(now - self._shown.at(boot)))
        self.host_time()
        offset = self._host.at(boot) - boot
        steps = self._own_steps
        return KeptTime(self._boot_id, offset, Span(0), boot, self._correction, is_stores=False, own_steps=steps)

    def learn(self, said: Instant, asked: Span, answered: Span) -> None:
        """Take an answer of a central store that has a clock of its own, with the moments of the question and of the answer on
        the boot-time clock.
        """
        is_first = not self._store.is_known
        before = self.wall()
        step = self._store.learn(said, asked, answered)
        if is_first:
            self._stepped(ClockStep(before, self.wall(), is_first=True, own_steps=self._own_steps))
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
        """By how much the time of day may be other than the central store's, in microseconds. None before that answered, in
        this run or in one whose time goes on.
        """
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
