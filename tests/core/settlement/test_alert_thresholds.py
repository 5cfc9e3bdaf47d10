"""When an alert of low credit fires: a table of cases, then any sequence of balances and periods at all."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.low_balance import Measure
from creditmeter.core.instants import DAY, HOUR, Instant, Span
from creditmeter.core.settlement.alert_thresholds import MOST_AHEAD_KEPT, CreditLevel, Watch, is_low, look
from tests.core.builders import mc

AT_50 = Alert(amount=mc(50))
AT_10_PERCENT = Alert(percent=10)
AT_50_PERCENT = Alert(percent=50)
AT_100_PERCENT = Alert(percent=100)

NO_TIME = Span(0)


def level(text: str) -> CreditLevel:
    """Told as `left`, `left/plan_given` or `left/plan_given/others_left`; the plan gave 100 if it is not said."""
    left, plan_given, others_left = (int(each) for each in (text.split("/") + ["100", "0"][text.count("/") :]))
    return CreditLevel(mc(left), mc(plan_given), mc(others_left))


def fired(alert: Alert, text: str) -> str:
    """The levels at which an alert fired. `text` is a line of levels, `|` where a period ends; those joined by `>` are of
    one transaction.
    """
    watch: Watch | None = None
    found = []
    for number, period in enumerate(text.split("|")):
        for transaction in period.split():
            levels = [level(each) for each in transaction.split(">")]
            watch, low = look(alert, watch, levels, Instant(10 * number), Instant(10 * number), NO_TIME)
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
    "a share of other grants: of the most that was left": (AT_50_PERCENT, "90/0/90 100/0/100 60/0/60 51/0/51 50/0/50", "0:50"),
    "a share of other grants: a new period begins with what is left": (
        AT_50_PERCENT,
        "90/0/90 | 60/0/60 45/0/45 30/0/30",
        "1:30",
    ),
    "a share of both": (AT_50_PERCENT, "200/100/100 101/100/80 100/100/80", "0:100"),
    "what the plan gave grows with what is left": (AT_10_PERCENT, "100 15 65/150 14/150", "0:14"),
    "what was granted grows alone, and more is spent": (AT_10_PERCENT, "100 15>15/200 15/200 14/200", "0:14"),
    "what was granted grows by more than what is left": (AT_10_PERCENT, "100 15>16/200 16/200>17/200 17/200>16/200", "0:16"),
    "a refund to a grant that was used up, and a real fall": (AT_10_PERCENT, "100 100>101/100/1 6/100/1", "0:6"),
    "all is used up and nothing was granted any more": (AT_10_PERCENT, "100 0/0", "0:0"),
    "nothing was ever granted": (AT_10_PERCENT, "0/0 0/0 | 0/0", ""),
    "a whole hundred: the first use": (AT_100_PERCENT, "100 99", "0:99"),
    "a whole hundred: unused is above": (AT_100_PERCENT, "100 100 | 100 | 99", "2:99"),
    "a whole hundred: all at once": (AT_100_PERCENT, "100 0/0", "0:0"),
}


@pytest.mark.parametrize(("alert", "text", "expected"), CASES.values(), ids=CASES)
def test_cases(alert: Alert, text: str, expected: str) -> None:
    """Which levels an alert fires at."""
    assert fired(alert, text) == expected


def test_a_date_that_comes_twice_is_two_periods() -> None:
    """And moments before the running period's beginning are of another one, also if that began later than this one."""
    above = Watch(True, Instant(20), mc(0), fired_at=Instant(25))
    for begins, fires in ((30, True), (26, True), (25, False), (20, False), (0, False)):
        _, low = look(AT_50, above, [level("40")], Instant(begins), Instant(40), NO_TIME)
        assert (low is not None) is fires


def fired_by_clock(text: str) -> tuple[str, Watch | None]:
    """The hours at which an alert at 50 fired, and how it stands in the end. `text` is a line of transactions `hour:levels`, by
    the clock; periods are days. `+n` is n hours of the store's elapsed time.
    """
    watch: Watch | None = None
    found = []
    elapsed = NO_TIME
    for each in text.split():
        if each.startswith("+"):
            elapsed = Span(elapsed + int(float(each) * HOUR))
            continue
        hour, levels = each.split(":")
        now = Instant(int(float(hour) * HOUR))
        of_transaction = [level(each) for each in levels.split(">")]
        watch, low = look(AT_50, watch, of_transaction, Instant(now // DAY * DAY), now, elapsed)
        if low is not None:
            found.append(hour)
    return " ".join(found), watch


CLOCK_CASES = {
    "it fired today, and by a clock that was a day ahead: today it is silent": ("10:100>40 34:100>40 11:100>40", "10 34"),
    "it fired a day ahead alone: today it is silent": ("34:100>40 11:100>40 +2 13:100>40", "34"),
    "tomorrow comes: it fires before the moment of the wrong firing": ("34:100>40 11:100 +15 26:100>40", "34 26"),
    "and not again at that moment": ("34:100>40 11:100 +22 33:100>40 +1 34:100>40 +1 35:100>40", "34 33"),
    "and after that moment, if time went on until then": ("34:100>40 11:100 +1 12:100 +23 35:100>40", "34 35"),
    "also if nothing was decided in between": ("34:100>40 11:100 +24 35:100>40", "34 35"),
    "if little of it was counted, that clock may have been right": ("34:100>40 11:100 +0.9 11.9:100 35:100>40", "34"),
    "of many looks in an hour, each goes on from those before": (
        "34:100>40 11:100 +0.4 11.4:100 +0.4 11.8:100 +0.4 12.2:100 35:100>40",
        "34 35",
    ),
    "set back again: the hour begins anew": ("34:100>40 11:100 +0.9 10:100 +0.2 10.2:100 35:100>40", "34"),
    "tomorrow comes within the hour": ("47:100>40 23.9:100 +0.2 24.1:100>40", "47 24.1"),
    "tomorrow comes within the hour, and half a minute is not counted": ("47:100>40 23.9:100 +0.19 24.1:100>40", "47 24.1"),
    "tomorrow comes within the hour, and little was counted: it waits": ("47:100>40 23.9:100 +0.1 24.1:100>40 25:40", "47"),
    "until an hour was": ("47:100>40 23.9:100 +0.1 24.1:100>40 25:40 +0.9 25.1:40 25.2:30", "47 25.1"),
    "it waited, and more than the threshold is left by then": (
        "47:100>40 23.9:100 +0.1 24.1:100>40 +0.9 25.1:90 +1 26.1:45",
        "47 26.1",
    ),
    "the day after tomorrow comes then": ("71:100>40 23.9:100 24.1:100>40 24.2:100 +24 48.2:100>40", "71 48.2"),
    "a few minutes a day are counted": (
        "9000:100>40 11:100 +0.3 35:100>40 36:100 +0.3 59:100>40 60:100 +0.3 83:100>40 84:100 +0.3 107:100>40",
        "9000 107",
    ),
    "a clock that is behind for one decision": ("10:100>40 -14:100>40 11:100>40", "10"),
    "behind twice, and the second time by less": ("10:100>40 -9000:100 9:100 11:100>40", "10"),
    "behind twice, and it would fire the second time": ("10:100>40 -9000:100 9:100>40 11:100>40", "10"),
    "behind twice, over midnight": ("24.5:100>40 0:100 +0.9 23.8:100 24.2:100>40 25:100>40", "24.5"),
    "a clock that is behind now and then": ("10:100>40 -9000:100 +0.5 10.5:100 -9000:100 +0.5 9:100 +0.5 11.5:100>40", "10"),
    "a clock that was ahead, and then is behind": ("10:100>40 34:100>40 11:100 -14:100 11.5:100>40", "10 34"),
    "a clock that was ahead within the day, and then is behind": ("20:100>40 10:100 -14:100 11:100>40", "20"),
    "a clock that is behind, and more behind, and right again": ("10:100>40 -14:100 -38:100 11:100>40", "10"),
    "two days ahead, one day ahead, and right again": ("10:100>40 58:100>40 34:100>40 11:100>40", "10 58"),
    "a year ahead: each day to come has its own": (
        "9000:100>40 10:100 +24 34:100>40 +24 58:100>40 +1 59:100>40",
        "9000 34 58",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CLOCK_CASES.values(), ids=CLOCK_CASES)
def test_clocks_that_are_wrong(text: str, expected: str) -> None:
    """Once a period whatever the clock did, and what fired too early keeps no day silent that is reached as time goes on."""
    assert fired_by_clock(text)[0] == expected


def test_a_firing_in_the_future_that_an_older_program_noted() -> None:
    """The hour begins at the first look, and until then the next day's is not doubtful."""
    noted = Watch(True, Instant(0), mc(0), fired_at=Instant(11 * HOUR), ahead=(Instant(90 * HOUR),))
    for hour, levels, fires in ((12, "100", False), (34, "100>40", True), (91, "100>40", False)):
        now = Instant(hour * HOUR)
        of_transaction = [level(each) for each in levels.split(">")]
        elapsed = Span(min(hour, 12) * HOUR)
        watch, low = look(AT_50, noted, of_transaction, Instant(now // DAY * DAY), now, elapsed)
        assert (low is not None) is fires
        assert watch.ahead_since == (elapsed if hour < 90 else None)


def test_few_firings_in_the_future_are_kept() -> None:
    """A clock that goes back day by day leaves no more than that; the earliest are those that count first."""
    _, watch = fired_by_clock(" ".join(f"{-24 * day}:100>40" for day in range(20)))
    assert watch is not None
    assert watch.ahead == tuple(Instant(-18 * DAY + each * DAY) for each in range(MOST_AHEAD_KEPT))


balances = st.integers(0, 120)
packs = st.integers(0, 120)
steps = st.lists(st.tuples(balances, packs), max_size=6)
days = st.lists(st.tuples(st.integers(0, 50), steps), max_size=6)
alerts = st.one_of(
    st.builds(lambda amount: Alert(amount=mc(amount)), st.integers(1, 120)),
    st.builds(lambda percent: Alert(percent=percent), st.integers(1, 100)),
)

Days = list[tuple[int, list[tuple[int, int]]]]


@given(alerts, days)
def test_it_fires_once_a_period_and_only_on_crossings(alert: Alert, days: Days) -> None:
    """Held against a plain account of it: the first crossing of each period, and nothing else. Each level is of a transaction
    of its own.
    """
    watch: Watch | None = None
    found, expected = [], []
    was_above = False
    for number, (plan_given, steps) in enumerate(days):
        crossings = []
        for step, (left, _) in enumerate(steps):
            granted = plan_given + max(others for _, others in steps[: step + 1])
            low = is_low(alert, Measure(mc(left), mc(granted)))
            if low and was_above:
                crossings.append((number, left, granted))
            was_above = not low
        expected += crossings[:1]
        for left, others in steps:
            now = Instant(10 * number)
            watch, low_at = look(alert, watch, [CreditLevel(mc(left), mc(plan_given), mc(others))], now, now, NO_TIME)
            found += [(number, low_at.left, low_at.granted)] if low_at else []
    assert found == expected


@given(alerts, days)
def test_within_a_transaction_it_fires_on_falls_only(alert: Alert, days: Days) -> None:
    """Where no less is left than at the level before, it never does; and the most that others left never shrinks."""
    watch: Watch | None = None
    for number, (plan_given, steps) in enumerate(days):
        now, most = Instant(10 * number), 0
        for (before, some), (after, others) in itertools.pairwise(steps):
            was_above = watch is not None and watch.is_above
            levels = [CreditLevel(mc(before), mc(plan_given), mc(some)), CreditLevel(mc(after), mc(plan_given), mc(others))]
            watch, low_at = look(alert, watch, levels, now, now, NO_TIME)
            most = max(most, some, others)
            assert watch.others_most == most
            if low_at is not None:
                assert was_above or after < before
                assert low_at.left == before or after < before
            assert watch.waits_at is None or (watch.is_above and watch.waits_at == after)


@given(alerts, balances, balances, st.integers(0, 200))
def test_less_is_never_less_low(alert: Alert, left: int, less: int, granted: int) -> None:
    """Of one amount granted: what is low stays low when more is spent, and nothing left is low always."""
    left, less = max(left, less), min(left, less)
    assert is_low(alert, Measure(mc(less), mc(granted))) >= is_low(alert, Measure(mc(left), mc(granted)))
    assert is_low(alert, Measure(mc(0), mc(granted)))
