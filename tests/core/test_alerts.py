"""When an alert of low credit fires: a table of cases, then any sequence of balances and periods at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.accounts import Alert
from creditmeter.core.alerts import LowBalance, Reading, Watch, is_low, look
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from tests.core.builders import mc

AT_50 = Alert(amount=mc(50))
AT_10_PERCENT = Alert(percent=10)
AT_100_PERCENT = Alert(percent=100)


def reading(left: int, granted: int = 100) -> Reading:
    """What was left of what was granted."""
    return Reading(mc(left), mc(granted))


def fired(alert: Alert, told: str) -> str:
    """The readings at which an alert fired. `told` is a line of readings, `|` where a period ends; those joined by `>` are of
    one transaction.
    """
    watch: Watch | None = None
    found = []
    for number, period in enumerate(told.split("|")):
        for transaction in period.split():
            readings = [reading(*map(int, each.split("/"))) for each in transaction.split(">")]
            watch, low = look(alert, watch, readings, f"DAILY {number}")
            if low is not None:
                found.append(f"{number}:{low.left}")
    return " ".join(found)


CASES = {
    "nothing happens": (AT_50, "100 90 51", ""),
    "it falls below": (AT_50, "100 49", "0:49"),
    "it falls to the threshold just so": (AT_50, "100 50", "0:50"),
    "one microcredit above is above": (AT_50, "100 51", ""),
    "it falls further": (AT_50, "100 40 30 0", "0:40"),
    "it comes back within the period and falls again": (AT_50, "100 40 90 30", "0:40"),
    "it falls once in each period": (AT_50, "100 40 | 100 30 | 100 20", "0:40 1:30 2:20"),
    "it stays low over a period's end": (AT_50, "100 40 | 40 30 | 20", "0:40"),
    "it comes back in a later period only": (AT_50, "100 40 | 40 90 45", "0:40 1:45"),
    "it came back in the old period and falls in the new one": (AT_50, "100 40 90 | 45", "0:40 1:45"),
    "a new alert on an account with less": (AT_50, "40 30", ""),
    "a new alert on an account with less, which is topped up": (AT_50, "40 100 30", "0:30"),
    "a new alert on an account with less, over periods": (AT_50, "40 | 30 | 60 | 50", "3:50"),
    "a new alert and a charge in one transaction": (AT_50, "100>30", "0:30"),
    "a period's credit comes and goes in one transaction": (AT_50, "100 40 | 100>20", "0:40 1:20"),
    "it is low for a moment of a transaction": (AT_50, "100 100>30>90 20", "0:30"),
    "a share is reached": (AT_10_PERCENT, "100 11 10", "0:10"),
    "a share rounds nowhere": (AT_10_PERCENT, "1/1 101/1001 100/1001", "0:100"),
    "what was granted grows": (AT_10_PERCENT, "100 15 15/150", "0:15"),
    "all is used up and no grant counts any more": (AT_10_PERCENT, "100 0/0", "0:0"),
    "nothing was ever granted": (AT_10_PERCENT, "0/0 0/0 | 0/0", ""),
    "a whole hundred: the first use": (AT_100_PERCENT, "100 99", "0:99"),
    "a whole hundred: unused is above": (AT_100_PERCENT, "100 100 | 100 | 99", "2:99"),
    "a whole hundred: all at once": (AT_100_PERCENT, "100 0/0", "0:0"),
}


@pytest.mark.parametrize(("alert", "told", "expected"), CASES.values(), ids=CASES)
def test_cases(alert: Alert, told: str, expected: str) -> None:
    """Which readings an alert fires at."""
    assert fired(alert, told) == expected


balances = st.integers(0, 120)
days = st.lists(st.lists(balances, max_size=6), max_size=6)
alerts = st.one_of(
    st.builds(lambda amount: Alert(amount=mc(amount)), st.integers(1, 120)),
    st.builds(lambda percent: Alert(percent=percent), st.integers(1, 100)),
)


@given(alerts, days, st.booleans())
def test_it_fires_once_a_period_and_only_on_crossings(alert: Alert, days: list[list[int]], at_once: bool) -> None:
    """Held against a plain account of it: the first crossing of each period, and nothing else. How the readings are spread over
    transactions makes no difference.
    """
    watch: Watch | None = None
    found, expected = [], []
    was_above = False
    for number, day in enumerate(days):
        crossings = []
        for left in day:
            low = is_low(alert, reading(left))
            if low and was_above:
                crossings.append((number, left))
            was_above = not low
        expected += crossings[:1]
        for transaction in [day] if at_once else [[left] for left in day]:
            if transaction:
                watch, low_at = look(alert, watch, map(reading, transaction), f"DAILY {number}")
                found += [(number, low_at.left)] if low_at else []
    assert found == expected


@given(alerts, balances, balances, st.integers(0, 200))
def test_less_is_never_less_low(alert: Alert, left: int, less: int, granted: int) -> None:
    """Of one amount granted: what is low stays low when more is spent, and nothing left is low always."""
    left, less = max(left, less), min(left, less)
    assert is_low(alert, reading(less, granted)) >= is_low(alert, reading(left, granted))
    assert is_low(alert, reading(0, granted))


@pytest.mark.parametrize(
    ("alert", "note"),
    [
        (Alert(amount=mc(50_000_000)), "9.5 credits left: the alert is at 50"),
        (Alert(percent=10), "9.5 of 100 credits left: the alert is at 10%"),
    ],
)
def test_the_note_says_the_threshold_and_what_is_left(alert: Alert, note: str) -> None:
    """In credits, for people."""
    low = LowBalance(AccountId("acme"), alert, reading(9_500_000, 100_000_000), "DAILY 2026-03-10", Instant(0))
    assert low.note == note
