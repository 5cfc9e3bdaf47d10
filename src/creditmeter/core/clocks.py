"""What time it is, by clocks of which some may be wrong for a while.

A wall clock says the time of day, and may be set at any moment, also to what is wrong. The boot-time clock counts on from the
machine's start, sleep included. Nobody sets it, and it says no time of day. So the time of day is a distance from the boot-time
clock, which only good evidence changes.
"""

from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.values import Value

STEP = SECOND
"""A wall clock that is corrected by less is followed at once: time servers correct clocks by so little all the time."""

DRIFT_PARTS_PER_MILLION = 200
"""How far two machines' clocks may go apart while they run."""

_MILLION = 1_000_000


class ClockStep(Value, frozen=True):
    """A change of what is believed to be the time of day, other than by what passed: it was `before`, and is `after`.

    With `is_first` the central store answered for the first time: `before` was this machine's own time. The steps that this had
    made since the store last answered, `own_steps` microseconds together, count no more. With `is_correction` no clock was set,
    as far as is known: an answer showed the other machine's time more closely than those before.
    """

    before: Instant
    after: Instant
    is_first: bool = False
    own_steps: Span = Span(0)
    is_correction: bool = False

    @property
    def length(self) -> Span:
        """How far the time went forward, in microseconds; negative where it went back."""
        return Span(self.after - self.before)


class KeptTime(Value, frozen=True):
    """What was known of the time of day in an earlier run, in microseconds.

    `offset` is its distance from the boot-time clock, known within `error` when that stood `at`. It goes on for as long as the
    machine runs, of which `boot_id` is the name (empty: it has none). With `is_stores` it is the central store's time, else the
    machine's own. `correction` is by how much the store's time was last ahead of the machine's wall clock. `own_steps` are the
    steps that the machine's own time made since then, together.
    """

    boot_id: str
    offset: int
    error: Span
    at: Span
    correction: Span = Span(0)
    is_stores: bool = True
    own_steps: Span = Span(0)

    def goes_on(self, boot_id: str, boot: Span) -> bool:
        """Whether the machine has run since, and the boot-time clock still says the time of day."""
        return bool(boot_id) and self.boot_id == boot_id and self.at <= boot

    def error_at(self, boot: Span) -> Span:
        """By how much the time of day may be other than the offset says, at a moment of the boot-time clock."""
        return drifted(self.error, boot - self.at)

    def is_news(self, kept: "KeptTime | None") -> bool:
        """Whether it is worth keeping instead of `kept`: it is of another run of the machine, differs by `STEP` or more, or is
        by as much surer.
        """
        if kept is None or (self.boot_id, self.is_stores) != (kept.boot_id, kept.is_stores):
            return True
        moved = self.offset - kept.offset, self.correction - kept.correction, self.own_steps - kept.own_steps
        return max(map(abs, moved)) >= STEP or kept.error_at(self.at) - self.error >= STEP


def drifted(error: Span, passed: int) -> Span:
    """An error after so many microseconds in which the clocks may have gone apart."""
    return Span(error + passed * DRIFT_PARTS_PER_MILLION // _MILLION)


class HostClock:
    """The time of day of a machine, by its two clocks.

    A step of the wall clock is believed when it has lasted for `patience`. One reading that is wrong does nothing.

    The wall clock may have been wrong before, by a known `correction`. Nobody says whether it still is. So the time of day is
    what it shows or that corrected, and never less than is known. Of two possible times the one closer to what is known counts:
    at first that is the earlier one, since a time that is too late ends what cannot be begun again.
    """

    def __init__(self, patience: Span) -> None:
        self._patience = patience
        self._offset: int | None = None
        self._least: int | None = None
        self._correction = 0
        self._slack = 0
        self._doubted: int | None = None
        self._doubted_since = Span(0)

    def not_before(self, earlier: Instant, boot: Span) -> None:
        """State, before the first reading, that it is later than `earlier`, at a moment of the boot-time clock. If the wall
        clock says less, as one does that was never set since the machine started, that has to last as well.
        """
        self._least = earlier - boot if self._least is None else max(self._least, earlier - boot)

    def correct_by(self, correction: Span) -> None:
        """State, before the first reading, by how much the time of day was ahead of the wall clock in an earlier run. Less than
        `STEP` is nothing.
        """
        self._correction = correction if abs(correction) >= STEP else 0

    def carry_on(self, kept: KeptTime, boot: Span) -> None:
        """State, before the first reading, what the time of day was while the machine ran: another one has to last."""
        self._offset = kept.offset if self._least is None else max(kept.offset, self._least)
        self._slack = kept.error_at(boot)

    def read(self, wall: Instant, boot: Span) -> ClockStep | None:
        """Take a reading of both clocks. Returns a step that is believed from now on."""
        seen = self._likely(wall - boot)
        if self._offset is None:
            self._offset = seen if self._least is None else max(seen, self._least)
        if abs(seen - self._offset) < STEP + self._slack:
            self._offset, self._doubted, self._slack = seen, None, 0
            return None
        if self._doubted is None or abs(seen - self._doubted) >= STEP:
            self._doubted, self._doubted_since = seen, boot
        if boot - self._doubted_since < self._patience:
            return None
        before, self._offset, self._doubted, self._slack = self.at(boot), seen, None, 0
        return ClockStep(before, self.at(boot))

    def _likely(self, shown: int) -> int:
        """How far the time of day is from the boot-time clock, if the wall clock is as far from it as `shown`."""
        known = self._least if self._offset is None else self._offset
        if not self._correction or known is None:
            return shown
        both = shown, shown + self._correction
        late_enough = [each for each in both if self._least is None or each >= self._least - STEP]
        return min(late_enough or both, key=lambda each: abs(each - known))

    def at(self, boot: Span) -> Instant:
        """The time of day at a moment of the boot-time clock."""
        assert self._offset is not None, "the clocks were read"
        return Instant(boot + self._offset)


class RemoteClock:
    """The time of day of another machine, by what that says and this machine's boot-time clock.

    An answer was given somewhere between the question and its arrival. So each is right but for half of that time. The closest
    one counts, until the clocks may have gone apart by more than the error of another.
    """

    def __init__(self) -> None:
        self._offset: int | None = None
        self._error = 0
        self._learned_at = Span(0)
        self._first: tuple[int, Span] = 0, Span(0)

    def carry_on(self, kept: KeptTime) -> None:
        """Go on from an answer in an earlier run: the machine has run since."""
        self._offset, self._error, self._learned_at = kept.offset, kept.error, kept.at
        self._first = kept.offset, kept.at

    def learn(self, said: Instant, asked: Span, answered: Span) -> ClockStep | None:
        """Take an answer of the other machine. Returns the step that its time of day makes by it: because its clock was set, or
        because what was known of it was far from exact.
        """
        offset, error = said - (asked + answered) // 2, (answered - asked + 1) // 2
        before, known = self._offset, self.error_at(answered)
        apart = 0 if before is None else abs(offset - before)
        if before is not None and apart <= error + known and error > known:
            return None
        self._offset, self._error, self._learned_at = offset, error, answered
        if before is None or apart >= STEP:
            self._first = offset, answered
        if before is None or apart < STEP:
            return None
        is_correction = apart - error - known < STEP
        return ClockStep(Instant(answered + before), Instant(answered + offset), is_correction=is_correction)

    @property
    def is_known(self) -> bool:
        """Whether the other machine ever answered, also if that was in an earlier run."""
        return self._offset is not None

    def at(self, boot: Span) -> Instant:
        """The other machine's time of day, at a moment of this one's boot-time clock."""
        assert self._offset is not None, "the other machine answered"
        return Instant(boot + self._offset)

    def error_at(self, boot: Span) -> Span:
        """By how much `at` may be wrong, in microseconds, if the other machine's clock made no step since it answered."""
        return drifted(Span(self._error), boot - self._learned_at)

    @property
    def drift(self) -> float:
        """How much faster the other machine's clock runs, in parts of one, as seen since its first answer or its last step."""
        offset, since = self._first
        passed = self._learned_at - since
        return (self._offset - offset) / passed if self._offset is not None and passed > 0 else 0.0


class LeastClock:
    """The time of day by the least that it was said to be for a while. What cannot be undone goes by it, so that a clock that
    is ahead has to stay so for that long before it does any harm.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._begun: Span | None = None
        self._before: int | None = None
        self._least = 0

    def read(self, now: Instant, boot: Span) -> None:
        """Take a reading of the time of day. The readings are at most a few seconds apart."""
        offset = now - boot
        if self._begun is None:
            self._begun, self._least = boot, offset
        elif boot - self._begun >= self._span:
            self._begun, self._before, self._least = boot, self._least, offset
        self._least = min(self._least, offset)

    def at(self, boot: Span) -> Instant | None:
        """The time of day; None if it has not been read for long enough. A step forward counts after twice that at most."""
        return None if self._before is None else self.so_far(boot)

    def so_far(self, boot: Span) -> Instant:
        """The time of day by all readings until now, at least the first one, however short the while."""
        return Instant(boot + (self._least if self._before is None else min(self._before, self._least)))
