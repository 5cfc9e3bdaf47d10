"""Times as text for people: short, and in the time zone of the terminal.

A time of today is shown without its date, unless it is a midnight, which might be taken for tomorrow's. Any other time is shown
without its seconds. `--json` and `--csv` have the full time in UTC.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from creditmeter.core.instants import Instant, to_datetime

Clock = Callable[[], datetime]
"""Returns the present moment, with a time zone."""


def system_clock() -> datetime:
    """The present moment by this machine's clock."""
    return datetime.now(UTC)


_LOCAL_TIME = Path("/etc/localtime")
_ZONES = "zoneinfo/"
_clock: ContextVar[Clock] = ContextVar("clock", default=system_clock)


@contextmanager
def by_clock(clock: Clock) -> Iterator[None]:
    """Take the present moment from `clock` while the block runs."""
    token = _clock.set(clock)
    try:
        yield
    finally:
        _clock.reset(token)


def now() -> datetime:
    """The present moment."""
    return _clock.get()()


def short_time(at: datetime) -> str:
    """A moment in local time: `14:03:27` today, `2026-11-24 14:03` on any other day or at midnight."""
    zone = _zone()
    try:
        local = at.astimezone(zone)
    except (OverflowError, OSError, ValueError):  # near the years 1 and 9999
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"
    is_today = local.date() == now().astimezone(zone).date()
    is_midnight = (local.hour, local.minute, local.second) == (0, 0, 0)
    return f"{local:%H:%M:%S}" if is_today and not is_midnight else f"{local:%Y-%m-%d %H:%M}"


def local_zone() -> str:
    """Name of the terminal's time zone: `Europe/Berlin` if that is known, else its abbreviation, such as `CET`."""
    zone = _zone()
    return zone.key if zone is not None else now().astimezone().tzname() or "UTC"


def _zone() -> ZoneInfo | None:
    """The terminal's time zone; None if its name is not known.

    It is found by name because the system may lack the zones that Python brings along, and its clock would then show UTC.
    """
    name = os.environ.get("TZ")
    if name is None:
        name = os.path.realpath(_LOCAL_TIME).partition(_ZONES)[2]
    try:
        return ZoneInfo(name.removeprefix(":"))
    except (KeyError, OSError, ValueError):  # a zone that is not known is a KeyError
        return None


def short_instant(at: Instant) -> str:
    """A moment of the core in local time, as `short_time` writes it."""
    return short_time(to_datetime(at))
