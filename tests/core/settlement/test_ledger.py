"""The ledger: what a plan gives and when, what lapses and when, what can be taken back, and how debt is repaid."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant, from_datetime
from creditmeter.core.refusals import GrantEnded, GrantNotFound
from creditmeter.core.values import replace
from tests.core.builders import (
    ELSEWHERE,
    Central,
    account,
    at,
    charge,
    daily,
    grant,
    message,
    midnight_after,
    monthly,
    part,
    plan,
    report,
)

MORNING, NOON = at("10 09:00"), at("10 12:00")
SMALL, BIG = plan("small", 5, 20), plan("big", 15, 50)
TODAY, THIS_MONTH = "daily-2026-03-10", "monthly-2026-03-01"


def on_plan(plan_id: str) -> Central:
    """An account on a plan."""
    return Central(account(plan_id=plan_id), SMALL, BIG)


# What a plan gives.


def test_a_plan_gives_once_in_each_period() -> None:
    """On first touch, however often it is touched; the grants are the whole period's."""
    central = on_plan("small")
    for _ in range(3):
        central.touch(MORNING)
    assert central.remaining() == {TODAY: 5, THIS_MONTH: 20}
    today, month = central.grants.values()
    assert (today.effective_at, today.expires_at, today.created_at) == (at("10 00:00"), at("11 00:00"), MORNING)
    assert (month.effective_at, month.expires_at) == (at("01 00:00"), at("31 00:00") + DAY)
    central.touch(at("11 00:00"))
    assert list(central.grants) == [TODAY, THIS_MONTH, "daily-2026-03-11"]


def test_periods_nobody_touched_have_no_grants() -> None:
    """After days of silence only the running day is granted."""
    central = on_plan("small")
    central.touch(MORNING)
    central.touch(at("14 09:00"))
    assert list(central.grants) == [TODAY, THIS_MONTH, "daily-2026-03-14"]


def test_a_used_up_grant_is_not_given_again() -> None:
    """What was granted counts, not what is left."""
    central = on_plan("small")
    central.exchange(message(1, need=25), MORNING)
    central.exchange(message(2, charge("c1", part(25, MORNING)), leases=[report(MORNING, 25)]), MORNING)
    central.void(TODAY, MORNING)
    central.touch(NOON)
    assert central.remaining() == {TODAY: 0, THIS_MONTH: 0}


def test_one_grant_for_each_local_day_where_a_midnight_is_missing() -> None:
    """In Cairo 24 April 2026 begins at 01:00 and has 23 hours: touched each half hour, it is granted once."""
    cairo = replace(account(plan_id="small"), time_zone="Africa/Cairo")
    central = Central(cairo, SMALL)
    start = from_datetime(datetime(2026, 4, 22, 12, tzinfo=ZoneInfo("Africa/Cairo")))
    for step in range(48 * 4):
        central.touch(Instant(start + step * 30 * MINUTE))
    days = [each for each in central.grants.values() if each.kind is GrantKind.DAILY]
    assert [each.period_key for each in days] == [f"2026-04-{day}" for day in range(22, 27)]
    lengths = [(each.expires_at or 0) - each.effective_at for each in days]
    assert lengths == [24 * HOUR, 24 * HOUR, 23 * HOUR, 24 * HOUR, 24 * HOUR]


def test_an_upgrade_gives_the_difference_at_once() -> None:
    """Both to the running day and to the running month, as grants of their own for the whole period."""
    central = on_plan("small")
    central.touch(MORNING)
    central.assign("big", NOON)
    assert central.remaining() == {TODAY: 5, THIS_MONTH: 20, f"{TODAY}-2": 10, f"{THIS_MONTH}-2": 30}
    assert {each.effective_at for each in central.grants.values()} == {at("10 00:00"), at("01 00:00")}
    given = [(each.type, each.amount, each.occurred_at) for each in central.entries]
    assert given == [
        (EntryType.GRANTED, 5, MORNING),
        (EntryType.GRANTED, 20, MORNING),
        (EntryType.GRANTED, 10, NOON),
        (EntryType.GRANTED, 30, NOON),
    ]


def test_switching_to_and_fro_mints_nothing() -> None:
    """What was granted for the period is never granted again, and a downgrade takes nothing away."""
    central = on_plan("small")
    for plan_id in ("big", "small", "big", "small", "big"):
        central.assign(plan_id, NOON)
    assert sum(central.remaining().values()) == 15 + 50
    central.assign("small", NOON)
    central.touch(at("11 00:00"))
    assert central.remaining()["daily-2026-03-11"] == 5


def test_a_changed_plan_counts_from_the_next_period() -> None:
    """The running day and month keep what they were given; the next day follows the change, the month after them too."""
    central = on_plan("small")
    central.touch(MORNING)
    central.put_plan(plan("small", 7, 30), NOON)
    central.touch(at("10 18:00"))
    assert central.remaining() == {TODAY: 5, THIS_MONTH: 20}
    central.touch(at("11 00:00"))
    assert central.grant("daily-2026-03-11").amount == 7
    assert "monthly-2026-03-01-2" not in central.grants
    april = Instant(at("31 00:00") + DAY)
    central.touch(april)
    assert central.remaining()["monthly-2026-04-01"] == 30


def test_a_plan_changed_at_midnight_counts_for_the_day_that_begins() -> None:
    """The version that stands when the period starts, to the microsecond."""
    for moment, expected in ((at("11 00:00"), 7), (Instant(at("11 00:00") + 1), 5)):
        central = on_plan("small")
        central.put_plan(plan("small", 7, 20), moment)
        central.touch(at("11 09:00"))
        assert central.remaining()["daily-2026-03-11"] == expected


def test_a_newly_assigned_plan_counts_as_it_stands_then() -> None:
    """Not as it stood when the period began."""
    central = on_plan("small")
    central.put_plan(plan("big", 16, 50), MORNING)
    central.assign("big", NOON)
    assert sum(each.amount for each in central.grants.values() if each.kind is GrantKind.DAILY) == 16


def test_without_a_plan_nothing_is_given() -> None:
    """An account may have no plan."""
    central = Central(account(), SMALL)
    central.touch(MORNING)
    assert not central.grants


def test_at_one_instant_what_ended_lapses_before_the_new_day_is_given() -> None:
    """Expire, then grant: the history's balance never shows both days' credit."""
    central = on_plan("small")
    central.touch(MORNING)
    central.touch(at("11 00:00"))
    assert [(each.type, each.amount, each.balance_after) for each in central.entries[-2:]] == [
        (EntryType.LAPSED, -5, 20),
        (EntryType.GRANTED, 5, 25),
    ]


# What lapses.


@pytest.mark.parametrize(("now", "expected"), [(Instant(at("11 00:00") - 1), 5), (at("11 00:00"), 0), (at("13 00:00"), 0)])
def test_a_grant_lapses_when_it_ends(now: Instant, expected: int) -> None:
    """To the microsecond; the history says when it ended, however late that is noticed, and says it once."""
    central = Central(account(), grants=[daily(10, 5), grant("g", 3)])
    central.touch(now)
    central.touch(now)
    assert central.remaining() == {TODAY: expected, "g": 3}
    lapsed = [(each.amount, each.occurred_at, each.posted_at) for each in central.entries if each.type is EntryType.LAPSED]
    assert lapsed == ([] if expected else [(-5, at("11 00:00"), now)])


def test_a_grant_that_is_used_up_does_not_lapse() -> None:
    """There is nothing to write down."""
    central = Central(account(), grants=[daily(10, 5)])
    central.void(TODAY, NOON)
    central.touch(at("11 00:00"))
    assert central.entries[-1].type is EntryType.VOIDED


@pytest.mark.parametrize(
    ("opened", "lapses"),
    [(at("10 09:00"), False), (Instant(at("11 00:00") - 1), False), (at("11 00:00"), True), (at("11 09:00"), True)],
)
def test_a_grant_waits_for_leases_that_were_opened_before_its_end(opened: Instant, lapses: bool) -> None:
    """As long as one is open a charge may still be drawn there; a lease opened at its end or later cannot reach it."""
    central = Central(account(), grants=[daily(10, 5), grant("g", 3)])
    central.exchange(message(1, need=3), opened)
    central.touch(at("11 12:00"))
    assert (central.remaining()[TODAY] == 0) is lapses


@pytest.mark.parametrize(("opened", "lapses"), [(Instant(at("11 00:00") - 1), False), (at("11 00:00"), True)])
def test_a_lease_opened_at_its_end_does_not_hold_a_grant_up(opened: Instant, lapses: bool) -> None:
    """The lease of the day that ended is gone, and one that was opened at midnight is left."""
    central = Central(account(), grants=[daily(10, 5), grant("g", 3)])
    central.exchange(message(1, need=5, sidecar_id=ELSEWHERE), MORNING)
    central.exchange(message(1, need=3), opened)
    central.exchange(message(2, sidecar_id=ELSEWHERE), at("11 09:00"))
    assert (central.remaining()[TODAY] == 0) is lapses


def test_what_a_late_charge_leaves_lapses_then() -> None:
    """The lease closes with its last charge, and with it goes the last claim on the day."""
    central = Central(account(), grants=[daily(10, 5)])
    central.exchange(message(1, need=5), MORNING)
    central.exchange(message(2, charge("c1", part(3, MORNING)), leases=[report(MORNING, 3)]), at("12 09:00"))
    assert central.remaining() == {TODAY: 0}
    assert (central.grant(TODAY).drawn, central.grant(TODAY).lapsed) == (3, 2)


# What can be taken back.


def test_voiding_takes_what_is_neither_spent_nor_leased() -> None:
    """Partly spent, partly out on a lease: earlier use stays charged, and the lease stays good."""
    central = Central(account(), grants=[grant("g", 10)])
    central.exchange(message(1, need=6), MORNING)
    central.exchange(message(2, charge("c1", part(2, MORNING)), leases=[report(MORNING, 6)]), MORNING)
    assert central.void("g", NOON) == 4
    assert central.remaining() == {"g": 4}
    assert central.available(NOON) == 0
    assert (central.entries[-1].type, central.entries[-1].amount) == (EntryType.VOIDED, -4)
    central.post(charge("c2", part(4, MORNING)), NOON)
    assert central.posting("c2").covered == 4


def test_voiding_spares_other_grants_credit() -> None:
    """What other grants can stand behind the leases leaves this one free."""
    central = Central(account(), grants=[grant("g", 10), daily(10, 5)])
    central.exchange(message(1, need=5), MORNING)
    assert central.void("g", NOON) == 10


def test_voiding_all_that_is_leased_takes_nothing() -> None:
    """It is no refusal, and writes nothing."""
    central = Central(account(), grants=[grant("g", 10)])
    central.exchange(message(1, need=10), MORNING)
    before = len(central.entries)
    assert central.void("g", NOON) == 0
    assert len(central.entries) == before


def test_a_grant_that_has_not_begun_is_voided_whole() -> None:
    """No lease stands on it."""
    central = Central(account(), grants=[grant("g", 10), grant("soon", 5, begins=at("20 00:00"))])
    central.exchange(message(1, need=10), MORNING)
    assert central.void("soon", NOON) == 5


def test_what_has_ended_or_never_was_is_not_voided() -> None:
    """Its end is exclusive."""
    central = Central(account(), grants=[daily(10, 5)])
    assert central.void("other", NOON) == GrantNotFound("other")
    assert central.void(TODAY, at("11 00:00")) == GrantEnded(TODAY)


# Debt.


def indebted() -> Central:
    """An account that owes 4 for the charge b and then 3 for the charge a."""
    central = Central(account(overdraft_limit=7))
    central.post(charge("b", excess=4, committed=MORNING), MORNING)
    central.post(charge("a", excess=3, committed=MORNING), NOON)
    return central


def test_new_credit_repays_debt_before_anything_else() -> None:
    """The charge posted first comes first; what is left is there to use."""
    central = indebted()
    central.give(grant("g", 5, begins=NOON), NOON)
    assert (central.posting("b").debt, central.posting("a").debt) == (0, 2)
    assert central.remaining() == {"g": 0}
    assert [(each.type, each.amount, each.charge_id) for each in central.entries[-2:]] == [
        (EntryType.DEBT_REPAID, -4, "b"),
        (EntryType.DEBT_REPAID, -1, "a"),
    ]
    central.give(grant("h", 5, begins=NOON), NOON)
    assert central.ledger(NOON).debt == 0
    assert central.remaining() == {"g": 0, "h": 3}


def test_a_repaid_charge_is_covered_by_what_repaid_it() -> None:
    """Its draws name the grants, so that a refund can give back to them."""
    central = indebted()
    central.give(grant("g", 5, begins=NOON), NOON)
    posting = central.posting("a")
    assert (posting.covered, posting.debt, posting.uncovered) == (1, 2, 0)
    assert central.drawn("a") == [("g", 1)]


def test_debt_is_not_repaid_from_what_is_leased() -> None:
    """What other sidecars may authorise stays good."""
    central = Central(account(overdraft_limit=9), grants=[grant("g", 5)])
    central.exchange(message(1, need=5), MORNING)
    central.exchange(message(1, charge("c1", excess=4, committed=MORNING), sidecar_id=ELSEWHERE), MORNING)
    central.exchange(message(2, leases=[report(MORNING, 5, held=5)]), MORNING)
    central.exchange(message(2, charge("c1", excess=4, committed=MORNING), sidecar_id=ELSEWHERE), MORNING)
    assert central.ledger(MORNING).debt == 4
    assert central.remaining() == {"g": 5}


def test_a_new_day_repays_debt() -> None:
    """The plan's grants are credit like any other."""
    central = Central(account(plan_id="small", overdraft_limit=40), SMALL)
    central.touch(MORNING)
    central.post(charge("c1", excess=27, committed=MORNING), MORNING)
    assert central.ledger(MORNING).debt == 2
    central.touch(midnight_after(MORNING))
    assert central.ledger(NOON).debt == 0
    assert central.remaining()["daily-2026-03-11"] == 3


def test_a_ledger_refuses_to_write_down_less_than_nothing() -> None:
    """A balance below 0 is a fault, and stops the operation."""
    ledger = Central(account(), grants=[monthly(5)]).ledger(NOON)
    with pytest.raises(AssertionError, match="no less than nothing"):
        ledger.record(ledger.entry(EntryType.VOIDED, -6, NOON))


# What a line is about.


def test_a_line_names_the_kinds_and_sources_of_its_grants() -> None:
    """Its own grant's, or those of all that it drew on; a write-off names none."""
    central = Central(account(), grants=[daily(10, 2), grant("bought", 3)])
    central.post(charge("c", excess=9, committed=NOON), NOON)
    charged, written_off = central.entries[-2:]
    assert charged.kinds == {GrantKind.DAILY, GrantKind.PERMANENT}
    assert charged.sources == {GrantSource.PLAN, GrantSource.PURCHASE}
    assert charged.grant_ids == {"daily-2026-03-10", "bought"}
    assert not written_off.kinds
    assert not written_off.sources
    assert not written_off.grant_ids
    central.give(grant("more", 4), NOON)
    assert central.entries[-1].kinds == {GrantKind.PERMANENT}
    assert central.entries[-1].sources == {GrantSource.PURCHASE}
