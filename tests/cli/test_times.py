"""Times as people read them."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from creditmeter.cli.times import by_clock, local_zone, short_time

SUMMER = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "at", "shown"),
    [
        ("UTC", datetime(2026, 11, 24, 14, 3, 27, tzinfo=UTC), "14:03:27"),
        ("UTC", datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC), "2026-11-23 23:59"),
        ("UTC", datetime(2026, 11, 24, tzinfo=UTC), "2026-11-24 00:00"),
        ("Asia/Tokyo", datetime(2026, 11, 24, 14, 3, 27, tzinfo=UTC), "23:03:27"),
        ("Asia/Tokyo", datetime(2026, 11, 24, 16, tzinfo=UTC), "2026-11-25 01:00"),
        ("Europe/Berlin", SUMMER, "2026-10-25 00:30"),
        ("Europe/Berlin", datetime(2026, 11, 24, 8, tzinfo=UTC), "09:00:00"),
        ("Asia/Tokyo", datetime(9999, 12, 31, 23, tzinfo=UTC), "9999-12-31 23:00Z"),
        ("America/New_York", datetime(1970, 1, 1, tzinfo=UTC), "1969-12-31 19:00"),
    ],
)
def test_times_are_local_and_short(monkeypatch: pytest.MonkeyPatch, zone: str, at: datetime, shown: str) -> None:
    """At noon in UTC: by the rules of the zone at that moment, and at the ends of the calendar, too."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    with by_clock(lambda: datetime(2026, 11, 24, 12, tzinfo=UTC)):
        assert short_time(at) == shown


@pytest.mark.parametrize(("value", "shown"), [("Asia/Tokyo", "23:03:27"), (":Asia/Tokyo", "23:03:27"), ("ABC-2", "16:03:27")])
def test_times_are_those_of_the_zone_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, shown: str
) -> None:
    """Also where the system itself has no zones, and only Python's own package knows them."""
    monkeypatch.setenv("TZDIR", str(tmp_path))
    monkeypatch.setenv("TZ", value)
    time.tzset()
    with by_clock(lambda: datetime(2026, 11, 24, 12, tzinfo=UTC)):
        assert short_time(datetime(2026, 11, 24, 14, 3, 27, tzinfo=UTC)) == shown
        assert local_zone() == value.removeprefix(":").removesuffix("-2")


@pytest.mark.parametrize(
    ("value", "name"),
    [("Europe/Berlin", "Europe/Berlin"), (":Europe/Berlin", "Europe/Berlin"), ("NOON-5", "NOON"), ("", "UTC"), ("../x", "UTC")],
)
def test_the_zone_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, value: str, name: str) -> None:
    """Or by its abbreviation where it has none; what is no zone is UTC, as for the system's own clock."""
    monkeypatch.setenv("TZ", value)
    time.tzset()
    assert local_zone() == name
