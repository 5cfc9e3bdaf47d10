"""A voided grant stays voided: what was out on leases when it was voided is taken back when it returns.

Each scenario begins at 09:00 with a lease, and the grant `g` of 10 is voided at 12:00.

| out at noon      | then                                           | what is drawn, what is taken back                      |
| ---------------- | ---------------------------------------------- | ------------------------------------------------------ |
| 4 held, 3 idle   | the idle 3 return                              | 3 are taken back; 4 stay                               |
|                  | the hold commits 1                             | on g; the other 3 are taken back when they return      |
| 7 held           | 20 more are bought, the hold commits           | on g; nothing of the 20 is touched                     |
| 7 idle           | 20 more are bought, a new call uses 5          | on the 20; the 7 are taken back when they return       |
| 7 idle           | a new call uses 5, and there is nothing else   | on g                                                   |
| 7 held           | midnight comes, and the next day's credit      | the hold commits on g, not on the new day              |
| 7 held           | g ends before they return                      | VOIDED, not LAPSED                                     |
| 7, then lost     | the lease is reclaimed                         | 7 are taken back                                       |
| 7 held           | a charge on g of before is refunded            | what comes back to g is taken back at once             |
| 7 on g, 5 on h   | h is voided too, and 7 of the 12 return        | 7 are taken back, first of what was voided later       |
| 7 idle           | more is leased than there is without g         | refused: what is idle there is nobody's                |
| 7 held           | 7 more are bought and leased, the hold returns | 7 are taken back; nobody else is leased anything       |
| 7 idle           | 5 are bought and held elsewhere                | none are available: the 7 will be taken back           |
| 7 held, 2 used   | bought credit stood in for g, more is bought   | what g has beyond what is out is taken back at once    |
"""

import pytest

from creditmeter.core.credit.charges import Refund, RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.instants import MINUTE, Instant, Span
from creditmeter.core.refusals import GrantVoided
from creditmeter.core.settlement.balance_summary import balance_summary
from creditmeter.core.settlement.recalls import CENTRAL_STORE, Purpose
from tests.core.builders import (
    ELSEWHERE,
    HERE,
    Central,
    account,
    at,
    charge,
    daily,
    grant,
    message,
    part,
    refund_of,
    report,
)

MORNING, NOON, LATER, EVENING = at("10 09:00"), at("10 12:00"), at("10 13:00"), at("10 18:00")
NEXT_DAY = at("11 00:03")
VOIDED, CHARGED = EntryType.VOIDED, EntryType.CHARGED


class Scenario:
    """An account with the grant `g` and one lease, on which so much is held and so much idle when `g` is voided at noon."""

    def __init__(self, held: int, idle: int = 0, *, ends: Instant | None = None, overdraft: int = 0) -> None:
        self.central = Central(account(overdraft_limit=overdraft), grants=[grant("g", 10, ends=ends)])
        self.central.exchange(message(1, need=held + idle), MORNING)
        self.seq = 1
        self.exchange(MORNING, held=held, limit=held + idle)
        assert self.central.void("g", NOON) == 10 - held - idle
        self.written = len(self.central.entries)

    def exchange(self, now: Instant, *, limit: int, held: int = 0, paid: int = 0, authorized: Instant = MORNING) -> None:
        """The sidecar says what its lease's limit is now, what is held on it, and charges a cost."""
        self.seq += 1
        charges = [charge(f"c{self.seq}", part(paid, authorized, opened=MORNING), committed=now)] if paid else []
        said = message(self.seq, *charges, leases=[report(MORNING, limit, held=held)])
        assert self.central.exchange(said, now) is not None

    @property
    def happened(self) -> list[tuple[EntryType, int]]:
        """What was written since the void."""
        return self.central.lines(self.written)

    @property
    def drawn(self) -> list[tuple[str, int]]:
        """What the newest charge drew."""
        return self.central.drawn(list(self.central.charges)[-1])


def test_what_is_idle_is_taken_back_when_it_returns_and_what_is_held_may_commit() -> None:
    """Down to nothing: no other grant is there, so no history line is about another."""
    scenario = Scenario(held=4, idle=3)
    scenario.exchange(LATER, limit=4, held=4)
    assert scenario.happened == [(VOIDED, -3)]
    assert scenario.central.remaining() == {"g": 4}
    scenario.exchange(EVENING, limit=4, paid=1)
    assert scenario.drawn == [("g", 1)]
    scenario.exchange(EVENING, limit=1)
    assert scenario.happened == [(VOIDED, -3), (CHARGED, -1), (VOIDED, -3)]
    assert (scenario.central.balance, scenario.central.available(EVENING)) == (0, 0)
    assert (scenario.central.grant("g").voided, scenario.central.grant("g").drawn) == (9, 1)


def test_who_has_some_of_it_out_is_asked_for_it() -> None:
    """Its sidecar is notified, and returns what is idle."""
    central = Central(account(), grants=[grant("g", 10)])
    central.exchange(message(1, need=7), MORNING)
    assert central.void("g", Instant(MORNING + MINUTE)) == 3
    assert central.recalls[CENTRAL_STORE, Purpose.STATE].awaited == (HERE,)
    assert central.notified == {HERE}


def test_nobody_is_asked_when_nothing_is_out() -> None:
    """All of it was taken back."""
    central = Central(account(), grants=[grant("g", 10), grant("other", 7)])
    central.exchange(message(1, need=7), MORNING)
    assert central.void("g", Instant(MORNING + MINUTE)) == 10
    assert not central.recalls


def test_a_hold_commits_against_it_whatever_was_bought_since() -> None:
    """What was bought is all there."""
    scenario = Scenario(held=7)
    scenario.central.give(grant("bought", 20, begins=LATER), LATER)
    assert scenario.happened == [(EntryType.GRANTED, 20)]
    assert scenario.central.available(LATER) == 20
    scenario.exchange(EVENING, limit=7, paid=5)
    assert scenario.drawn == [("g", 5)]
    scenario.exchange(EVENING, limit=5)
    assert scenario.central.remaining() == {"g": 0, "bought": 20}


def test_a_later_call_draws_on_what_is_left_besides() -> None:
    """Also on a lease on which some of it is still out, and in an order in which it would have come first."""
    scenario = Scenario(held=0, idle=7, ends=at("20 00:00"))
    scenario.central.give(grant("bought", 20, begins=LATER), LATER)
    scenario.exchange(EVENING, limit=7, paid=5, authorized=LATER)
    assert scenario.drawn == [("bought", 5)]
    scenario.exchange(EVENING, limit=5)
    assert scenario.central.remaining() == {"g": 0, "bought": 15}
    assert scenario.central.grant("g").voided == 10


def test_a_later_call_draws_on_it_if_nothing_else_stands_behind_its_lease() -> None:
    """A sidecar was promised that credit, and could not know."""
    scenario = Scenario(held=0, idle=7)
    scenario.exchange(EVENING, limit=7, paid=5, authorized=LATER)
    assert scenario.drawn == [("g", 5)]
    scenario.exchange(EVENING, limit=5)
    assert scenario.happened == [(CHARGED, -5), (VOIDED, -2)]


def test_a_hold_over_midnight_commits_against_it() -> None:
    """The new day's credit is the new day's."""
    scenario = Scenario(held=7)
    scenario.central.give(daily(11, 3), at("11 00:00"))
    scenario.exchange(NEXT_DAY, limit=7, paid=6)
    assert scenario.drawn == [("g", 6)]
    scenario.exchange(NEXT_DAY, limit=6)
    assert scenario.central.remaining() == {"g": 0, "daily-2026-03-11": 3}
    assert scenario.happened[-1] == (VOIDED, -1)


def test_yesterdays_holds_on_a_voided_days_credit_count_against_today() -> None:
    """Which of yesterday's calls will draw there is not known: what is leased today is there in either case."""
    central = Central(account(), grants=[daily(10, 7)])
    central.exchange(message(1, need=7), MORNING)
    assert central.void("daily-2026-03-10", NOON) == 0
    central.give(grant("bought", 20, begins=LATER), LATER)
    central.give(daily(11, 3), at("11 00:00"))
    assert central.available(NEXT_DAY) == 16
    central.exchange(message(2, leases=[]), NEXT_DAY)
    assert central.available(NEXT_DAY) == 23
    assert central.lines()[-1] == (VOIDED, -7)


def test_what_is_out_when_it_ends_is_voided_not_lapsed() -> None:
    """It was taken back before it ended."""
    scenario = Scenario(held=7, ends=at("11 00:00"))
    scenario.exchange(NEXT_DAY, limit=7, held=7)
    assert scenario.happened == []
    scenario.exchange(NEXT_DAY, limit=7, paid=2)
    scenario.exchange(NEXT_DAY, limit=2)
    assert scenario.happened == [(CHARGED, -2), (VOIDED, -5)]
    assert (scenario.central.grant("g").lapsed, scenario.central.grant("g").voided) == (0, 8)


def test_what_a_lost_sidecar_had_is_taken_back() -> None:
    """When its lease is reclaimed."""
    scenario = Scenario(held=7)
    scenario.central.uncounted = Span(MORNING)
    scenario.central.exchange(message(1, sidecar_id=ELSEWHERE), EVENING)
    assert scenario.happened == [(VOIDED, -7)]


@pytest.mark.parametrize("mode", RefundMode)
def test_what_a_refund_brings_back_to_it_is_taken_back(mode: RefundMode) -> None:
    """The refund says that it was lost, and so does a line of its own. Goodwill is new credit."""
    central = Central(account(), grants=[grant("g", 10), grant("other", 5)])
    central.post(charge("c1", excess=12, committed=MORNING), MORNING)
    assert central.void("g", NOON) == 0
    before = len(central.entries)
    made = central.refund(refund_of("c1", 11, mode=mode, when=LATER), LATER)
    assert isinstance(made, Refund)
    posting = made.posting
    assert posting is not None
    if mode is RefundMode.GOODWILL:
        assert (posting.restored, posting.lapsed) == (11, 0)
        assert central.lines(before) == [(EntryType.REFUNDED, 0), (EntryType.GRANTED, 11)]
        return
    assert (posting.restored, posting.lapsed) == (2, 9)
    assert central.lines(before) == [(EntryType.REFUNDED, 11), (VOIDED, -9)]
    assert (central.entries[-1].refund_id, central.entries[-1].charge_id) == ("refund-1", "c1")
    assert central.remaining() == {"g": 0, "other": 5}
    assert (central.grant("g").refunded, central.grant("g").voided) == (9, 9)


def test_a_refund_leaves_what_is_out_as_it_is() -> None:
    """A hold that was placed commits all the same."""
    scenario = Scenario(held=7)
    scenario.exchange(LATER, limit=7, held=5, paid=2)
    name = list(scenario.central.charges)[-1]
    scenario.central.refund(refund_of(name, 2, when=LATER), LATER)
    assert scenario.central.remaining() == {"g": 5}
    scenario.exchange(EVENING, limit=7, paid=5)
    assert scenario.drawn == [("g", 5)]


def test_of_two_voided_grants_no_more_is_kept_than_is_out() -> None:
    """What was voided first is kept for the leases of then."""
    central = Central(account(), grants=[grant("g", 7), grant("h", 5)])
    central.exchange(message(1, need=12), MORNING)
    assert (central.void("g", NOON), central.void("h", LATER)) == (0, 0)
    central.exchange(message(2, leases=[report(MORNING, 5, held=5)]), EVENING)
    assert central.remaining() == {"g": 5, "h": 0}
    assert [each.amount for each in central.entries if each.type is VOIDED] == [-2, -5]


def test_a_lease_that_was_opened_later_keeps_nothing() -> None:
    """But for what it has come to rest on, because the older one's calls used what was to be behind it."""
    scenario = Scenario(held=0, idle=7)
    scenario.central.give(grant("bought", 20, begins=LATER), LATER)
    scenario.central.exchange(message(1, need=20, sidecar_id=ELSEWHERE), LATER)
    scenario.exchange(EVENING, limit=7, paid=5, authorized=LATER)
    assert scenario.drawn == [("bought", 5)]
    scenario.exchange(EVENING, limit=5)
    assert scenario.central.remaining() == {"g": 5, "bought": 15}
    used = charge("late", part(18, EVENING, ELSEWHERE, opened=LATER), committed=EVENING)
    scenario.central.exchange(message(2, used, leases=[report(LATER, 20, sidecar_id=ELSEWHERE)], sidecar_id=ELSEWHERE), EVENING)
    assert scenario.drawn == [("bought", 15), ("g", 3)]
    scenario.central.exchange(message(3, sidecar_id=ELSEWHERE), EVENING)
    assert scenario.central.remaining() == {"g": 0, "bought": 0}
    assert scenario.happened[-1] == (VOIDED, -2)


def test_credit_bought_later_is_leased_apart_from_it() -> None:
    """By the sidecar that has some of it out, too. So what returns first is what was out when the grant was voided, and no
    more is spent than was good.
    """
    central = Central(account(), grants=[grant("g", 6)])
    central.exchange(message(1, need=6), MORNING)
    central.exchange(message(2, leases=[report(MORNING, 6, held=6)]), MORNING)
    assert central.void("g", NOON) == 0
    central.give(grant("bought", 6, begins=LATER), LATER)
    leased = central.exchange(message(3, leases=[report(MORNING, 6, held=6)], need=6), LATER)
    assert leased is not None
    assert {each.opened_at: each.limit for each in leased.leases} == {MORNING: 6, LATER: 6}
    central.exchange(message(4, leases=[report(MORNING, 0), report(LATER, 6, held=6)]), EVENING)
    assert central.lines()[-1] == (VOIDED, -6)
    refused = central.exchange(message(1, need=6, sidecar_id=ELSEWHERE), EVENING)
    assert refused is not None
    assert refused.granted == 0
    used = charge("new", part(6, LATER), committed=EVENING)
    central.exchange(message(5, used, leases=[report(LATER, 6)]), EVENING)
    assert central.drawn("new") == [("bought", 6)]


def test_ordinary_refills_do_not_keep_it() -> None:
    """A busy sidecar, which posts and leases again all day, returns what was out at noon once."""
    central = Central(account(), grants=[grant("g", 10)])
    central.exchange(message(1, need=4), MORNING)
    assert central.void("g", NOON) == 6
    central.give(grant("bought", 50, begins=LATER), LATER)
    central.exchange(message(2, leases=[report(MORNING, 4)], need=3), LATER)
    for seq, hour in enumerate(range(14, 18), start=3):
        now = at(f"10 {hour}:00")
        limit = central.lease(LATER).limit
        used = charge(f"c{seq}", part(2, now, opened=LATER), committed=now)
        central.exchange(message(seq, used, leases=[report(MORNING, 0), report(LATER, limit)], need=2), now)
        assert central.drawn(f"c{seq}") == [("bought", 2)]
        assert central.grant("g").voided == 10
    assert not central.lease(MORNING).out


def test_once_it_is_all_taken_back_leases_grow_again() -> None:
    """Nothing is kept for the older ones."""
    scenario = Scenario(held=0, idle=7)
    scenario.exchange(LATER, limit=0)
    scenario.central.give(grant("bought", 20, begins=LATER), LATER)
    scenario.central.exchange(message(9, leases=[report(MORNING, 0)], need=5), EVENING)
    assert [each.limit for each in scenario.central.leases.values()] == [5]


def test_a_lease_of_the_moment_of_the_void_is_a_later_one() -> None:
    """Nothing was authorised on it before: what is bought stands behind it, and none of the grant is kept."""
    central = Central(account(), grants=[grant("g", 7)])
    central.exchange(message(1, need=7), NOON)
    assert central.void("g", NOON) == 0
    central.give(grant("bought", 7, begins=NOON), NOON)
    assert central.remaining() == {"g": 0, "bought": 7}
    central.give(grant("more", 2, begins=NOON), NOON)
    central.exchange(message(2, leases=[report(NOON, 7, held=7)], need=2), NOON)
    assert [each.limit for each in central.leases.values()] == [9]


def test_what_will_be_taken_back_is_promised_to_nobody() -> None:
    """Bought credit is held elsewhere. What is idle here comes back, and is taken back then."""
    scenario = Scenario(held=0, idle=7)
    scenario.central.give(grant("bought", 5, begins=LATER), LATER)
    scenario.central.exchange(message(1, need=5, sidecar_id=ELSEWHERE), LATER)
    held = [report(LATER, 5, held=5, sidecar_id=ELSEWHERE)]
    refused = scenario.central.exchange(message(2, leases=held, need=5, sidecar_id=ELSEWHERE), LATER)
    assert refused is not None
    assert balance_summary(scenario.central.ledger(LATER)).available == 0
    assert (refused.granted, refused.elsewhere, refused.is_pending, refused.balance.available) == (0, 0, False, 0)
    scenario.exchange(EVENING, limit=0)
    assert scenario.central.remaining() == {"g": 0, "bought": 5}


def test_an_exchange_that_takes_nothing_back_leaves_the_grant_as_it_is() -> None:
    """It is not written again."""
    scenario = Scenario(held=7)
    ledger = scenario.central.ledger(LATER)
    ledger.lapse()
    assert not ledger.changes.grants


def test_credit_that_is_given_later_frees_what_other_credit_stood_in_for() -> None:
    """What of the grant no lease of before has out any more is taken back as soon as something else stands behind the later
    ones, with the decision that brought it.
    """
    scenario = Scenario(held=7)
    scenario.central.give(grant("bought", 20, begins=LATER), LATER)
    scenario.central.exchange(message(1, need=20, sidecar_id=ELSEWHERE), LATER)
    scenario.exchange(EVENING, limit=7, paid=5, authorized=LATER)
    scenario.exchange(EVENING, limit=5)
    assert scenario.central.remaining() == {"g": 5, "bought": 15}
    scenario.central.give(grant("more", 10, begins=EVENING), EVENING)
    assert scenario.happened[-2:] == [(EntryType.GRANTED, 10), (VOIDED, -5)]
    assert scenario.central.remaining() == {"g": 0, "bought": 15, "more": 10}


def test_what_is_idle_there_is_nobodys() -> None:
    """It is not available, it is not waited for, and it repays no debt; but until it returns it is part of the balance."""
    scenario = Scenario(held=4, idle=3, overdraft=2)
    stands = balance_summary(scenario.central.ledger(LATER), 10)
    assert (stands.available, stands.leased) == (0, 7)
    assert [each.remaining for each in stands.buckets if each.kind is GrantKind.PERMANENT] == [7]
    assert [(each.grant_id, each.remaining, each.voided_at) for each in stands.grants] == [("g", 7, NOON)]
    answer = scenario.central.exchange(message(1, need=1, sidecar_id=ELSEWHERE), LATER)
    assert answer is not None
    assert (answer.short, answer.is_pending, answer.elsewhere) == (1, False, 0)
    scenario.central.post(charge("owing", excess=2, committed=LATER), LATER)
    scenario.exchange(EVENING, limit=4, held=4)
    assert scenario.central.posting("owing").debt == 2


def test_a_second_void_says_that_there_is_nothing_left_to_do() -> None:
    """Whether something is still out, all was taken back, or the grant has ended since."""
    scenario = Scenario(held=7, ends=at("11 00:00"))
    for now in (NOON, LATER):
        assert scenario.central.void("g", now) == GrantVoided("g")
    scenario.exchange(EVENING, limit=0)
    for now in (EVENING, NEXT_DAY):
        assert scenario.central.void("g", now) == GrantVoided("g")
    assert scenario.happened == [(VOIDED, -7)]


def test_a_used_up_grant_can_be_voided_once() -> None:
    """So that no refund brings it back."""
    central = Central(account(), grants=[grant("g", 10)])
    central.post(charge("c1", excess=10, committed=MORNING), MORNING)
    assert central.void("g", NOON) == 0
    assert central.void("g", LATER) == GrantVoided("g")
    central.refund(refund_of("c1", 10, when=LATER), LATER)
    assert central.available(LATER) == 0


@pytest.mark.parametrize(("moment", "expected"), [(MORNING, True), (Instant(NOON - 1), True), (NOON, False), (LATER, False)])
def test_it_is_usable_until_it_is_voided(moment: Instant, expected: bool) -> None:
    """The moment itself is after it. It runs on until its end."""
    voided = Scenario(held=1).central.grant("g")
    assert voided.is_usable(moment) is expected
    assert voided.is_running(moment)
