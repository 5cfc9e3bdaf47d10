"""The clock that a sidecar goes by."""

import pytest
from structlog.testing import capture_logs

from creditmeter.core.clocks import ClockStep, KeptTime
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.sidecar.clock import SidecarClock, SystemClock, this_boot
from tests.clocks import NOON, ManualClock

PATIENCE = Span(30 * SECOND)


@pytest.fixture
def steps() -> list[ClockStep]:
    """The steps that listeners were told of."""
    return []


@pytest.fixture
def time(clock: ManualClock, steps: list[ClockStep]) -> SidecarClock:
    """The clock of a sidecar on a machine with these clocks."""
    time = SidecarClock(clock, PATIENCE)
    time.on_step.append(steps.append)
    return time


def test_without_an_answer_it_is_the_machines_time(time: SidecarClock, clock: ManualClock, steps: list[ClockStep]) -> None:
    """Of which a step has to last. Nobody knows then by how much it is wrong."""
    assert time.wall() == clock.wall()
    clock.step_wall(DAY)
    assert time.wall() == NOON
    clock.advance(PATIENCE)
    assert time.wall() == clock.wall()
    assert [each.length for each in steps] == [DAY]
    assert time.error is None


@pytest.mark.parametrize("wrong", [-400 * DAY, -HOUR, 3 * SECOND, 400 * DAY])
def test_the_stores_time_counts_whatever_the_machine_says(
    time: SidecarClock, clock: ManualClock, steps: list[ClockStep], wrong: int
) -> None:
    """From its first answer on, carried on by the clock that nobody sets."""
    clock.step_wall(wrong)
    time.wall()
    time.learn(NOON, clock.boot(), clock.boot())
    assert [(each.after, each.is_first) for each in steps] == [(NOON, True)]
    clock.advance(MINUTE)
    clock.step_wall(DAY)
    assert time.wall() == NOON + MINUTE
    assert len(steps) == 1
    assert time.error == MINUTE // 5_000


def test_a_step_of_the_store_is_followed_and_told(time: SidecarClock, clock: ManualClock, steps: list[ClockStep]) -> None:
    """Its clock is the one that counts."""
    time.learn(NOON, clock.boot(), clock.boot())
    with capture_logs() as logs:
        time.learn(Instant(NOON + HOUR), clock.boot(), clock.boot())
    assert time.wall() == NOON + HOUR
    assert steps[-1] == ClockStep(NOON, Instant(NOON + HOUR))
    stepped, apart = logs
    assert (stepped["event"], stepped["log_level"]) == ("the central store's clock was set", "warning")
    assert (stepped["before"], stepped["after"]) == ("2026-11-24T12:00:00.000+00:00", "2026-11-24T13:00:00.000+00:00")
    assert apart["event"] == "this machine's clock is wrong: the time of day is another"


def test_what_is_known_better_is_told_and_not_warned_of(time: SidecarClock, clock: ManualClock, steps: list[ClockStep]) -> None:
    """An answer that took long was off by as much; the store's clock was not set."""
    asked = clock.boot()
    clock.advance(4 * MINUTE)
    time.learn(Instant(NOON + 4 * MINUTE), asked, clock.boot())
    with capture_logs() as logs:
        time.learn(clock.wall(), clock.boot(), clock.boot())
    assert time.wall() == clock.wall()
    assert [(each.length, each.is_correction) for each in steps[1:]] == [(-2 * MINUTE, True)]
    assert not logs


def test_clocks_that_are_apart_are_warned_of_once(time: SidecarClock, clock: ManualClock) -> None:
    """With both times, and again when they were together in between."""
    looks: list[tuple[Span, float]] = []
    time.on_look.append(lambda offset, drift: looks.append((offset, drift)))
    with capture_logs() as logs:
        time.learn(Instant(NOON + 2 * SECOND), clock.boot(), clock.boot())
        time.look()
        clock.step_wall(2 * SECOND)
        time.look()
        clock.step_wall(-3 * SECOND)
        time.look()
    assert [(each["here"], each["there"]) for each in logs] == [
        ("2026-11-24T12:00:00.000+00:00", "2026-11-24T12:00:02.000+00:00"),
        ("2026-11-24T11:59:59.000+00:00", "2026-11-24T12:00:02.000+00:00"),
    ]
    assert looks == [(2 * SECOND, 0.0), (0, 0.0), (3 * SECOND, 0.0)]
    assert time.offset == 3 * SECOND


def test_a_process_that_is_stopped_between_two_readings_sees_no_step() -> None:
    """The clocks are read again."""

    class Stopping(ManualClock):
        def __init__(self) -> None:
            super().__init__()
            self.stops = 0

        def wall(self) -> Instant:
            found = super().wall()
            if self.stops:
                self.stops -= 1
                self.advance(HOUR)
            return found

    machine = Stopping()
    time = SidecarClock(machine, Span(0))
    time.wall()
    machine.stops = 1
    assert time.wall() == NOON + HOUR


def test_what_corrects_the_machine_after_a_reboot_has_lasted(time: SidecarClock, clock: ManualClock) -> None:
    """What it shows for a moment does not count."""
    time.learn(Instant(NOON + HOUR), clock.boot(), clock.boot())
    assert time.known().correction == HOUR
    clock.step_wall(-DAY)
    found = set()
    for _ in range(30):
        found.add(time.known().correction)
        clock.advance(SECOND)
    assert found == {HOUR}
    assert time.known().correction == HOUR + DAY


def test_before_an_answer_the_machines_own_time_is_known(time: SidecarClock, clock: ManualClock) -> None:
    """With what corrected it before, and the steps that it made: they are for the next run."""
    kept = KeptTime("before", NOON - 7, Span(0), Span(7), correction=HOUR, own_steps=MINUTE)
    time.carry_on(kept)
    clock.step_wall(-HOUR)
    assert time.known() == KeptTime("", NOON - clock.boot(), Span(0), clock.boot(), HOUR, is_stores=False, own_steps=MINUTE)
    assert time.wall() == NOON
    clock.step_wall(DAY)
    time.wall()
    clock.advance(PATIENCE)
    assert time.known().own_steps == DAY + MINUTE - HOUR
    time.learn(NOON, clock.boot(), clock.boot())
    assert time.known().own_steps == 0


def test_the_run_of_this_machine_has_one_name() -> None:
    """The same at every look."""
    assert this_boot() == this_boot()


def test_the_machines_clocks_go_on() -> None:
    """Neither goes back."""
    time = SidecarClock(SystemClock(), PATIENCE)
    first = time.wall(), time.boot()
    assert (time.wall(), time.boot()) >= first
