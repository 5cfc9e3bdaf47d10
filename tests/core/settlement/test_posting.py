"""Posting: which grants a charge draws on, and what becomes of cost that no credit stands behind."""

import pytest

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import MINUTE, Instant
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from tests.core.builders import (
    ELSEWHERE,
    HERE,
    Central,
    account,
    at,
    charge,
    daily,
    grant,
    mc,
    message,
    monthly,
    part,
    plan,
    report,
)

MORNING, NOON, EVENING = at("10 09:00"), at("10 12:00"), at("10 18:00")
TODAY, TOMORROW, MONTH = "daily-2026-03-10", "daily-2026-03-11", "monthly-2026-03-01"


def leased(central: Central, amount: int, now: Instant = MORNING) -> Central:
    """The central store after it leased this much to the sidecar here."""
    replied = central.exchange(message(1, need=amount), now)
    assert replied is not None
    assert replied.granted == amount
    return central


def test_a_burn_runs_through_daily_monthly_permanent() -> None:
    """9 on daily 3, monthly 4, permanent 10: 0, 0 and 8 are left, with three draws in order in one line of history."""
    central = leased(Central(account(), grants=[grant("bought", 10), monthly(4), daily(10, 3)]), 9)
    before = len(central.entries)
    central.post(charge("c1", part(9, MORNING)), NOON)
    assert central.remaining() == {TODAY: 0, MONTH: 0, "bought": 8}
    assert central.drawn("c1") == [(TODAY, 3), (MONTH, 4), ("bought", 2)]
    assert central.lines(before) == [(EntryType.CHARGED, -9)]
    entry = central.entries[-1]
    assert [(draw.kind, draw.amount) for draw in entry.draws] == [
        (GrantKind.DAILY, 3),
        (GrantKind.MONTHLY, 4),
        (GrantKind.PERMANENT, 2),
    ]
    assert (entry.balance_after, entry.occurred_at, entry.posted_at) == (8, MORNING, NOON)


def test_history_says_what_was_done() -> None:
    """Action, the model that served the call, tool, quantity, labels and price list."""
    central = leased(Central(account(), grants=[grant("g", 10)]), 5)
    usage = Usage("image", request_model="asked", response_model="served", tool="t", quantity=3)
    made = replace(charge("c1", part(5, MORNING)), usage=usage, labels={"team": "search"})
    central.post(made, NOON)
    entry = central.entries[-1]
    assert (entry.action, entry.model, entry.tool, entry.quantity) == ("image", "served", "t", 3)
    assert (entry.labels, entry.rate_card_version, entry.charge_id) == ({"team": "search"}, "v1", "c1")
    central.post(replace(charge("c2", excess=0, committed=NOON), usage=Usage("view", request_model="asked")), NOON)
    assert (central.entries[-1].model, central.entries[-1].quantity, central.entries[-1].amount) == ("asked", 1, 0)


def test_a_charge_is_posted_once() -> None:
    """Posted again it keeps its posting and draws nothing."""
    central = leased(Central(account(), grants=[grant("g", 10)]), 5)
    made = charge("c1", part(5, MORNING), excess=1)
    first = central.post(made, NOON)
    lines = central.lines()
    assert central.post(made, EVENING) == first
    assert (central.remaining(), central.lines()) == ({"g": 4}, lines)
    assert first.sent


# Credit of the moment.


def test_a_hold_of_yesterday_is_drawn_on_yesterday() -> None:
    """Held at 23:59, committed at 00:03: the day's credit pays, what it does not use lapses, excess goes to the new day."""
    held, committed = at("10 23:59"), at("11 00:03")
    central = leased(Central(account(), grants=[daily(10, 5), grant("bought", 10)]), 4, held)
    central.give(daily(11, 5), at("11 00:00"))
    late = charge("c1", part(4, held), excess=2, committed=committed)
    central.exchange(message(2, late, leases=[report(held, 4)]), committed)
    assert central.drawn("c1") == [(TODAY, 4), (TOMORROW, 2)]
    assert central.remaining() == {TODAY: 0, TOMORROW: 3, "bought": 10}
    assert central.grant(TODAY).lapsed == 1


def test_parts_are_drawn_each_at_its_own_moment() -> None:
    """Extended over midnight on the next day's lease: yesterday's part on yesterday, today's on today."""
    before, after = at("10 23:50"), at("11 00:10")
    central = leased(Central(account(), grants=[daily(10, 5)]), 3, before)
    central.give(daily(11, 5), at("11 00:00"))
    central.exchange(message(2, leases=[report(before, 3, held=3)], need=2), after)
    central.post(charge("c1", part(3, before), part(2, after)), after)
    assert central.drawn("c1") == [(TODAY, 3), (TOMORROW, 2)]


def test_what_was_usable_then_comes_before_what_came_since() -> None:
    """A grant given after the authorisation is drawn on only when nothing of then is left, though it ends sooner."""
    central = leased(Central(account(), grants=[grant("old", 5)]), 5)
    central.give(grant("new", 5, begins=NOON, ends=at("11 00:00")), NOON)
    central.exchange(message(1, charge("c0", excess=3, committed=NOON), sidecar_id=ELSEWHERE), NOON)
    assert central.drawn("c0") == [("new", 3)]
    central.post(charge("c1", part(5, MORNING)), EVENING)
    assert central.drawn("c1") == [("old", 5)]
    central = leased(Central(account(), grants=[grant("old", 5)]), 5)
    central.give(grant("new", 5, begins=NOON, ends=at("11 00:00")), NOON)
    assert central.void("old", NOON) == 5
    central.post(charge("c1", part(5, MORNING)), at("11 09:00"))
    assert central.drawn("c1") == [("new", 5)]


@pytest.mark.parametrize(
    ("what", "authorized_at", "now"),
    [
        ("a clock that is a day behind", at("09 12:00"), NOON),
        ("a clock that was past midnight already", Instant(at("11 00:00") + MINUTE), at("11 09:00")),
    ],
)
def test_a_wrong_clock_does_not_leave_its_leases_day(what: str, authorized_at: Instant, now: Instant) -> None:
    """The moment of authorisation is clamped to the lease's day."""
    central = leased(Central(account(), grants=[daily(10, 5), grant("g", 5)]), 5)
    central.give(daily(9, 5), MORNING)
    central.give(daily(11, 5), MORNING)
    made = charge("c1", replace(part(5, MORNING), authorized_at=authorized_at), committed=NOON)
    central.post(made, now)
    assert central.drawn("c1") == [(TODAY, 5)], what


def test_a_fast_clock_does_not_draw_on_what_has_not_begun() -> None:
    """Nor is it ahead of the central store's now."""
    soon = grant("soon", 5, kind=GrantKind.DAILY, begins=EVENING, ends=at("11 00:00"))
    central = leased(Central(account(), grants=[grant("g", 5), soon]), 5)
    made = charge("c1", replace(part(5, MORNING), authorized_at=EVENING), committed=NOON)
    central.post(made, NOON)
    assert central.drawn("c1") == [("g", 5)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_upgrade_within_a_day_overspends_nothing(order: tuple[int, int]) -> None:
    """Two leases of one day, opened before and after the upgrade, are good after midnight in whatever order they are posted."""
    central = Central(account(plan_id="small"), plan("small", 5, 0), plan("big", 10, 0), grants=[grant("bought", 5)])
    leased(central, 5)
    central.assign("big", at("10 10:00"))
    central.exchange(message(1, need=5, sidecar_id=ELSEWHERE), NOON)
    central.put_plan(plan("big", 0, 0), NOON)
    after = at("11 09:00")
    third = SidecarId("s3")
    assert central.available(after) == 5, "yesterday's holds do not eat today's credit"
    central.exchange(message(1, need=5, sidecar_id=third), after)
    first = charge("c1", part(5, at("10 09:30"), opened=MORNING))
    late = [(first, HERE), (charge("c2", part(5, NOON, ELSEWHERE)), ELSEWHERE)]
    for number in order:
        made, sender = late[number]
        central.post(made, after, sender)
    central.post(charge("c3", part(5, after, third)), after, third)
    assert not any(central.remaining().values())


# Leases.


def test_posting_settles_the_lease() -> None:
    """What is posted is out no more; the rest still is."""
    central = leased(Central(account(), grants=[grant("g", 10)]), 8)
    central.post(charge("c1", part(3, MORNING), excess=1), NOON)
    lease = central.lease(MORNING)
    assert (lease.posted, lease.out, central.available(NOON)) == (3, 5, 1)


def test_a_part_that_no_lease_stands_behind_is_excess() -> None:
    """The lease is unknown, or has less out than the part: taken from what is available, never from what others lease."""
    central = leased(Central(account(), grants=[grant("g", 10)]), 6)
    central.exchange(message(1, need=3, sidecar_id=ELSEWHERE), MORNING)
    central.post(charge("unknown", part(2, at("09 12:00"))), NOON)
    assert (central.posting("unknown").covered, central.posting("unknown").uncovered) == (1, 1)
    central.post(charge("beyond", part(8, MORNING)), NOON)
    assert (central.posting("beyond").covered, central.posting("beyond").uncovered) == (6, 2)
    assert central.lease(MORNING).out == 0
    central.post(charge("other", part(3, MORNING, ELSEWHERE)), NOON, ELSEWHERE)
    assert central.posting("other").covered == 3
    assert central.remaining() == {"g": 0}


# Excess, debt, and what is written off.


@pytest.mark.parametrize(
    ("what", "available", "overdraft", "excess", "covered", "debt", "uncovered"),
    [
        ("all covered", 10, 0, 10, 10, 0, 0),
        ("no overdraft: the rest is written off", 10, 0, 12, 10, 0, 2),
        ("within the overdraft", 10, 5, 12, 10, 2, 0),
        ("to the overdraft's limit", 10, 5, 15, 10, 5, 0),
        ("beyond it", 10, 5, 18, 10, 5, 3),
        ("nothing there at all", 0, 0, 3, 0, 0, 3),
        ("a free call", 0, 0, 0, 0, 0, 0),
    ],
)
def test_cost_beyond_the_leases(
    what: str, available: int, overdraft: int, excess: int, covered: int, debt: int, uncovered: int
) -> None:
    """From what is available, then as debt, then written off, to the last microcredit."""
    central = Central(account(overdraft_limit=overdraft), grants=[grant("g", available)] if available else [])
    before = len(central.entries)
    central.post(charge("c1", excess=excess, committed=NOON), NOON)
    posting = central.posting("c1")
    assert (posting.covered, posting.debt, posting.uncovered) == (covered, debt, uncovered), what
    written_off = [(EntryType.WRITTEN_OFF, 0)] if uncovered else []
    assert central.lines(before) == [(EntryType.CHARGED, -covered), *written_off]


def test_debt_of_all_charges_counts_against_the_overdraft() -> None:
    """The limit is the account's, not a charge's."""
    central = Central(account(overdraft_limit=5))
    debts = []
    for name in ("c1", "c2", "c3"):
        central.post(charge(name, excess=3, committed=NOON), NOON)
        debts.append((central.posting(name).debt, central.posting(name).uncovered))
    assert debts == [(3, 0), (2, 1), (0, 3)]


def test_a_write_off_says_how_much() -> None:
    """In the history's note, and moving no credit."""
    central = Central(account(), grants=[grant("g", 2)])
    central.post(charge("c1", excess=5, committed=NOON), NOON)
    entry = central.entries[-1]
    assert (entry.amount, entry.charge_id, entry.note) == (0, "c1", "3 of 5 microcredits written off")


# Duplicates.


def _one_of(made: Charge) -> tuple[object, ...]:
    posting = made.posting
    assert posting is not None
    return posting.covered, posting.debt, posting.uncovered, posting.draws, posting.duplicate_of


def test_a_request_charged_through_two_sidecars_is_charged_once() -> None:
    """The first one posted wins whatever its cost; the other stays readable, costs nothing, and its credit is free."""
    central = leased(Central(account(), grants=[grant("g", 20)]), 5)
    central.exchange(message(1, need=8, sidecar_id=ELSEWHERE), MORNING)
    central.post(charge("c1", part(5, MORNING), request="job"), NOON)
    before = central.lines()
    second = central.post(charge("c2", part(6, MORNING, ELSEWHERE), excess=3, request="job"), NOON, ELSEWHERE)
    assert _one_of(second) == (0, 0, 0, (), "c1")
    assert second.cost == 9
    assert central.lines() == before
    assert (central.lease(MORNING, ELSEWHERE).out, central.available(NOON)) == (2, 13)
    third = central.post(charge("c3", excess=1, request="job", committed=EVENING), EVENING)
    assert _one_of(third) == (0, 0, 0, (), "c1"), "it names the charge that stands, not another duplicate"


def test_one_commit_of_a_reservation_is_charged_once() -> None:
    """Also if two processes with one journal gave it different names; another commit of it is another charge."""
    central = Central(account(), grants=[grant("g", 20)])
    posted = [
        central.post(charge(name, excess=3, committed=NOON, reservation_id="r1", commit_number=number), NOON)
        for name, number in (("c1", 1), ("c2", 2), ("again", 2))
    ]
    assert [each.posting.duplicate_of for each in posted if each.posting] == [None, None, "c2"]
    unreserved = [central.post(charge(name, excess=1, committed=NOON), NOON) for name in ("d1", "d2")]
    assert [each.posting.duplicate_of for each in unreserved if each.posting] == [None, None]
    assert central.remaining() == {"g": 20 - 3 - 3 - 1 - 1}


def test_excess_does_not_take_what_is_leased() -> None:
    """Nor what the same message still has to post: held cost of the charges behind it stays covered."""
    central = leased(Central(account(), grants=[grant("g", 10)]), 7)
    charges = (charge("c1", part(1, MORNING), excess=9), charge("c2", part(6, MORNING)))
    central.exchange(message(2, *charges, leases=[report(MORNING, 7)]), NOON)
    assert (central.posting("c1").covered, central.posting("c1").uncovered) == (4, mc(6))
    assert central.posting("c2").covered == 6
