"""The account's calendar: days and months in its own time zone, whatever its clocks do."""

from datetime import UTC, datetime
from zoneinfo import available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from creditmeter.core.credit.calendar import (
    FIRST_MOMENT,
    LAST_MOMENT,
    Calendar,
    Period,
    _zone,
    day_of,
    end_of_day,
    month_of,
    valid_time_zone,
)
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, from_datetime, to_datetime
from tests.core.credit.zones import RESTLESS_ZONES

ZONES = sorted(filter(valid_time_zone, available_timezones()))


def at(text: str) -> Instant:
    """The instant of an ISO text in UTC."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


EARLIEST, LATEST = at("1840-01-01"), at("2199-12-31")

zones = st.sampled_from(ZONES) | st.sampled_from(RESTLESS_ZONES)
calendars = st.builds(Calendar, zones, st.integers(1, 31))
anywhen = st.integers(EARLIEST, LATEST).map(Instant)
near_midnight = st.builds(
    lambda hours, seconds: Instant(EARLIEST + hours * HOUR + seconds * SECOND),
    st.integers(0, (LATEST - EARLIEST) // HOUR),
    st.integers(-5, 5),
)
moments = anywhen | near_midnight


@pytest.mark.parametrize(
    ("zone", "now", "key", "starts_at", "hours"),
    [
        ("UTC", "2026-03-01T00:00", "2026-03-01", "2026-03-01T00:00", 24),
        ("UTC", "2026-02-28T23:59:59.999999", "2026-02-28", "2026-02-28T00:00", 24),
        ("Asia/Kolkata", "2026-01-31T18:29", "2026-01-31", "2026-01-30T18:30", 24),
        ("Asia/Kolkata", "2026-01-31T18:30", "2026-02-01", "2026-01-31T18:30", 24),
        ("Europe/Berlin", "2026-03-29T12:00", "2026-03-29", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", "2026-10-25", "2026-10-24T22:00", 25),
        ("Australia/Lord_Howe", "2026-04-05T00:00", "2026-04-05", "2026-04-04T13:00", 24.5),
        # Clocks go from 23:59 to 01:00: this day has no midnight, and starts at one o'clock.
        ("Africa/Cairo", "2026-04-23T21:59", "2026-04-23", "2026-04-22T22:00", 24),
        ("Africa/Cairo", "2026-04-23T22:00", "2026-04-24", "2026-04-23T22:00", 23),
        # Clocks go from 23:59 back to 23:00: the day before is longer, and midnight comes once.
        ("Africa/Cairo", "2026-10-29T20:30", "2026-10-29", "2026-10-28T21:00", 25),
        ("Africa/Cairo", "2026-10-29T21:30", "2026-10-29", "2026-10-28T21:00", 25),
        ("Africa/Cairo", "2026-10-29T22:00", "2026-10-30", "2026-10-29T22:00", 24),
        # Clocks go from 00:59 back to 00:00: midnight comes twice, and the first one counts.
        ("America/Havana", "2025-11-02T04:00", "2025-11-02", "2025-11-02T04:00", 25),
        ("America/Havana", "2025-11-02T05:00", "2025-11-02", "2025-11-02T04:00", 25),
        # Clocks go from 00:00:59 back to 23:01 of the day before, which had ended: it does not come again.
        ("America/St_Johns", "2010-11-07T02:30", "2010-11-07", "2010-11-07T02:30", 25),
        ("America/St_Johns", "2010-11-07T02:45", "2010-11-07", "2010-11-07T02:30", 25),
        # Clocks go from 23:29 to 00:30.
        ("America/Toronto", "1919-03-31T04:29", "1919-03-30", "1919-03-30T05:00", 23.5),
        ("America/Toronto", "1919-03-31T04:30", "1919-03-31", "1919-03-31T04:30", 23.5),
        # 30 December was skipped, when Samoa moved across the date line.
        ("Pacific/Apia", "2011-12-30T09:59", "2011-12-29", "2011-12-29T10:00", 24),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-31", "2011-12-30T10:00", 24),
    ],
)
def test_the_day_of_a_moment(zone: str, now: str, key: str, starts_at: str, hours: float) -> None:
    """A day has the length that its zone's clocks give it."""
    start = at(starts_at)
    assert day_of(Calendar(zone), at(now)) == Period(key, start, Instant(start + int(hours * HOUR)))


@pytest.mark.parametrize(
    ("anchor", "year", "starts"),
    [
        (1, 2026, "01-01 02-01 03-01 04-01 05-01 06-01 07-01 08-01 09-01 10-01 11-01 12-01"),
        (15, 2026, "01-15 02-15 03-15 04-15 05-15 06-15 07-15 08-15 09-15 10-15 11-15 12-15"),
        (29, 2027, "01-29 02-28 03-29 04-29 05-29 06-29 07-29 08-29 09-29 10-29 11-29 12-29"),
        (29, 2028, "01-29 02-29 03-29 04-29 05-29 06-29 07-29 08-29 09-29 10-29 11-29 12-29"),
        (30, 2027, "01-30 02-28 03-30 04-30 05-30 06-30 07-30 08-30 09-30 10-30 11-30 12-30"),
        (30, 2028, "01-30 02-29 03-30 04-30 05-30 06-30 07-30 08-30 09-30 10-30 11-30 12-30"),
        (31, 2027, "01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31"),
        (31, 2028, "01-31 02-29 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_months_start_on_the_anchor_day(zone: str, anchor: int, year: int, starts: str) -> None:
    """A short month starts on its last day, and the next one on the anchor again, not on the last reset's day."""
    calendar = Calendar(zone, anchor)
    month = month_of(calendar, at(f"{year}-{starts[:5]}T12:00"))
    keys = [month.key]
    while len(keys) < 12:
        month = month_of(calendar, month.ends_at)
        keys.append(month.key)
    assert keys == [f"{year}-{start}" for start in starts.split()]


@pytest.mark.parametrize(
    ("now", "key"),
    [
        ("2026-03-30T23:59:59", "2026-02-28"),
        ("2026-03-31T00:00:00", "2026-03-31"),
        ("2026-12-31T00:00:00", "2026-12-31"),
        ("2027-01-30T12:00:00", "2026-12-31"),
        ("2027-01-31T00:00:00", "2027-01-31"),
    ],
)
def test_the_month_of_a_moment(now: str, key: str) -> None:
    """A month runs from anchor day to anchor day, across the turn of the year."""
    assert month_of(Calendar("UTC", 31), at(now)).key == key


def test_a_month_starts_at_local_midnight() -> None:
    """The anchor is a day of the account's zone."""
    month = month_of(Calendar("Africa/Cairo", 24), at("2026-05-01T00:00"))
    assert month == Period("2026-04-24", at("2026-04-23T22:00"), at("2026-05-23T21:00"))


def test_a_month_that_has_started_does_not_stop() -> None:
    """Clocks put back at 00:01 on the first show the month before once more, but its period is over."""
    month = month_of(Calendar("America/St_Johns"), at("2009-11-01T02:45"))
    assert month == Period("2009-11-01", at("2009-11-01T02:30"), at("2009-12-01T03:30"))


def test_a_month_anchored_on_a_skipped_day_starts_on_the_next() -> None:
    """Its key is the date of the first day that there was."""
    assert month_of(Calendar("Pacific/Apia", 30), at("2012-01-05T00:00")).key == "2011-12-31"


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-10-25T00:00", "2026-10-25T23:00"),
        ("2026-10-24T22:00", "2026-10-24T22:00"),
        ("2026-10-24T22:00:00.000001", "2026-10-25T23:00"),
        ("2026-10-25T23:00", "2026-10-25T23:00"),
    ],
)
def test_an_end_moves_to_the_end_of_its_day(moment: str, end: str) -> None:
    """Within a day it moves to that day's end; on a boundary it stays."""
    assert end_of_day(Calendar("Europe/Berlin"), at(moment)) == at(end)


@given(calendars, moments)
@example(Calendar("Pacific/Apia", 30), at("2011-12-30T10:00"))
@example(Calendar("America/Juneau", 19), at("1867-10-19T00:00"))
@example(Calendar("Asia/Manila", 31), at("1844-12-31T16:00"))
def test_periods_tile_time(calendar: Calendar, now: Instant) -> None:
    """Each instant is in one day and one month, and the next period starts where one ends, with a later key."""
    for period_of in (day_of, month_of):
        period = period_of(calendar, now)
        assert period.starts_at <= now < period.ends_at
        assert period_of(calendar, period.starts_at) == period
        assert period_of(calendar, Instant(period.ends_at - 1)) == period
        following = period_of(calendar, period.ends_at)
        assert following.starts_at == period.ends_at
        assert following.key > period.key
        before = period_of(calendar, Instant(period.starts_at - 1))
        assert before.ends_at == period.starts_at


@given(zones, moments)
def test_a_day_starts_at_the_first_instant_of_its_date(zone: str, now: Instant) -> None:
    """What the clocks of the zone show at the start is the day's date; nowhere earlier in time do they reach it."""
    calendar = Calendar(zone)
    day = day_of(calendar, now)
    assert _local_date(zone, day.starts_at) == day.key
    earlier = range(day.starts_at - 1, day.starts_at - 30 * HOUR, -10 * MINUTE)
    assert all(_local_date(zone, Instant(moment)) < day.key for moment in earlier)


@given(calendars, moments)
def test_months_are_made_of_whole_days(calendar: Calendar, now: Instant) -> None:
    """Each reset of a month is also one of a day."""
    month = month_of(calendar, now)
    first_day = day_of(calendar, month.starts_at)
    assert (first_day.key, first_day.starts_at) == (month.key, month.starts_at)
    assert day_of(calendar, month.ends_at).starts_at == month.ends_at
    assert 27 * DAY < month.ends_at - month.starts_at < 33 * DAY


@given(calendars, moments)
def test_the_end_of_a_day_is_the_first_boundary_from_there(calendar: Calendar, moment: Instant) -> None:
    """It is never earlier, it is a boundary, and moving there twice is moving there once."""
    end = end_of_day(calendar, moment)
    assert day_of(calendar, end).starts_at == end
    assert moment <= end
    assert end_of_day(calendar, end) == end
    assert end == moment or day_of(calendar, moment).ends_at == end


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Calcutta", "Etc/GMT+5"])
def test_iana_names_are_time_zones(name: str) -> None:
    """Links and zones of a fixed offset are names too."""
    assert valid_time_zone(name)
    assert Calendar(name).time_zone == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../etc/passwd", "/usr/share/zoneinfo/UTC", "Europe", "Europe/", "europe/berlin"),
        *("Mars/Phobos", "localtime", "posix/UTC", "posixrules", "tzdata.zi", "UTC ", "UTC\0", "CET-1CEST", "+02:00"),
    ],
)
def test_other_names_are_not(name: str) -> None:
    """Paths, folders, the host's own names, other spellings and offsets are refused."""
    assert not valid_time_zone(name)
    with pytest.raises(ValueError, match="IANA"):
        Calendar(name)


@pytest.mark.parametrize("anchor", [-1, 0, 32])
def test_an_anchor_is_a_day_of_a_month(anchor: int) -> None:
    """1 to 31, and nothing is clamped into it."""
    with pytest.raises(ValueError, match="anchor"):
        Calendar("UTC", anchor)


def _local_date(zone: str, moment: Instant) -> str:
    """The date that the zone's clocks show, found without the calendar's boundaries."""
    return to_datetime(moment).astimezone(_zone(zone)).date().isoformat()


# The ends of time.


at_the_ends = st.integers(0, 70 * DAY).map(lambda span: Instant(FIRST_MOMENT + span)) | st.integers(0, 70 * DAY).map(
    lambda span: Instant(LAST_MOMENT - span)
)


@given(calendars, at_the_ends)
@example(Calendar("Pacific/Kiritimati"), LAST_MOMENT)
@example(Calendar("Etc/GMT+12", 31), LAST_MOMENT)
@example(Calendar("Etc/GMT-14", 31), FIRST_MOMENT)
@example(Calendar("America/Los_Angeles", 15), FIRST_MOMENT)
def test_every_moment_that_can_be_written_has_a_day_and_a_month(calendar: Calendar, moment: Instant) -> None:
    """Also in the first and the last days of all, whose boundaries cannot be written in some zones."""
    for period in (day_of(calendar, moment), month_of(calendar, moment)):
        assert FIRST_MOMENT <= period.starts_at <= moment
        assert moment < period.ends_at <= LAST_MOMENT or moment == period.ends_at == LAST_MOMENT


@given(calendars, at_the_ends)
@example(Calendar("Etc/GMT+12"), LAST_MOMENT)
@example(Calendar("Etc/GMT-14"), LAST_MOMENT)
def test_what_ends_ends_on_a_midnight_that_can_be_written(calendar: Calendar, moment: Instant) -> None:
    """No later than the last one, the beginning of 31 December 9999, and for all moments before it at or after them."""
    end = end_of_day(calendar, moment)
    last = end_of_day(calendar, LAST_MOMENT)
    assert day_of(calendar, end).starts_at == end == end_of_day(calendar, end)
    assert day_of(calendar, last).key == "9999-12-31"
    assert min(moment, last) <= end <= last


@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("UTC", "9999-12-31T00:00"),
        ("Pacific/Kiritimati", "9999-12-30T10:00"),
        ("Etc/GMT+12", "9999-12-31T12:00"),
    ],
)
@pytest.mark.parametrize("never", ["9999-12-31T00:00", "9999-12-31T12:00:01", "9999-12-31T23:59:59.999999"])
def test_the_last_midnight_is_that_of_the_last_day(zone: str, last: str, never: str) -> None:
    """Usual ways to write "never" become it, the same one wherever within the last day they are."""
    assert end_of_day(Calendar(zone), at(never)) == at(last)
