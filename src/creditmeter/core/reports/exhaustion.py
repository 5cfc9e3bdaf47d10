"""When a bucket was used up: at the moments when grants of its kind were usable and none of them had credit left."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.instants import Instant


@dataclass(frozen=True, slots=True)
class Usability:
    """When a grant was usable, ``[starts_at, ends_at)``, and when it was used up.

    `used_up_at` is None if some of the grant is left, lapsed or was voided.
    """

    starts_at: Instant
    ends_at: Instant
    used_up_at: Instant | None


def exhausted_spans(grants: Iterable[Usability]) -> Iterator[tuple[Instant, Instant]]:
    """The spans of time in which a bucket of these grants was used up."""
    usable = empty = 0
    since: Instant | None = None
    for moment, changes in sorted(_changes(grants).items()):
        usable += changes[0]
        empty += changes[1]
        is_exhausted = usable > 0 and usable == empty
        if is_exhausted and since is None:
            since = moment
        elif not is_exhausted and since is not None:
            yield since, moment
            since = None
    assert since is None, "every grant's end is among the changes"


def _changes(grants: Iterable[Usability]) -> dict[Instant, list[int]]:
    """For each moment, the changes of two counts: of usable grants, and of those among them that are used up."""
    found: dict[Instant, list[int]] = {}
    for each in grants:
        if each.starts_at >= each.ends_at:
            continue
        found.setdefault(each.starts_at, [0, 0])[0] += 1
        found.setdefault(each.ends_at, [0, 0])[0] -= 1
        if each.used_up_at is not None and each.used_up_at < each.ends_at:
            found.setdefault(max(each.used_up_at, each.starts_at), [0, 0])[1] += 1
            found[each.ends_at][1] -= 1
    return found


def exhausted_days(grants: Iterable[Usability], schedule: Schedule) -> int:
    """The number of local days on which a bucket of these grants was used up for some time."""
    days = set()
    for start, end in exhausted_spans(grants):
        moment = start
        while moment < end:
            day = schedule.day_at(moment)
            days.add(day.starts_at)
            moment = day.ends_at
    return len(days)
