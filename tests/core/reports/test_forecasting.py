"""How long credit lasts, by a record of some days."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.calendar import Calendar
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import GrantId, PlanId
from creditmeter.core.instants import DAY, HOUR, Instant, from_datetime
from creditmeter.core.reports.exhaustion import Usability, exhausted_days
from creditmeter.core.reports.findings import (
    EARLY_DAYS,
    IMAGE_HEAVY_PERCENT,
    LONG_SESSION_TOKENS,
    PARALLEL_RESERVATIONS,
    SEARCH_HEAVY_PERCENT,
    Habits,
    Reason,
    findings,
    most_at_once,
)
from creditmeter.core.reports.forecasting import BucketForecast, Days, forecast

NOON = from_datetime(datetime(2026, 11, 24, 12, tzinfo=UTC))
UTC_DAYS = Schedule(Calendar("UTC", 1))
MONTH_END = from_datetime(datetime(2026, 12, 1, tzinfo=UTC))


def grant(kind: GrantKind, left: int, *, days: int | None = None, begins_in: int = 0) -> Grant:
    """A grant with something left, which ends at the midnight after so many more days."""
    today = UTC_DAYS.day_at(NOON)
    return Grant(
        grant_id=GrantId(f"{kind.value}-{left}-{days}-{begins_in}"),
        kind=kind,
        amount=Microcredits(left),
        remaining=Microcredits(left),
        effective_at=Instant(today.starts_at + begins_in * DAY),
        expires_at=None if days is None else Instant(today.ends_at + days * DAY),
        source=GrantSource.PLAN,
        created_at=NOON,
    )


DAYS = Days(
    start=Instant(NOON - 10 * DAY),
    end=NOON,
    schedule=UTC_DAYS,
    drawn={},
    lapsed={},
    exhausted_days={},
    cost=0,
    needs={},
    refused_count=0,
    habits=Habits(),
)


def bucket(days: Days, kind: GrantKind) -> BucketForecast:
    """The forecast of one bucket."""
    return next(each for each in forecast(days, ()).buckets if each.kind is kind)


@pytest.mark.parametrize(
    ("kind", "left", "drawn", "lasts", "runs_out"),
    [
        pytest.param(GrantKind.DAILY, 30, 100, 12 * HOUR, False, id="a day's credit at 10 a day: to midnight, no further"),
        pytest.param(GrantKind.DAILY, 5, 100, 12 * HOUR, False, id="used up just at midnight: it lasts"),
        pytest.param(GrantKind.DAILY, 3, 240, 3 * HOUR, True, id="3 at 24 a day: three hours"),
        pytest.param(GrantKind.DAILY, 0, 240, 0, True, id="nothing left: now"),
        pytest.param(GrantKind.DAILY, 0, 0, 0, False, id="never had any: nothing runs out"),
        pytest.param(GrantKind.MONTHLY, 30, 100, 3 * DAY, True, id="30 at 10 a day: three days"),
        pytest.param(GrantKind.MONTHLY, 65, 100, 6 * DAY + 12 * HOUR, False, id="just to the end of the month"),
        pytest.param(GrantKind.MONTHLY, 5, 0, 6 * DAY + 12 * HOUR, False, id="not used: to the end of the month"),
        pytest.param(GrantKind.PERMANENT, 200, 100, 20 * DAY, True, id="200 at 10 a day: 20 days"),
        pytest.param(GrantKind.PERMANENT, 300, 100, 30 * DAY, False, id="30 days at the most"),
    ],
)
def test_a_bucket_lasts_within_its_own_window(kind: GrantKind, left: int, drawn: int, lasts: int, runs_out: bool) -> None:
    """At noon of 24 November in UTC, after ten days, with months from the first."""
    grants = (grant(kind, left, days={GrantKind.DAILY: 0, GrantKind.MONTHLY: 6}.get(kind)),) if left else ()
    found = bucket(replace(DAYS, drawn={kind: drawn}, grants=grants, lapsed={kind: 7}, exhausted_days={kind: 2}), kind)
    assert (found.remaining, found.spent_per_day, found.lasts) == (left, drawn // 10, lasts)
    assert found.runs_out_at == (NOON + lasts if runs_out else None)
    assert (found.lapsed, found.exhausted_days) == (7, 2)


def test_the_first_hour_of_an_account_says_no_more_than_it_knows() -> None:
    """What was used in it is what is used in a day; an account without any past has a forecast, too."""
    days = replace(
        DAYS,
        start=Instant(NOON - HOUR),
        drawn={GrantKind.PERMANENT: 10},
        cost=10,
        grants=(grant(GrantKind.PERMANENT, 100),),
    )
    found = bucket(days, GrantKind.PERMANENT)
    assert (found.spent_per_day, found.lasts, found.runs_out_at) == (10, 10 * DAY, NOON + 10 * DAY)
    assert bucket(replace(days, start=NOON, drawn={}), GrantKind.PERMANENT).runs_out_at is None


@pytest.mark.parametrize(
    ("left", "a_day", "daily", "runs_out_after"),
    [
        pytest.param({"DAILY": 10}, 10, 10, None, id="each day's credit is enough for it"),
        pytest.param({"DAILY": 10}, 24, 10, 10 * HOUR, id="today's is not"),
        pytest.param({"DAILY": 12, "MONTHLY": 20}, 24, 24, None, id="resets are considered"),
        pytest.param({"DAILY": 12, "MONTHLY": 24}, 24, 12, 3 * DAY, id="12 a day beyond the daily credit"),
        pytest.param({"PERMANENT": 24}, 24, 0, DAY, id="permanent credit alone"),
        pytest.param({"PERMANENT": 1_000}, 24, 0, None, id="not within the month"),
        pytest.param({}, 24, 0, 0, id="there is nothing"),
        pytest.param({}, 0, 0, None, id="nothing is used"),
    ],
)
def test_when_the_account_as_a_whole_runs_out(left: dict[str, int], a_day: int, daily: int, runs_out_after: int | None) -> None:
    """Lived through day by day from noon."""
    ends = {"DAILY": 0, "MONTHLY": 6}
    grants = tuple(grant(GrantKind(kind), amount, days=ends.get(kind)) for kind, amount in left.items())
    found = forecast(
        replace(DAYS, cost=10 * a_day, grants=grants, plan=Plan(PlanId("p"), Microcredits(daily), Microcredits(0))), ()
    )
    assert found.runs_out_at == (None if runs_out_after is None else NOON + runs_out_after)


def test_debt_and_grants_to_come_are_considered() -> None:
    """Debt is repaid first; a grant of tomorrow is there tomorrow, and one that has ended is not."""
    days = replace(DAYS, cost=240, grants=(grant(GrantKind.PERMANENT, 36),))
    assert forecast(days, ()).runs_out_at == NOON + 36 * HOUR
    assert forecast(replace(days, debt=Microcredits(24)), ()).runs_out_at == NOON + 12 * HOUR
    tomorrow = grant(GrantKind.PERMANENT, 24, begins_in=1)
    assert forecast(replace(days, grants=(*days.grants, tomorrow)), ()).runs_out_at == NOON + 60 * HOUR
    short = grant(GrantKind.PERMANENT, 36, days=0)
    assert forecast(replace(days, grants=(short,)), ()).runs_out_at == NOON + 12 * HOUR


@given(st.integers(0, 10**12), st.integers(1, 10**12), st.integers(1, 30 * DAY))
def test_what_a_bucket_spends_until_it_runs_out_is_what_was_left(left: int, drawn: int, length: int) -> None:
    """To the microcredit that the rate makes in a microsecond."""
    days = replace(
        DAYS,
        start=Instant(NOON - length),
        drawn={GrantKind.PERMANENT: drawn},
        grants=(grant(GrantKind.PERMANENT, left),) if left else (),
    )
    found = bucket(days, GrantKind.PERMANENT)
    rate = Fraction(drawn, days.length)
    if found.runs_out_at is not None:
        assert rate * found.lasts <= left < rate * (found.lasts + 1)
    else:
        assert rate * found.lasts <= left


@pytest.mark.parametrize(
    ("habits", "early", "expected"),
    [
        pytest.param(Habits(), 0, [], id="nothing"),
        pytest.param(Habits(), EARLY_DAYS, [(Reason.MONTHLY_RUNS_OUT_EARLY, EARLY_DAYS)], id="early"),
        pytest.param(Habits(), EARLY_DAYS - 1, [], id="not early"),
        pytest.param(
            Habits(text_calls=2, input_tokens=2 * LONG_SESSION_TOKENS),
            0,
            [(Reason.LONG_SESSIONS, LONG_SESSION_TOKENS)],
            id="long",
        ),
        pytest.param(Habits(text_calls=2, input_tokens=2 * LONG_SESSION_TOKENS - 1), 0, [], id="not long"),
        pytest.param(Habits(cost=100, image_cost=40), 0, [(Reason.IMAGE_HEAVY, IMAGE_HEAVY_PERCENT)], id="images"),
        pytest.param(Habits(cost=1000, image_cost=399), 0, [], id="some images"),
        pytest.param(Habits(cost=100, tool_cost=30), 0, [(Reason.SEARCH_HEAVY, SEARCH_HEAVY_PERCENT)], id="searches"),
        pytest.param(Habits(most_open=8), 0, [(Reason.PARALLEL_WORKFLOWS, PARALLEL_RESERVATIONS)], id="parallel"),
        pytest.param(Habits(most_open=7), 0, [], id="not parallel"),
    ],
)
def test_why_more_may_be_needed(habits: Habits, early: int, expected: list[tuple[Reason, int]]) -> None:
    """At or above its threshold a reason applies."""
    assert [(each.reason, each.observed) for each in findings(habits, early)] == expected


def test_monthly_credit_that_ran_out_early() -> None:
    """Whether it did so already, or will at this rate."""
    days = replace(DAYS, drawn={GrantKind.MONTHLY: 100}, grants=(grant(GrantKind.MONTHLY, 20, days=6),))
    assert [(each.reason, each.observed) for each in forecast(days, ()).findings] == [(Reason.MONTHLY_RUNS_OUT_EARLY, 4)]
    ran_out = replace(days, grants=(), monthly_ran_out_at=Instant(MONTH_END - 9 * DAY))
    assert [each.observed for each in forecast(ran_out, ()).findings] == [9]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 0),
        ([(0, 5)], 1),
        ([(0, 5), (5, 9)], 1),
        ([(0, 5), (4, 9), (4, 4)], 3),
        ([(3, 3)], 1),
    ],
)
def test_how_many_were_open_at_once(spans: list[tuple[int, int]], expected: int) -> None:
    """Where one ends as another begins, they do not meet."""
    assert most_at_once(spans) == expected


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        pytest.param([], 0, id="no grants"),
        pytest.param([(0, 24, None)], 0, id="not used up"),
        pytest.param([(0, 24, 20)], 1, id="used up in the evening"),
        pytest.param([(0, 24, 24)], 0, id="used up as it ended"),
        pytest.param([(0, 24, 1), (24, 48, None), (48, 72, 60)], 2, id="two of three days"),
        pytest.param([(0, 24 * 10, 24 * 7 + 1)], 3, id="the last days of a month"),
        pytest.param([(0, 24, 5), (10, 24, None)], 1, id="used up until more was given"),
        pytest.param([(0, 24, 12), (10, 24, None)], 0, id="one of two was left"),
    ],
)
def test_on_how_many_days_a_bucket_was_used_up(grants: list[tuple[int, int, int | None]], expected: int) -> None:
    """Hours since a midnight: from, to, used up at."""
    today = UTC_DAYS.day_at(NOON).starts_at

    def at(hours: int) -> Instant:
        return Instant(today + hours * HOUR)

    seen = [Usability(at(start), at(end), None if used is None else at(used)) for start, end, used in grants]
    assert exhausted_days(seen, UTC_DAYS) == expected
