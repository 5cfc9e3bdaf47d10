"""What time it is believed to be, when clocks are wrong for a while."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.clocks import (
    DRIFT_PARTS_PER_MILLION,
    STEP,
    ClockStep,
    HostClock,
    KeptTime,
    LeastClock,
    RemoteClock,
)
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.values import replace
from tests.clocks import NOON

PATIENCE = Span(30 * SECOND)
BOOT = Span(1_000 * SECOND)
STEPS = (-400 * DAY, -HOUR, -SECOND, SECOND, 75 * MINUTE, 400 * DAY)
_MILLISECOND = SECOND // 1_000


def readings(clock: HostClock, wrong: Sequence[int], every: int = SECOND) -> list[ClockStep]:
    """Read a clock that is wrong by so much at each reading, one after another. Returns the steps that were believed."""
    found = []
    for number, error in enumerate(wrong):
        passed = number * every
        found.append(clock.read(Instant(NOON + passed + error), Span(BOOT + passed)))
    return [each for each in found if each is not None]


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_reading_changes_nothing(step: int) -> None:
    """Nor do some, if they do not last."""
    clock = HostClock(PATIENCE)
    assert not readings(clock, [0, step, 0, 0, *[step] * 29, 0])
    assert clock.at(Span(BOOT + 33 * SECOND)) == NOON + 33 * SECOND


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_lasts_is_believed(step: int) -> None:
    """Once, and for as long as the clock stays so."""
    clock = HostClock(PATIENCE)
    (believed,) = readings(clock, [0, *[step] * 40])
    assert (believed.before, believed.length) == (NOON + 31 * SECOND, step)
    assert clock.at(Span(BOOT + 41 * SECOND)) == NOON + 41 * SECOND + step


def test_a_step_during_a_doubt_has_to_last_as_well() -> None:
    """The clock was set twice: to what is wrong, and to what is right."""
    clock = HostClock(PATIENCE)
    (believed,) = readings(clock, [0, *[DAY] * 20, *[HOUR] * 40])
    assert believed.length == HOUR


def test_without_patience_each_step_is_believed_at_once() -> None:
    """For those who set their clock and mean it."""
    assert [each.length for each in readings(HostClock(Span(0)), [0, DAY, 0, -DAY])] == [DAY, -DAY, -DAY]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_that_is_corrected_little_by_little_is_followed(sign: int) -> None:
    """As time servers do."""
    clock = HostClock(PATIENCE)
    assert not readings(clock, [sign * number * STEP // 2 for number in range(100)])
    assert clock.at(BOOT) == NOON + sign * 99 * STEP // 2


def test_a_clock_that_was_never_set_is_not_believed_at_once() -> None:
    """It says 1970 when the machine starts. The time that is known goes on until it is put right."""
    clock = HostClock(PATIENCE)
    clock.not_before(NOON, BOOT)
    (put_right,) = readings(clock, [*[-NOON] * 20, *[HOUR] * 40])
    assert put_right == ClockStep(Instant(NOON + 50 * SECOND), Instant(NOON + HOUR + 50 * SECOND))


def test_time_that_passed_while_nothing_ran_is_no_step() -> None:
    """What is known is the least that it can be."""
    clock = HostClock(PATIENCE)
    clock.not_before(Instant(NOON - DAY), BOOT)
    assert not readings(clock, [0])
    assert clock.at(BOOT) == NOON


@given(
    st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(0, 5 * SECOND), st.integers(0, MINUTE)), min_size=1),
    st.integers(-DAY, DAY),
)
def test_the_other_clock_is_known_within_the_error(asked: list[tuple[int, int, int]], offset: int) -> None:
    """However long answers take, and wherever on the way they were given."""
    clock, boot = RemoteClock(), BOOT
    for there, back, pause in asked:
        question, boot = boot, Span(boot + there)
        said = Instant(NOON + offset + boot)
        boot = Span(boot + back)
        step = clock.learn(said, question, boot)
        assert step is None or step.is_correction
        assert abs(clock.at(boot) - (NOON + offset + boot)) <= clock.error_at(boot)
        boot = Span(boot + pause)


def test_the_closest_answer_counts() -> None:
    """Until the clocks may have gone apart by more than the error of another one."""
    clock = RemoteClock()
    clock.learn(NOON, BOOT, Span(BOOT + 2 * _MILLISECOND))
    known = clock.at(BOOT)
    later = Span(BOOT + SECOND)
    clock.learn(Instant(NOON + SECOND), later, Span(later + 200 * _MILLISECOND))
    assert clock.at(BOOT) == known
    much_later = Span(BOOT + HOUR)
    clock.learn(Instant(NOON + HOUR), much_later, Span(much_later + 200 * _MILLISECOND))
    assert clock.error_at(Span(much_later + 200 * _MILLISECOND)) == 100 * _MILLISECOND


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_other_clock_is_followed_at_once(step: int) -> None:
    """It is the one that counts. What is known of it begins anew."""
    clock = RemoteClock()
    clock.learn(NOON, BOOT, Span(BOOT + 2))
    boot = Span(BOOT + MINUTE)
    error = clock.error_at(Span(boot + 2)) + 1
    sure = step + (error if step > 0 else -error)
    assert clock.learn(Instant(NOON + MINUTE + sure), boot, Span(boot + 2)) == ClockStep(
        Instant(NOON + MINUTE + 1), Instant(NOON + MINUTE + sure + 1)
    )
    assert clock.drift == 0


def test_an_answer_that_took_hours_is_corrected_by_the_next_one() -> None:
    """The machine slept meanwhile. The time of day is another then, though no clock was set."""
    clock = RemoteClock()
    assert clock.learn(NOON, BOOT, Span(BOOT + HOUR)) is None
    boot = Span(BOOT + HOUR)
    assert clock.learn(Instant(NOON + HOUR), boot, boot) == ClockStep(
        Instant(NOON + HOUR // 2), Instant(NOON + HOUR), is_correction=True
    )
    assert clock.drift == 0


def test_how_much_faster_the_other_clock_runs() -> None:
    """Seen since the first answer."""
    clock = RemoteClock()
    clock.learn(NOON, BOOT, BOOT)
    parts = DRIFT_PARTS_PER_MILLION // 2
    clock.learn(Instant(NOON + HOUR + HOUR * parts // 1_000_000), Span(BOOT + HOUR), Span(BOOT + HOUR))
    assert clock.drift == pytest.approx(parts / 1_000_000)


def test_the_least_of_a_while() -> None:
    """It is not known before that while is over, and a clock that is ahead has to stay so for as long."""
    clock = LeastClock(HOUR)

    def read(minutes: int, error: int = 0) -> int | None:
        boot = Span(BOOT + minutes * MINUTE)
        clock.read(Instant(NOON + minutes * MINUTE + error), boot)
        found = clock.at(boot)
        return None if found is None else found - (NOON + minutes * MINUTE)

    assert [read(0), read(59), read(60), read(61, DAY), read(62)] == [None, None, 0, 0, 0]
    assert [read(each, DAY) for each in (63, 119, 121, 180, 181)] == [0, 0, 0, 0, DAY]
    assert read(182, -DAY) == -DAY
    assert read(183, DAY) == -DAY


BOOT_ID = "a run of the machine"


def kept(offset: int = NOON - BOOT, error: int = 0, at: Span = BOOT, correction: int = 0, *, stores: bool = True) -> KeptTime:
    """What was known when it was noon and the machine had run for a while."""
    return KeptTime(BOOT_ID, offset, Span(error), at, Span(correction), stores)


@given(st.integers(0, SECOND), st.integers(0, 2 * DAY), st.integers(-DRIFT_PARTS_PER_MILLION, DRIFT_PARTS_PER_MILLION))
def test_the_other_clock_goes_on_over_a_restart(error: int, passed: int, drift: int) -> None:
    """It is known within the error that was kept and what the clocks may have gone apart since. So an answer shows no step of
    it, and corrects what is known where that was far from exact.
    """
    clock = RemoteClock()
    clock.carry_on(kept(NOON - BOOT + error, error))
    boot = Span(BOOT + passed)
    assert abs(clock.at(boot) - (NOON + passed + passed * drift // 1_000_000)) <= clock.error_at(boot) + 1
    step = clock.learn(Instant(NOON + passed), boot, boot)
    assert step is None or step.is_correction
    assert clock.at(boot) == NOON + passed


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_other_clock_during_a_restart_is_a_step(step: int) -> None:
    """As if nothing had been restarted."""
    clock = RemoteClock()
    clock.carry_on(kept())
    boot = Span(BOOT + MINUTE)
    sure = step + (SECOND if step > 0 else -SECOND)
    assert clock.learn(Instant(NOON + MINUTE + sure), boot, boot) == ClockStep(
        Instant(NOON + MINUTE), Instant(NOON + MINUTE + sure)
    )


@pytest.mark.parametrize("step", [each * 2 for each in STEPS])
def test_a_wrong_reading_right_after_a_restart_changes_nothing(step: int) -> None:
    """The machine has run since, so what it showed then is known. A step that lasts is believed."""
    clock = HostClock(PATIENCE)
    clock.carry_on(kept(stores=False), BOOT)
    assert not readings(clock, [step] * 30)
    assert clock.at(BOOT) == NOON
    assert not readings(clock, [0])
    (believed,) = readings(clock, [step] * 31)
    assert believed.length == step


def test_a_drift_during_a_restart_is_no_step() -> None:
    """It is followed at once, once, also after a wrong reading."""
    for first in (0, DAY):
        clock = HostClock(PATIENCE)
        clock.carry_on(kept(at=Span(BOOT - 10 * HOUR), stores=False), BOOT)
        assert not readings(clock, [8 * SECOND + first, 8 * SECOND, 10 * SECOND])
        assert clock.at(BOOT) == NOON + 8 * SECOND


def test_a_journal_that_is_later_than_what_was_kept_counts() -> None:
    """It was written last."""
    clock = HostClock(PATIENCE)
    clock.not_before(Instant(NOON + HOUR), BOOT)
    clock.carry_on(kept(stores=False), BOOT)
    assert not readings(clock, [0])
    assert clock.at(BOOT) == NOON + HOUR


@dataclass(frozen=True)
class Reboot:
    """A machine that was wrong by `then`, was down for some minutes, and is wrong by `now`. The time is known up to `error`."""

    then: int
    down: int
    now: int
    error: int


REBOOTS = {
    "right, and right": Reboot(0, 10, 0, 0),
    "right, and ahead": Reboot(0, 10, 40, 40),
    "right, and behind for less than it was down": Reboot(0, 10, -5, -5),
    "right, and behind": Reboot(0, 10, -40, -10),
    "ahead, and still so": Reboot(40, 10, 40, 0),
    "ahead, and still so after long": Reboot(40, 100, 40, 0),
    "ahead, and put right": Reboot(40, 10, 0, 0),
    "ahead, and put right after long": Reboot(40, 100, 0, -40),
    "behind, and still so": Reboot(-40, 10, -40, 0),
    "behind, and still so after long": Reboot(-40, 100, -40, -40),
    "behind, and put right": Reboot(-40, 10, 0, 0),
    "behind, and put right after long": Reboot(-40, 100, 0, 0),
    "right, and in 1970": Reboot(0, 10, -NOON // MINUTE, -10),
    "behind, and in 1970": Reboot(-40, 10, -NOON // MINUTE, -10),
}
"""In minutes. These are the rows of the table in the choices about clocks."""


@pytest.mark.parametrize("which", REBOOTS)
def test_after_a_reboot(which: str) -> None:
    """The wall clock counts as it is or as it was wrong before: what is possible, and what ends nothing too early."""
    case = REBOOTS[which]
    clock = HostClock(PATIENCE)
    clock.not_before(Instant(NOON - case.down * MINUTE), BOOT)
    clock.correct_by(Span(-case.then * MINUTE))
    assert not readings(clock, [case.now * MINUTE])
    assert clock.at(BOOT) == NOON + case.error * MINUTE


@given(
    st.integers(-DAY, DAY).filter(lambda wrong: abs(wrong) >= 2 * STEP),
    st.integers(0, 2 * DAY),
    st.booleans(),
    st.lists(st.booleans(), max_size=5),
)
def test_after_a_reboot_it_is_never_too_late(wrong: int, down: int, still: bool, more: list[bool]) -> None:
    """Whether the clock is as wrong as it was or was put right, and if it is put right and wrong again later. While it was down
    for less than it is wrong, the time is right.
    """
    clock = HostClock(PATIENCE)
    clock.not_before(Instant(NOON - down), BOOT)
    clock.correct_by(Span(-wrong))
    steps = readings(clock, [wrong if each else 0 for each in (still, *more)])
    assert not steps
    assert NOON - down - STEP <= clock.at(BOOT) <= NOON
    if down < abs(wrong) - STEP:
        assert clock.at(BOOT) == NOON


@pytest.mark.parametrize("wrong", [0, 40 * MINUTE, -40 * MINUTE, 2 * DAY])
def test_a_clock_of_1970_that_is_put_right_or_as_wrong_as_it_was(wrong: int) -> None:
    """The time is what the journal knows until then, and is right as soon as that has lasted."""
    for later in (0, wrong):
        clock = HostClock(PATIENCE)
        clock.not_before(Instant(NOON - 10 * MINUTE), BOOT)
        clock.correct_by(Span(-wrong))
        (put_right,) = readings(clock, [*[-NOON] * 10, *[later] * 40])
        assert put_right == ClockStep(Instant(NOON - 10 * MINUTE + 40 * SECOND), Instant(NOON + 40 * SECOND))


def test_what_is_worth_keeping() -> None:
    """Another run of the machine, a second, or a second of doubt less."""
    known = kept()
    assert known.is_news(None)
    assert not known.is_news(known)
    assert replace(known, boot_id="another").is_news(known)
    assert replace(known, is_stores=False).is_news(known)
    for field in ("offset", "correction", "own_steps"):
        at = getattr(known, field)
        assert not replace(known, **{field: at + SECOND - 1}).is_news(known)
        assert replace(known, **{field: at - SECOND}).is_news(known)
    doubtful = SECOND * 1_000_000 // DRIFT_PARTS_PER_MILLION
    assert not replace(known, at=Span(BOOT + doubtful - 1)).is_news(known)
    assert replace(known, at=Span(BOOT + doubtful)).is_news(known)
    assert not replace(known, at=Span(BOOT + doubtful), error=SECOND).is_news(known)


def test_when_the_boot_time_clock_goes_on() -> None:
    """In the same run of the machine, if that has a name."""
    assert kept().goes_on(BOOT_ID, BOOT)
    assert not kept().goes_on("another", BOOT)
    assert not kept().goes_on(BOOT_ID, Span(BOOT - 1))
    assert not replace(kept(), boot_id="").goes_on("", BOOT)
