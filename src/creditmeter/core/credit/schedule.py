"""The periods of one account, through a change of its calendar.

When an account's time zone or anchor day changes, the running day and month keep their beginning and their key. They last until
the first boundary of the new calendar at or after their old end. For the day that is a midnight. For the month it is a midnight
too if the anchor day stays, so that each month of the year is granted once wherever the account moves; with another anchor day
it is the midnight of that day.

So the periods of an account follow each other without gap or overlap, each is granted once, no running period is cut short, and
moving to and fro gains nothing. After a move westward a local date may come twice: the two days have the same key, but
different beginnings.
"""

from creditmeter.core.credit.calendar import LAST_MOMENT, Calendar, Period, day_of, end_of_day, month_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.instants import DAY, Instant, Span, after
from creditmeter.core.refusals import TimeZoneChangeTooSoon
from creditmeter.core.values import Value, replace

PLAN_KINDS = (GrantKind.DAILY, GrantKind.MONTHLY)
"""The kinds of credit that a plan gives: DAILY once a day, MONTHLY once a month."""

CALENDAR_REST = Span(30 * DAY)
"""Shortest time between two changes of an account's calendar."""

_FURTHEST = 3 * DAY


class CalendarChange(Value, frozen=True):
    """The last change of an account's calendar: when it was, and the day and the month that ran then, with their new ends."""

    changed_at: Instant
    day: Period
    month: Period

    @property
    def may_change_at(self) -> Instant:
        """When the calendar may change again."""
        return after(self.changed_at, CALENDAR_REST)


class Schedule(Value, frozen=True):
    """An account's calendar, and the change that led to it; None if the calendar never changed."""

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
            return replace(month, starts_at=self.change.month.ends_at)  # it began before the extended month ended: a move east
        return month

    def period_at(self, kind: GrantKind, moment: Instant) -> Period:
        """The account's period of a plan's kind that contains the moment: the day for DAILY, the month for MONTHLY."""
        assert kind in PLAN_KINDS, f"{kind.value} credit has no periods"
        return self.day_at(moment) if kind is GrantKind.DAILY else self.month_at(moment)

    def period_named(self, kind: GrantKind, key: str, near: Instant, now: Instant) -> Period | None:
        """The period with this key that begins about then, as the calendar is now; None if none that is not over has the key.

        A change of the time zone moves a beginning by less than two days.
        """
        moment = max(now, Instant(near - _FURTHEST))
        while moment <= min(near + _FURTHEST, LAST_MOMENT - 1):
            period = self.period_at(kind, moment)
            if period.key == key:
                return period
            moment = period.ends_at
        return None

    def end_of_day(self, moment: Instant) -> Instant:
        """The first end of a day at or after the moment; the last midnight of the calendar if there is none after it."""
        if self.change is not None and _contains(self.change.day, moment):
            return moment if moment == self.change.day.starts_at else self.change.day.ends_at
        return end_of_day(self.calendar, moment)

    def moved(self, calendar: Calendar, now: Instant) -> "Schedule | TimeZoneChangeTooSoon":
        """The schedule with this calendar from now on; a refusal if the last change was too recent. One that lies in the future
        was made by a clock that was ahead.

        The present calendar may be named at any time: it changes nothing.
        """
        if calendar == self.calendar:
            return self
        if self.change is not None and self.change.changed_at <= now < self.change.may_change_at:
            return TimeZoneChangeTooSoon(self.change.may_change_at)
        day, month = self.day_at(now), self.month_at(now)
        longer_day = Period(day.key, day.starts_at, end_of_day(calendar, day.ends_at))
        longer_month = Period(month.key, month.starts_at, self._end_of_running_month(calendar, month))
        return Schedule(calendar, CalendarChange(now, longer_day, longer_month))

    def _end_of_running_month(self, calendar: Calendar, month: Period) -> Instant:
        """When the running month ends if the calendar is another one from now on.

        After a move west, the last day of the month or more of it may come again in the new zone. It is part of the same month.
        """
        end = end_of_day if calendar.anchor_day == self.calendar.anchor_day else _end_of_month
        ends_at = end(calendar, month.ends_at)
        there = month_of(calendar, ends_at)
        return there.ends_at if there.key == month.key else ends_at

    def later_end(self, kind: GrantKind, period_key: str | None, expires_at: Instant) -> Instant:
        """The end, after the last change, of a grant that was to end at `expires_at`, later than the change.

        The plan's grants of the month that ran then end with that month. All others end at the end of a day.
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
