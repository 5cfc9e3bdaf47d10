"""When an alert of low credit fires: as what is left falls from above its threshold to it or below, and once a period.

An alert that has fired is silent for the rest of the period, whatever happens in it. It fires again in a later one when more
than the threshold was left in between. One that is new on an account with no more than that waits until there was more.

A share is of what the plan gave for the running day and month, and of the most that was left of all other grants since the
period began: so the whole does not shrink by spending, and a refund to a grant that was used up does not bring all of it back.
Periods go by moments, not by names: a date may come twice, and an account may change to a plan with other periods, and back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.low_balance import Measure
from creditmeter.core.instants import Instant

_WHOLE = 100


@dataclass(frozen=True, slots=True)
class Reading:
    """An account at a moment, in microcredits: what is left of its usable grants, less debt; what the plan gave for the running
    day and month, used up or not; and what is left of the other grants.
    """

    left: Microcredits
    plan_given: Microcredits
    others_left: Microcredits


@dataclass(frozen=True, slots=True)
class Watch:
    """How an alert stands: whether more than its threshold was left when it was last looked at, when the period began that ran
    then, the most that was left of other grants than the plan's since, and when it fired last. `waits_at` is what was left when
    it came to its threshold by no fall: by a refund, say, that went with a charge as large. It fires once less is left.
    """

    is_above: bool
    period_starts_at: Instant
    others_most: Microcredits
    fired_at: Instant | None = None
    waits_at: Microcredits | None = None

    def most_of(self, others_left: Microcredits, period_starts_at: Instant) -> Microcredits:
        """The most that was left of other grants in a period; a new one begins with what is left now."""
        return max(self.others_most, others_left) if self.period_starts_at == period_starts_at else others_left


def is_low(alert: Alert, measure: Measure) -> bool:
    """Whether what is left has come down to the threshold. With nothing left it has; 100 percent is for the first use."""
    if alert.amount:
        return measure.left <= alert.amount
    missing = alert.percent * measure.granted - _WHOLE * measure.left
    return measure.left <= 0 or missing > 0 or (missing == 0 and alert.percent < _WHOLE)


def look(
    alert: Alert, before: Watch | None, readings: Iterable[Reading], period_starts_at: Instant, now: Instant
) -> tuple[Watch, Measure | None]:
    """How an alert stands after the readings of a transaction, and at what it fired, if it did. `before` is None for a new
    alert: its first reading is where it starts from.

    It fires on a fall only: where no less is left than at the reading before, it stays above, and waits for one.
    """
    watch, fired = before, None
    last = before.waits_at if before else None
    for reading in readings:
        most = watch.most_of(reading.others_left, period_starts_at) if watch else reading.others_left
        measure = Measure(reading.left, Microcredits(reading.plan_given + most))
        low, fell = is_low(alert, measure), last is None or reading.left < last
        was_above, fired_at = (watch.is_above, watch.fired_at) if watch else (False, None)
        if low and fell and was_above and (fired_at is None or fired_at < period_starts_at):
            fired_at, fired = now, measure
        waits = low and was_above and not fell
        watch = Watch(not low or waits, period_starts_at, most, fired_at, reading.left if waits else None)
        last = reading.left
    assert watch is not None, "there is a reading at least"
    return watch, fired
