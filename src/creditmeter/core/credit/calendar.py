"""An account's calendar: the local day and the month that a moment belongs to.

Periods are found by their boundaries, not by what clocks show. A local date starts at the first instant whose local date is
that date or a later one, and a moment belongs to the last day that has started. So each instant has one period, and the periods
follow each other without gap or overlap: also where a day has 23 or 25 hours, where a midnight does not exist (clocks jump from
23:59 to 01:00), where a midnight occurs twice (the first one counts), and where a zone skipped a date.

Calendars cover the years that can be written, 1 to 9999. The first day begins and the last day ends with them in every zone.
The last midnight is the beginning of 31 December 9999, and what would end after it ends there.

Time zones are IANA names. Their rules come from the `tzdata` package and not from the host, so every process with the same
version of the package agrees on every midnight. The rules of a zone are read when it is first used, and kept.
"""

from calendar import monthrange
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from creditmeter.core.instants import Instant, from_datetime, to_datetime
from creditmeter.core.values import Value

LAST_ANCHOR_DAY = 31

FIRST_MOMENT = from_datetime(datetime.min.replace(tzinfo=UTC))
LAST_MOMENT = from_datetime(datetime.max.replace(tzinfo=UTC))
"""The first and the last moment that can be written as a date."""

_DAY_STARTS_KEPT = 16_384
_ZONES_KEPT = 1_024
_ONE_DAY = timedelta(days=1)


class Calendar(Value, frozen=True):
    """When an account's periods start: at local midnights of `time_zone`, and its months on `anchor_day` (1 to 31).

    Raises:
        ValueError: the zone is not an IANA name, or the anchor is not a day of a month.
    """

    time_zone: str = "UTC"
    anchor_day: int = 1

    def __post_init__(self) -> None:
        """Check that periods can be computed."""
        if not valid_time_zone(self.time_zone):
            raise ValueError(f"{self.time_zone!r} is not the name of an IANA time zone")
        if not 1 <= self.anchor_day <= LAST_ANCHOR_DAY:
            raise ValueError(f"an anchor day is 1 to {LAST_ANCHOR_DAY}, not {self.anchor_day}")


class Period(Value, frozen=True):
    """One day or one month of a calendar: `[starts_at, ends_at)`. Its key is the local date (ISO) of its first day."""

    key: str
    starts_at: Instant
    ends_at: Instant


def valid_time_zone(name: str) -> bool:
    """Whether the name is that of an IANA zone, in IANA's spelling. Links such as ``Asia/Calcutta`` are valid names."""
    return name in _zone_names()


def day_of(calendar: Calendar, now: Instant) -> Period:
    """The local day that contains the moment."""
    zone = calendar.time_zone
    day = _local_date(zone, now)  # it has started; clocks put back may show a date that is over
    while (ends_at := _day_end(zone, day)) <= now < LAST_MOMENT:
        day += _ONE_DAY
    return Period(day.isoformat(), _day_start(zone, day), ends_at)


def day_of_month(time_zone: str, moment: Instant) -> int:
    """The day of the month, 1 to 31, of a moment in a time zone."""
    return date.fromisoformat(day_of(Calendar(time_zone), moment).key).day


def month_of(calendar: Calendar, now: Instant) -> Period:
    """The month that contains the moment, from anchor day to anchor day.

    In a month without the anchor day it starts on the last day. The next month goes by the anchor day again: 31 January,
    28 February, 31 March.
    """
    today = _local_date(calendar.time_zone, now)
    month = _Month(today.year, today.month)
    while now < month.starts_at(calendar):
        month = month.shifted(-1)
    while (ends_at := month.shifted(1).starts_at(calendar)) <= now < LAST_MOMENT:
        month = month.shifted(1)
    starts_at = month.starts_at(calendar)
    return Period(_local_date(calendar.time_zone, starts_at).isoformat(), starts_at, ends_at)


def end_of_day(calendar: Calendar, moment: Instant) -> Instant:
    """The first local midnight at or after the moment. From the last midnight of the calendar on, that midnight."""
    day = day_of(calendar, moment)
    is_last = day.ends_at >= LAST_MOMENT
    return day.starts_at if is_last or moment == day.starts_at else day.ends_at


class _Month(Value, frozen=True):
    """A month of the year, whose period starts on a calendar's anchor day within it."""

    year: int
    month: int

    def shifted(self, months: int) -> "_Month":
        years, month = divmod(self.month - 1 + months, 12)
        return _Month(self.year + years, month + 1)

    def starts_at(self, calendar: Calendar) -> Instant:
        if self.year < MINYEAR:
            return FIRST_MOMENT
        if self.year > MAXYEAR:
            return LAST_MOMENT
        _, last_day = monthrange(self.year, self.month)
        first = date(self.year, self.month, min(calendar.anchor_day, last_day))
        return _day_start(calendar.time_zone, first)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    """The names that the tzdata package lists. No path, directory or name of the host's own is among them."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@lru_cache(maxsize=_ZONES_KEPT)
def _zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo").joinpath(*name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def _local_date(zone: str, moment: Instant) -> date:
    """The local date of the moment; the first or last date there is if the local date cannot be written."""
    try:
        return to_datetime(moment).astimezone(_zone(zone)).date()
    except OverflowError:
        return date.max if moment > 0 else date.min


def _day_end(zone: str, day: date) -> Instant:
    return LAST_MOMENT if day == date.max else _day_start(zone, day + _ONE_DAY)


@lru_cache(maxsize=_DAY_STARTS_KEPT)
def _day_start(zone: str, day: date) -> Instant:
    """The first instant whose local date is `day` or later.

    With `fold=0` (PEP 495) a midnight that occurs twice is the first of the two. A midnight that clocks jump over lies at the
    jump or after it with `fold=0`, and at the jump or before it with `fold=1`. Between the two there is one jump, at which the
    day starts.
    """
    if day == date.min:
        return FIRST_MOMENT
    midnight = datetime.combine(day, time(), tzinfo=_zone(zone))
    first = from_datetime(midnight.astimezone(UTC))
    before = from_datetime(midnight.replace(fold=1).astimezone(UTC))
    while before < first:
        middle = Instant((before + first) // 2)
        if _local_date(zone, middle) >= day:
            first = middle
        else:
            before = Instant(middle + 1)
    return first
