"""An account's periods through changes of its calendar: without gap or overlap, and never shorter than they were."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.calendar import LAST_MOMENT, Calendar, Period, day_of, end_of_day, month_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.schedule import CALENDAR_REST, Schedule
from creditmeter.core.instants import DAY, HOUR, Instant, from_datetime
from creditmeter.core.refusals import TimeZoneChangeTooSoon
from tests.core.credit.zones import RESTLESS_ZONES

ZONES = (*RESTLESS_ZONES, "UTC", "Asia/Tokyo", "Europe/Berlin", "Etc/GMT+12", "Etc/GMT-14")
calendars = st.builds(Calendar, st.sampled_from(ZONES), st.integers(1, 31))


def at(text: str) -> Instant:
    """The instant of an ISO text in UTC."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def moved(schedule: Schedule, calendar: Calendar, now: Instant) -> Schedule:
    """A change that is not too soon."""
    after = schedule.moved(calendar, now)
    assert isinstance(after, Schedule)
    return after


@pytest.mark.parametrize(
    ("old", "new", "day_ends", "month_ends"),
    [
        # East: the old midnight is nine in the morning there.
        (Calendar("UTC", 1), Calendar("Asia/Tokyo", 1), "2026-03-11T15:00", "2026-04-01T15:00"),
        # West: a few hours more for both.
        (Calendar("UTC", 1), Calendar("America/New_York", 1), "2026-03-11T04:00", "2026-04-01T04:00"),
        # Another anchor does not move the day, and the month goes on to the next anchor after its end.
        (Calendar("UTC", 1), Calendar("UTC", 20), "2026-03-11T00:00", "2026-04-20T00:00"),
        (Calendar("UTC", 20), Calendar("UTC", 1), "2026-03-11T00:00", "2026-04-01T00:00"),
        (Calendar("UTC", 31), Calendar("UTC", 30), "2026-03-11T00:00", "2026-04-30T00:00"),
        # Both at once.
        (Calendar("UTC", 1), Calendar("Asia/Tokyo", 20), "2026-03-11T15:00", "2026-04-19T15:00"),
        # A link is another name for the same midnights.
        (Calendar("Asia/Kolkata", 1), Calendar("Asia/Calcutta", 1), "2026-03-10T18:30", "2026-03-31T18:30"),
    ],
)
def test_the_running_periods_last_until_a_boundary_of_the_new_calendar(
    old: Calendar, new: Calendar, day_ends: str, month_ends: str
) -> None:
    """The first one at or after their old end; they keep their beginnings and their keys."""
    now = at("2026-03-10T12:00")
    after = moved(Schedule(old), new, now)
    day, month = day_of(old, now), month_of(old, now)
    assert after.day_at(now) == Period(day.key, day.starts_at, at(day_ends))
    assert after.month_at(now) == Period(month.key, month.starts_at, at(month_ends))


def test_after_a_move_east_the_next_month_begins_late_and_ends_in_time() -> None:
    """April had begun in Tokyo when March ended in UTC: it begins for the account a day later, and each month comes once."""
    schedule = moved(Schedule(Calendar("UTC", 1)), Calendar("Asia/Tokyo", 1), at("2026-03-10T12:00"))
    april = schedule.month_at(at("2026-04-01T15:00"))
    assert april == Period("2026-04-01", at("2026-04-01T15:00"), at("2026-04-30T15:00"))
    assert schedule.month_at(at("2026-04-20T00:00")) == april
    assert schedule.month_at(april.ends_at).key == "2026-05-01"


def test_the_calendar_that_is_there_is_no_change() -> None:
    """It may be named at any time, and does not count as a change."""
    schedule = moved(Schedule(Calendar()), Calendar("Asia/Tokyo"), at("2026-03-10T12:00"))
    assert schedule.moved(Calendar("Asia/Tokyo"), at("2026-03-10T13:00")) == schedule
    assert Schedule(Calendar()).moved(Calendar(), at("2026-03-10T13:00")) == Schedule(Calendar())


def test_a_calendar_changes_once_in_thirty_days() -> None:
    """To the microsecond; the refusal says from when on it may."""
    now = at("2026-03-10T12:00")
    schedule = moved(Schedule(Calendar()), Calendar("Asia/Tokyo"), now)
    again = Instant(now + 30 * DAY)
    assert schedule.moved(Calendar(), Instant(again - 1)) == TimeZoneChangeTooSoon(again)
    assert isinstance(schedule.moved(Calendar("Asia/Tokyo", 5), Instant(again - 1)), TimeZoneChangeTooSoon)
    assert isinstance(schedule.moved(Calendar(), again), Schedule)


@given(calendars, st.lists(st.tuples(calendars, st.integers(0, 90 * 24)), min_size=1, max_size=4), st.integers(0, 1_000))
def test_periods_follow_on_each_other_through_all_changes(
    first: Calendar, changes: list[tuple[Calendar, int]], start: int
) -> None:
    """Each moment has one day and one month, a month ends where a day ends, and no change makes the running ones shorter."""
    now, schedule = Instant(at("2026-01-01T00:00") + start * 24 * HOUR), Schedule(first)
    for calendar, hours in changes:
        now = Instant(now + CALENDAR_REST + hours * HOUR)
        day, month = schedule.day_at(now), schedule.month_at(now)
        schedule = moved(schedule, calendar, now)
        for old, new in ((day, schedule.day_at(now)), (month, schedule.month_at(now))):
            assert (new.key, new.starts_at) == (old.key, old.starts_at)
            assert new.ends_at >= old.ends_at
        _assert_tiled(schedule, now)


def _assert_tiled(schedule: Schedule, now: Instant) -> None:
    day, month = schedule.day_at(now), schedule.month_at(now)
    for _ in range(4):
        for period, find in ((day, schedule.day_at), (month, schedule.month_at)):
            assert find(period.starts_at) == find(Instant(period.ends_at - 1)) == period
        assert schedule.end_of_day(month.ends_at) == month.ends_at == end_of_day(schedule.calendar, month.ends_at)
        following, next_month = schedule.day_at(day.ends_at), schedule.month_at(month.ends_at)
        assert (following.starts_at, next_month.starts_at) == (day.ends_at, month.ends_at)
        assert following.key >= day.key
        assert next_month.key > month.key
        day, month = following, next_month


@pytest.mark.parametrize("anchor", [1, 15, 31])
@pytest.mark.parametrize(("old", "new"), [("Pacific/Apia", "Pacific/Pago_Pago"), ("Etc/GMT-14", "Etc/GMT+12")])
def test_a_move_over_the_date_line_shows_no_month_twice(old: str, new: str, anchor: int) -> None:
    """The new zone is a day behind, where the month that ends has not ended: it lasts until it has there."""
    for hours in range(0, 60 * 24, 7):
        now = Instant(at("2026-01-01T00:00") + hours * HOUR)
        schedule = moved(Schedule(Calendar(old, anchor)), Calendar(new, anchor), now)
        assert schedule.month_at(now).ends_at == month_of(Calendar(new, anchor), schedule.month_at(now).ends_at).starts_at
        _assert_tiled(schedule, now)


@given(calendars, calendars, st.integers(0, 1_000 * 24), st.integers(0, 100))
def test_ends_to_come_move_to_a_boundary_that_no_day_crosses(old: Calendar, new: Calendar, start: int, days: int) -> None:
    """Never earlier, and never within a day: between two ends of days no grant ends."""
    now = Instant(at("2026-01-01T00:00") + start * HOUR)
    before = Schedule(old)
    end = before.day_at(now).ends_at
    for _ in range(days):
        end = before.day_at(end).ends_at
    after = moved(before, new, now)
    later = after.later_end(GrantKind.PERMANENT, None, end)
    assert end <= later == after.end_of_day(later)
    assert after.later_end(GrantKind.DAILY, before.day_at(now).key, before.day_at(now).ends_at) == after.day_at(now).ends_at
    month = before.month_at(now)
    assert after.later_end(GrantKind.MONTHLY, month.key, month.ends_at) == after.month_at(now).ends_at


def test_a_new_grants_end_within_a_longer_day_is_that_days_end() -> None:
    """Midnights of the new calendar that come before the old day's end are none for this account."""
    schedule = moved(Schedule(Calendar()), Calendar("Asia/Tokyo"), at("2026-03-10T12:00"))
    for moment in ("2026-03-10T13:00", "2026-03-10T15:00", "2026-03-11T00:00", "2026-03-11T15:00"):
        assert schedule.end_of_day(at(moment)) == at("2026-03-11T15:00")
    assert schedule.end_of_day(at("2026-03-11T15:01")) == at("2026-03-12T15:00")


@pytest.mark.parametrize(
    ("calendar", "kind", "key", "begins"),
    [
        (Calendar("Asia/Tokyo", 1), GrantKind.DAILY, "2026-11-26", "2026-11-25 15:00"),
        (Calendar("Asia/Tokyo", 1), GrantKind.DAILY, "2026-11-25", None),
        (Calendar("America/New_York", 1), GrantKind.DAILY, "2026-11-25", "2026-11-25 05:00"),
        (Calendar("America/New_York", 1), GrantKind.MONTHLY, "2026-12-01", "2026-12-01 05:00"),
        (Calendar("Asia/Tokyo", 1), GrantKind.MONTHLY, "2026-12-01", "2026-12-01 15:00"),
        (Calendar("UTC", 15), GrantKind.MONTHLY, "2026-12-01", None),
    ],
)
def test_the_period_of_a_key_after_a_change(calendar: Calendar, kind: GrantKind, key: str, begins: str | None) -> None:
    """A day that the longer running day takes in has none, nor has a month of another anchor day."""
    schedule = moved(Schedule(Calendar("UTC", 1)), calendar, at("2026-11-24 12:00"))
    period = schedule.period_named(kind, key, at(f"{key} 00:00"), at("2026-11-24 12:00"))
    assert (period and period.starts_at) == (begins and at(begins))
    assert period is None or period == schedule.period_at(kind, period.starts_at)


def test_no_period_begins_after_the_last_moment() -> None:
    """The search for a key ends there."""
    assert Schedule(Calendar()).period_named(GrantKind.DAILY, "none", LAST_MOMENT, LAST_MOMENT) is None


def test_a_day_that_the_running_one_takes_in_has_no_period() -> None:
    """The new zone is more than a day ahead: its next date begins before the running day does."""
    before, now = Schedule(Calendar("Pacific/Pago_Pago")), at("2026-11-10 11:30")
    key = before.day_at(before.day_at(now).ends_at).key
    after = moved(before, Calendar("Pacific/Kiritimati"), now)
    assert after.period_named(GrantKind.DAILY, key, before.day_at(now).ends_at, now) is None
