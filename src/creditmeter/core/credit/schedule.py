"""The periods of one account, through a change of its calendar.

When an account's time zone or anchor day changes, the day and the month that run keep their beginning and their key, and last
until the first boundary of the new calendar at or after their old end: for the day that is a midnight; for the month it is one
too while the anchor stays, so that each month of the year is granted once wherever the account moves, and with another anchor
it is that anchor's midnight. So the periods of an account follow on each other without gap or overlap, each is granted once,
none that runs is cut short, and moving to and fro gains nothing. A move westward may show a local date twice; the two days have
one key, but not one beginning.
"""

from dataclasses import dataclass, replace

from creditmeter.core.credit.calendar import Calendar, Period, day_of, end_of_day, month_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.instants import DAY, Instant, Span, after
from creditmeter.core.refusals import TimeZoneChangeTooSoon

PLAN_KINDS = (GrantKind.DAILY, GrantKind.MONTHLY)
"""The kinds of credit that a plan gives, each once in a period of its own: the day and the month."""

CALENDAR_REST = Span(30 * DAY)
"""How long after a change of its calendar an account's calendar stays as it is."""


@dataclass(frozen=True, slots=True)
class CalendarChange:
    """The last change of an account's calendar: when it was, and how long the day and the month that ran then last."""

    changed_at: Instant
    day: Period
    month: Period

    @property
    def may_change_at(self) -> Instant:
        """From when on the calendar may change again."""
        return after(self.changed_at, CALENDAR_REST)


@dataclass(frozen=True, slots=True)
class Schedule:
    """An account's calendar, and the last change that led to it; None if it is the first."""

    calendar: Calendar
    change: CalendarChange | None = None

    def day_at(self, moment: Instant) -> Period:
        """The account's day that contains the moment."""
        if self.change is not None and _contains(self.change.day, moment):
            return self.change.day
        return day_of(self.calendar, moment)

    def month_at(self, moment: Instant) -> Period:
        """The account's month that contains the moment."""
        if self.change is not None and _contains(self.change.month, moment):
            return self.change.month
        month = month_of(self.calendar, moment)
        if self.change is not None and month.starts_at < self.change.month.ends_at <= moment:
            return replace(month, starts_at=self.change.month.ends_at)  # after a move east, it had begun there before
        return month

    def period_at(self, kind: GrantKind, moment: Instant) -> Period:
        """The account's period of a plan's kind that contains the moment: the day for DAILY, the month for MONTHLY."""
        assert kind in PLAN_KINDS, f"{kind.value} credit has no periods"
        return self.day_at(moment) if kind is GrantKind.DAILY else self.month_at(moment)

    def end_of_day(self, moment: Instant) -> Instant:
        """The first end of a day at or after the moment; the last midnight of the calendar if there is none after it."""
        if self.change is not None and _contains(self.change.day, moment):
            return moment if moment == self.change.day.starts_at else self.change.day.ends_at
        return end_of_day(self.calendar, moment)

    def moved(self, calendar: Calendar, now: Instant) -> "Schedule | TimeZoneChangeTooSoon":
        """The periods if the calendar is this one from now on. The one that it is already may be named at any time."""
        if calendar == self.calendar:
            return self
        if self.change is not None and now < self.change.may_change_at:
            return TimeZoneChangeTooSoon(self.change.may_change_at)
        day, month = self.day_at(now), self.month_at(now)
        longer_day = Period(day.key, day.starts_at, end_of_day(calendar, day.ends_at))
        longer_month = Period(month.key, month.starts_at, self._end_of_running_month(calendar, month))
        return Schedule(calendar, CalendarChange(now, longer_day, longer_month))

    def _end_of_running_month(self, calendar: Calendar, month: Period) -> Instant:
        """Where the running month ends if the calendar is another one from now on.

        A move west may show the month's last day again, or more of it, in the new zone: that is no month of its own.
        """
        end = end_of_day if calendar.anchor_day == self.calendar.anchor_day else _end_of_month
        ends_at = end(calendar, month.ends_at)
        there = month_of(calendar, ends_at)
        return there.ends_at if there.key == month.key else ends_at

    def later_end(self, kind: GrantKind, period_key: str | None, expires_at: Instant) -> Instant:
        """Where a grant ends after the last change that had this end, still to come, before it. The plan's grants of the
        month that ran then end with it, all others with a day.
        """
        if self.change is not None and kind is GrantKind.MONTHLY and period_key == self.change.month.key:
            return self.change.month.ends_at
        return end_of_day(self.calendar, expires_at)


def _contains(period: Period, moment: Instant) -> bool:
    return period.starts_at <= moment < period.ends_at


def _end_of_month(calendar: Calendar, moment: Instant) -> Instant:
    """The first beginning of a month at or after the moment."""
    month = month_of(calendar, moment)
    return moment if moment == month.starts_at else month.ends_at
