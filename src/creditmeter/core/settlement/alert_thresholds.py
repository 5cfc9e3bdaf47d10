"""When an alert of low credit fires: once a period, when what is left falls from above its threshold to the threshold or below.

An alert that has fired is silent for the rest of the period. It fires again in a later period if more than the threshold was
left in between. A new alert on an account that has no more than the threshold waits until the account had more.

A percentage is a share of a whole: what the plan gave for the running day and month, and the most that was left of all other
grants since the period began. So the whole does not shrink by spending, and a refund to a grant that was used up does not bring
all of it back. A period is identified by the moment at which it starts, not by its date: a date may come twice, and an account
may change to a plan with other periods and back.

Where the clock is set back behind a firing, nobody can tell whether it was ahead then or is behind now. The alert is silent for
the rest of the period that the account comes to, and it remembers the firing. Once `BELIEVED_AFTER` of the store's elapsed time
(see `elapsed`) is counted, the clock was ahead and the firing is forgotten: what it was for has not come. If its moment is
reached before that, the clock was behind for a while, and the firing counts. Where the clock goes on by more than the elapsed
time, it was set anew, or nobody counted: an alert that would fire waits until so much is counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.low_balance import Measure
from creditmeter.core.elapsed import LONGEST_COUNTED
from creditmeter.core.instants import HOUR, Instant, Span

BELIEVED_AFTER = Span(HOUR)
"""How much elapsed time is counted since the clock was set back until a firing that lies in the future is forgotten."""

MOST_AHEAD_KEPT = 8
"""Most firings in the future that an alert remembers; the earliest are kept."""

_WHOLE = 100


@dataclass(frozen=True, slots=True)
class CreditLevel:
    """How much credit an account has at a moment, in microcredits.

    `left` is what is left of its usable grants, less debt. `plan_given` is what the plan gave for the running day and month,
    used up or not. `others_left` is what is left of all other grants.
    """

    left: Microcredits
    plan_given: Microcredits
    others_left: Microcredits


@dataclass(frozen=True, slots=True)
class Watch:
    """The state of an alert between two transactions. Amounts in microcredits.

    `is_above`: more than the threshold was left at the last look. `period_starts_at`: when the period of that look began.
    `others_most`: the most that was left, since then, of grants that are not the plan's. `fired_at`: when it last fired,
    or when the clock was set back behind that. `waits_at`: what was left when the threshold was reached without a fall, such as
    by a refund together with a charge of the same size. The alert then fires once less than that is left. `ahead`: when it
    fired at moments that lay in the future at the last look, in their order. `ahead_since`: the store's elapsed time when the
    clock was last set back behind one of them.
    """

    is_above: bool
    period_starts_at: Instant
    others_most: Microcredits
    fired_at: Instant | None = None
    waits_at: Microcredits | None = None
    ahead: tuple[Instant, ...] = ()
    ahead_since: Span | None = None

    def most_of(self, others_left: Microcredits, period_starts_at: Instant) -> Microcredits:
        """The most that was left of other grants in a period, in microcredits. A new period begins with what is left now."""
        return max(self.others_most, others_left) if self.period_starts_at == period_starts_at else others_left


def is_low(alert: Alert, measure: Measure) -> bool:
    """Whether what is left is at the threshold or below; 0 always is. At 100 percent only what is full is above it."""
    if alert.amount:
        return measure.left <= alert.amount
    missing = alert.percent * measure.granted - _WHOLE * measure.left
    return measure.left <= 0 or missing > 0 or (missing == 0 and alert.percent < _WHOLE)


@dataclass(frozen=True, slots=True)
class _Firings:
    """When an alert last fired or was set back behind a firing, and its firings that lie in the future: see `Watch`. It
    `is_doubtful` whether the clock is right if it went on by more since then than was counted.
    """

    fired_at: Instant | None = None
    ahead: tuple[Instant, ...] = ()
    ahead_since: Span | None = None
    is_doubtful: bool = False


def _firings(watch: Watch | None, now: Instant, elapsed: Span) -> _Firings:
    """The firings of an alert as things are at `now`, when the store's elapsed time is `elapsed`."""
    if watch is None or watch.fired_at is None:
        return _Firings()
    if watch.fired_at > now:
        return _Firings(now, (watch.fired_at, *watch.ahead)[:MOST_AHEAD_KEPT], elapsed)
    if not watch.ahead:
        return _Firings(watch.fired_at)
    since = elapsed if watch.ahead_since is None else watch.ahead_since  # an older program noted none
    passed = elapsed - since
    is_doubtful = watch.ahead_since is not None and now - watch.fired_at > passed + LONGEST_COUNTED
    reached = [each for each in watch.ahead if each <= now]
    if passed >= BELIEVED_AFTER and not (is_doubtful and reached):
        return _Firings(watch.fired_at)
    ahead = tuple(each for each in watch.ahead if each > now)
    return _Firings(max([watch.fired_at, *reached]), ahead, since if ahead else None, is_doubtful)


def look(
    alert: Alert, before: Watch | None, levels: Iterable[CreditLevel], period_starts_at: Instant, now: Instant, elapsed: Span
) -> tuple[Watch, Measure | None]:
    """The state of an alert after the levels of a transaction, and the measure at which it fired; None if it did not fire.
    `elapsed` is the store's elapsed time.

    `before` is None for a new alert, which starts from its first level. An alert fires on a fall only: where no less is left
    than at the level before, it stays above its threshold and waits for a fall. So does one of which it is doubtful whether it
    may fire again.
    """
    watch, fired = before, None
    firings = _firings(before, now, elapsed)
    fired_at = firings.fired_at
    last = before.waits_at if before else None
    for level in levels:
        most = watch.most_of(level.others_left, period_starts_at) if watch else level.others_left
        measure = Measure(level.left, Microcredits(level.plan_given + most))
        low, fell = is_low(alert, measure), last is None or level.left < last
        was_above = watch is not None and watch.is_above
        fires = low and fell and was_above and (fired_at is None or fired_at < period_starts_at)
        if fires and not firings.is_doubtful:
            fired_at, fired = now, measure
        waits = low and was_above and not fell
        waits_at = level.left if waits else None
        is_above = not low or waits or (fires and firings.is_doubtful)
        watch = Watch(is_above, period_starts_at, most, fired_at, waits_at, firings.ahead, firings.ahead_since)
        last = level.left
    assert watch is not None, "a transaction has at least one level"
    return watch, fired
