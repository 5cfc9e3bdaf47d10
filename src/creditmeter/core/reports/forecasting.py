"""Forecasts: how long an account's credit lasts, and which plan would have been enough.

A forecast follows from a record of past days. A rate is what was drawn in these days, divided by their length. That is at least
one day, so that the first hour of a new account is not taken for its rate. Each bucket is projected at its own rate and within
its own window. The account as a whole is projected day by day at the rate of its cost, with what its plan gives each day and
month. Nothing is rounded before the end, and nothing is a float.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.grants import Grant, GrantKind, draw_key
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import GrantId
from creditmeter.core.instants import DAY, Instant, Span
from creditmeter.core.reports.findings import Finding, Habits, findings
from creditmeter.core.reports.plan_fit import smallest_plan

LOOKED_BACK = Span(30 * DAY)
"""The length of the record that a forecast follows from. The record begins no earlier than the account."""

PERMANENT_WINDOW = Span(30 * DAY)
"""The window of the permanent bucket, which has no period of its own."""


@dataclass(frozen=True, slots=True)
class Days:
    """What happened to an account in ``[start, end]``, and what it has at `end`. Amounts in microcredits.

    `drawn` and `lapsed` are by bucket, and so is `exhausted_days`: the number of local days on which the bucket was used up.
    `cost` is the cost of all charges. `needs` is the cost of each local day, by the moment at which the day starts, with the
    calls that were refused. `grants` are those that have credit left and are usable now or later. `plan` is the plan from now
    on.
    """

    start: Instant
    end: Instant
    schedule: Schedule
    drawn: Mapping[GrantKind, int]
    lapsed: Mapping[GrantKind, int]
    exhausted_days: Mapping[GrantKind, int]
    cost: int
    needs: Mapping[Instant, int]
    refused_count: int
    habits: Habits
    grants: tuple[Grant, ...] = ()
    plan: Plan | None = None
    debt: Microcredits = Microcredits(0)
    monthly_ran_out_at: Instant | None = None

    @property
    def length(self) -> Span:
        """The time over which rates are computed: at least one day."""
        return Span(max(self.end - self.start, DAY))


@dataclass(frozen=True, slots=True)
class BucketForecast:
    """How long one bucket lasts, at most to the end of its window. Amounts in microcredits.

    `runs_out_at` is None if the bucket lasts to the end of its window or longer.
    """

    kind: GrantKind
    remaining: Microcredits
    spent_per_day: Microcredits
    lasts: Span
    runs_out_at: Instant | None
    lapsed: Microcredits
    exhausted_days: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of an account. `runs_out_at` is None if its credit does not run out before the running month ends."""

    start: Instant
    end: Instant
    buckets: tuple[BucketForecast, ...]
    runs_out_at: Instant | None
    smallest_plan: Plan | None
    refused_count: int
    findings: tuple[Finding, ...]


def forecast(days: Days, plans: Iterable[Plan]) -> Forecast:
    """The forecast that follows from a record of days and the plans to choose from."""
    buckets = tuple(_bucket(days, kind) for kind in GrantKind)
    monthly = next(each for each in buckets if each.kind is GrantKind.MONTHLY)
    early = days.monthly_ran_out_at if days.monthly_ran_out_at is not None else monthly.runs_out_at
    left_of_month = 0 if early is None else (days.schedule.month_at(days.end).ends_at - early) // DAY
    return Forecast(
        start=days.start,
        end=days.end,
        buckets=buckets,
        runs_out_at=_runs_out_at(days),
        smallest_plan=smallest_plan(plans, days.needs, days.schedule),
        refused_count=days.refused_count,
        findings=findings(days.habits, left_of_month),
    )


def _bucket(days: Days, kind: GrantKind) -> BucketForecast:
    remaining = sum(each.remaining for each in days.grants if each.kind is kind and each.is_usable(days.end))
    drawn = days.drawn.get(kind, 0)
    window_end = _window_end(days, kind)
    window = window_end - days.end
    lasts = min(window, remaining * days.length // drawn) if drawn else window if remaining else 0
    return BucketForecast(
        kind=kind,
        remaining=Microcredits(remaining),
        spent_per_day=Microcredits(drawn * DAY // days.length),
        lasts=Span(lasts),
        runs_out_at=Instant(days.end + lasts) if drawn and lasts < window else None,
        lapsed=Microcredits(days.lapsed.get(kind, 0)),
        exhausted_days=days.exhausted_days.get(kind, 0),
    )


def _window_end(days: Days, kind: GrantKind) -> Instant:
    match kind:
        case GrantKind.DAILY:
            return days.schedule.day_at(days.end).ends_at
        case GrantKind.MONTHLY:
            return days.schedule.month_at(days.end).ends_at
        case GrantKind.PERMANENT:
            return Instant(days.end + PERMANENT_WINDOW)


def _runs_out_at(days: Days) -> Instant | None:
    """When the account's credit runs out at the rate of its cost; None if that is not before the running month ends.

    No grant ends within a day. So the use of a day may draw on all grants that are usable in it, in the order of deduction. A
    grant that begins within a day counts from the beginning of that day.
    """
    if not days.cost:
        return None
    rate = Fraction(days.cost, days.length)
    left = {each.grant_id: Fraction(each.remaining) for each in days.grants}
    grants = sorted(days.grants, key=draw_key)
    month_end = days.schedule.month_at(days.end).ends_at
    now, owed = days.end, Fraction(days.debt)
    while now < month_end:
        day_end = days.schedule.day_at(now).ends_at
        is_new = now > days.end
        daily = Fraction(days.plan.daily if days.plan and is_new else 0)
        usable = [each for each in grants if each.effective_at < day_end and not each.has_ended(now)]
        there = daily + sum(left[each.grant_id] for each in usable)
        use = rate * (day_end - now)
        if there < owed + use:
            return Instant(now + int(max(Fraction(0), there - owed) / rate))
        need = owed + use
        owed = Fraction(0)
        need -= _of_new_day(daily, usable, left, need)
        for each in usable:
            taken = min(need, left[each.grant_id])
            left[each.grant_id] -= taken
            need -= taken
        now = day_end
    return None


def _of_new_day(daily: Fraction, usable: Iterable[Grant], left: Mapping[GrantId, Fraction], need: Fraction) -> Fraction:
    """What of a need the plan's grant of a new day pays. Other daily grants, which end with the day or before, come first."""
    before = sum((left[each.grant_id] for each in usable if each.kind is GrantKind.DAILY), Fraction(0))
    return min(daily, max(Fraction(0), need - before))
