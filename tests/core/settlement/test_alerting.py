"""What alerts are held against, read off a ledger, and what a ledger writes down when one fires."""

import pytest

from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.charges import Posting
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.low_balance import Measure
from creditmeter.core.instants import Instant, Span
from creditmeter.core.settlement.alert_thresholds import CreditLevel, Watch
from creditmeter.core.settlement.alerting import watch
from creditmeter.core.settlement.ledger import Contents, Ledger, PlanVersion
from creditmeter.core.values import replace
from tests.core.builders import account, at, charge, grant, mc, midnight_after, plan

NOON = at("10 12:00")
MIDNIGHT = midnight_after(NOON)


def ledger(*grants: Grant, now: Instant = NOON, plan_id: str | None = None, alerts: tuple[Alert, ...] = ()) -> Ledger:
    """An account with these grants, on one of two plans."""
    plans = {"daily": plan("daily", 30, 50), "monthly": plan("monthly", 0, 50)}
    versions = (PlanVersion(plans[plan_id], Instant(0)),) if plan_id else ()
    of = replace(account(plan_id=plan_id), alerts=alerts)
    balance = mc(sum(each.remaining for each in grants))
    return Ledger(Contents(of, balance=balance, plan_versions=versions, grants=grants), now)


DAYS_OWN = grant("day", 10, drawn=10, period_key="2026-03-10", ends=MIDNIGHT)

LEVELS = {
    "nothing": ((), 0, 0, 0),
    "an untouched grant": ((grant("a", 10),), 10, 0, 10),
    "a used one": ((grant("a", 10, drawn=4),), 6, 0, 6),
    "one that is used up": ((grant("a", 10, drawn=10), grant("b", 5, drawn=1)), 4, 0, 4),
    "what the plan gave counts whole to its end": ((DAYS_OWN,), 0, 10, 0),
    "what was voided of it was not given": (
        (grant("a", 10, drawn=2, period_key="2026-03-10", ends=MIDNIGHT).void(5),),
        3,
        5,
        0,
    ),
    "what was voided": ((grant("a", 10, drawn=2).void(5),), 3, 0, 3),
    "one that has not begun": ((grant("a", 10, begins=Instant(NOON + 1)), grant("b", 3)), 3, 0, 3),
    "one that begins now": ((grant("a", 10, begins=NOON),), 10, 0, 10),
    "one that has ended and not lapsed": ((grant("a", 10, ends=NOON), grant("b", 3)), 3, 0, 3),
    "the plan's that has ended and not lapsed": ((grant("a", 10, period_key="2026-03-09", ends=NOON), grant("b", 3)), 3, 0, 3),
    "one that ends in a moment": ((grant("a", 10, ends=Instant(NOON + 1)),), 10, 0, 10),
    "of all kinds": ((DAYS_OWN, grant("a", 10, kind=GrantKind.DAILY, ends=MIDNIGHT), grant("b", 20, drawn=5)), 25, 10, 25),
}


@pytest.mark.parametrize(("grants", "left", "plan_given", "others_left"), LEVELS.values(), ids=LEVELS)
def test_levels(grants: tuple[Grant, ...], left: int, plan_given: int, others_left: int) -> None:
    """The order in which grants were loaded makes no difference."""
    expected = CreditLevel(mc(left), mc(plan_given), mc(others_left))
    assert ledger(*grants).credit_level == ledger(*grants[::-1]).credit_level == expected


@pytest.mark.parametrize(
    ("plan_id", "period"), [("daily", "DAILY 2026-03-10"), ("monthly", "MONTHLY 2026-03-01"), (None, "MONTHLY 2026-03-01")]
)
def test_the_period_is_the_day_where_the_plan_gives_daily(plan_id: str | None, period: str) -> None:
    """Else the month."""
    kind, running = ledger(plan_id=plan_id).alert_period
    assert f"{kind.value} {running.key}" == period
    assert running.starts_at == at(f"{running.key[-2:]} 00:00")


def test_without_alerts_nothing_is_measured() -> None:
    """Touching is for every account."""
    touched = ledger(plan_id="daily")
    touched.touch()
    assert touched.credit_levels == []


def test_what_a_period_brings_is_seen_before_it_is_spent() -> None:
    """An account that was low, is given its day's credit, and spends most of it in one go."""
    low = Alert(amount=mc(10))
    opened = ledger(plan_id="daily", alerts=(low,))
    opened.touch()
    opened.draw(list(opened.grants.values()), 75)
    watched = watch(opened, {low: Watch(False, at("09 00:00"), mc(0), fired_at=at("09 12:00"))}, last_entry=7, elapsed=Span(0))
    (fired,) = watched.fired
    assert (fired.measure, fired.period, fired.fired_at) == (Measure(mc(5), mc(80)), "DAILY 2026-03-10", NOON)
    assert fired.number == 7 + 3, "after the two grants"
    assert [each.type for each in opened.changes.entries] == [EntryType.GRANTED, EntryType.GRANTED, EntryType.LOW_BALANCE]
    assert (opened.changes.entries[-1].amount, opened.changes.entries[-1].note) == (0, fired.note)
    assert watched.changed == {low: Watch(False, at("10 00:00"), mc(0), fired_at=NOON)}


def test_only_what_changed_is_told() -> None:
    """Most charges cross nothing: there is nothing to write."""
    alerts = (Alert(amount=mc(10)), Alert(percent=5), Alert(amount=mc(10)))
    opened = ledger(grant("a", 100), alerts=alerts)
    first = watch(opened, {}, 0, Span(0))
    assert first.changed == dict.fromkeys(alerts, Watch(True, at("01 00:00"), mc(100)))
    assert watch(opened, first.changed, 0, Span(0)).changed == {}
    assert opened.changes.entries == []


@pytest.mark.parametrize(("owed", "left"), [(4, 6), (10, 0), (15, 0)])
def test_debt_is_no_credit_that_is_left(owed: int, left: int) -> None:
    """Credit may be left while debt is owed: it is out on leases. Nobody has less than nothing."""
    posting = Posting(NOON, covered=mc(0), debt=mc(owed), uncovered=mc(0), refunded=mc(0), draws=())
    owing = replace(charge("c", excess=owed, committed=NOON), posting=posting)
    indebted = Ledger(Contents(account(), balance=mc(10), grants=(grant("a", 10),), charges=(owing,)), NOON)
    assert indebted.credit_level == CreditLevel(mc(left), mc(0), mc(10))
