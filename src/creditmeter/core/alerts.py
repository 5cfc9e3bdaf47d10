"""When an alert of low credit fires: as what is left falls from above its threshold to it or below, and once a period.

An alert that has fired is silent for the rest of the period, whatever happens in it. It fires again in a later one when more
than the threshold was left in between. One that is new on an account with no more than that waits until there was more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from creditmeter.core.accounts import Alert
from creditmeter.core.amounts import Microcredits, format_credits
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant

_WHOLE = 100


@dataclass(frozen=True, slots=True)
class Reading:
    """What was left of an account's usable grants, and what those gave, in microcredits."""

    left: Microcredits
    granted: Microcredits


@dataclass(frozen=True, slots=True)
class Watch:
    """How an alert stands: whether more than its threshold was left when it was last looked at, and in which period it fired
    last.
    """

    is_above: bool
    fired_in: str | None = None


@dataclass(frozen=True, slots=True)
class LowBalance:
    """An alert that fired. `number` is that of its line in the account's history; `period` names the kind of the period and the
    local date of its first day.
    """

    account_id: AccountId
    alert: Alert
    reading: Reading
    period: str
    fired_at: Instant
    number: int = 0

    @property
    def note(self) -> str:
        """What happened, for people."""
        left, granted = format_credits(self.reading.left), format_credits(self.reading.granted)
        if self.alert.percent:
            return f"{left} of {granted} credits left: the alert is at {self.alert.percent}%"
        return f"{left} credits left: the alert is at {format_credits(self.alert.amount)}"


def is_low(alert: Alert, reading: Reading) -> bool:
    """Whether what is left has come down to the threshold. With nothing left it has; 100 percent is for the first use."""
    if alert.amount:
        return reading.left <= alert.amount
    missing = alert.percent * reading.granted - _WHOLE * reading.left
    return reading.left <= 0 or missing > 0 or (missing == 0 and alert.percent < _WHOLE)


def look(alert: Alert, before: Watch | None, readings: Iterable[Reading], period: str) -> tuple[Watch, Reading | None]:
    """How an alert stands after some readings, and the one at which it fired, if it did. `before` is None for a new alert: its
    first reading is where it starts from.
    """
    watch, fired = before, None
    for reading in readings:
        low = is_low(alert, reading)
        if low and watch is not None and watch.is_above and watch.fired_in != period:
            watch, fired = Watch(is_above=False, fired_in=period), reading
        else:
            watch = Watch(not low) if watch is None else replace(watch, is_above=not low)
    assert watch is not None, "there is a reading at least"
    return watch, fired
