"""Refunds: debt is cancelled first, then draws are undone, last drawn first; what belongs to an ended grant lapses."""

import pytest

from creditmeter.core.credit.charges import Refund, RefundMode
from creditmeter.core.credit.grants import GrantKind, GrantSource, merged
from creditmeter.core.credit.history import EntryType
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import RefundExceedsCharge
from creditmeter.core.settlement.refunding import post_refund, refundable
from creditmeter.core.values import replace
from tests.core.builders import (
    ELSEWHERE,
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
    refund_of,
    report,
)

MORNING, NOON, NEXT_DAY = at("10 09:00"), at("10 12:00"), at("11 09:00")
TODAY, MONTH = "daily-2026-03-10", "monthly-2026-03-01"
ORIGINAL, GOODWILL = RefundMode.ORIGINAL, RefundMode.GOODWILL


def charged(cost: int = 9, *, overdraft: int = 0) -> Central:
    """An account after a charge on daily 3, monthly 4, permanent 10."""
    central = Central(account(overdraft_limit=overdraft), grants=[daily(10, 3), monthly(4), grant("bought", 10)])
    central.post(charge("c1", excess=cost, committed=MORNING), MORNING)
    return central


def ask(
    central: Central, amount: int | None, now: Instant, *, name: str = "f1", mode: RefundMode = ORIGINAL, of: str = "c1"
) -> Refund | RefundExceedsCharge:
    """Ask for an amount back, or for all that is left."""
    return central.refund(refund_of(of, amount or 0, name=name, mode=mode, when=now), now, everything=amount is None)


def came_back(made: Refund | RefundExceedsCharge) -> tuple[int, int, int]:
    """The refund's amount, what of it was restored, and what lapsed."""
    assert isinstance(made, Refund)
    assert made.posting is not None
    return made.amount, made.posting.restored, made.posting.lapsed


# Back to where it came from.


@pytest.mark.parametrize(
    ("amount", "left"),
    [
        (1, {TODAY: 0, MONTH: 0, "bought": 9}),
        (2, {TODAY: 0, MONTH: 0, "bought": 10}),
        (5, {TODAY: 0, MONTH: 3, "bought": 10}),
        (9, {TODAY: 3, MONTH: 4, "bought": 10}),
        (None, {TODAY: 3, MONTH: 4, "bought": 10}),
    ],
)
def test_the_last_draw_is_undone_first(amount: int | None, left: dict[str, int]) -> None:
    """On the same day all of it comes back to the grants it came from."""
    central = charged()
    before = len(central.entries)
    made = ask(central, amount, NOON)
    assert came_back(made) == (amount or 9, amount or 9, 0)
    assert central.remaining() == left
    assert central.lines(before) == [(EntryType.REFUNDED, amount or 9)]
    assert (central.entries[-1].refund_id, central.entries[-1].charge_id, central.entries[-1].note) == ("f1", "c1", "it failed")


def test_the_next_day_the_days_part_lapses() -> None:
    """Its grant has ended; the rest is restored, and the refund says how much of each, as does the history."""
    central = charged()
    before = len(central.entries)
    assert came_back(ask(central, None, NEXT_DAY)) == (9, 6, 3)
    assert central.remaining() == {TODAY: 0, MONTH: 4, "bought": 10}
    assert central.lines(before) == [(EntryType.REFUNDED, 9), (EntryType.LAPSED, -3)]
    day = central.grant(TODAY)
    assert (day.drawn, day.refunded, day.lapsed) == (3, 3, 3)
    assert (central.entries[-1].grant_id, central.entries[-1].refund_id) == (TODAY, "f1")


def test_a_grant_ends_for_refunds_when_it_ends() -> None:
    """At midnight itself, not before."""
    midnight = at("11 00:00")
    for now, expected in ((Instant(midnight - 1), (9, 9, 0)), (midnight, (9, 6, 3))):
        assert came_back(ask(charged(), None, now)) == expected


def test_parts_add_up_to_the_whole() -> None:
    """Each part goes on where the one before stopped, and together they are no more than the charge."""
    central = charged()
    assert came_back(ask(central, 4, NOON, name="f1")) == (4, 4, 0)
    assert central.remaining() == {TODAY: 0, MONTH: 2, "bought": 10}
    assert ask(central, 6, NOON, name="f2") == RefundExceedsCharge(mc(5))
    assert came_back(ask(central, 2, NOON, name="f3")) == (2, 2, 0)
    assert came_back(ask(central, None, NEXT_DAY, name="f4")) == (3, 0, 3)
    assert ask(central, None, NEXT_DAY, name="f5") == RefundExceedsCharge(mc(0))
    assert central.posting("c1").refunded == 9
    assert refundable(central.posting("c1")) == 0


@pytest.mark.parametrize("amount", [10, 100])
def test_more_than_the_charge_is_refused(amount: int) -> None:
    """And changes nothing."""
    central = charged()
    before = central.lines()
    assert ask(central, amount, NOON) == RefundExceedsCharge(mc(9))
    assert central.lines() == before


def test_nothing_is_left_of_a_free_charge() -> None:
    """Not even all of it can be asked back."""
    assert ask(charged(0), None, NOON) == RefundExceedsCharge(mc(0))


def test_a_refund_is_made_once() -> None:
    """The same refund again is returned as it is, whatever is left by then."""
    central = charged()
    first = ask(central, None, NOON)
    assert ask(central, None, NEXT_DAY) == first
    assert central.remaining()["bought"] == 10


# Goodwill.


def test_goodwill_is_a_new_permanent_grant() -> None:
    """Of the drawn amount, without end, naming the charge; nothing lapses, and the old grants get nothing back."""
    central = charged()
    before = len(central.entries)
    assert came_back(ask(central, 5, NEXT_DAY, mode=GOODWILL)) == (5, 5, 0)
    given = central.grant("goodwill-f1")
    assert (given.kind, given.source, given.amount) == (GrantKind.PERMANENT, GrantSource.GOODWILL, 5)
    assert (given.effective_at, given.expires_at, given.charge_id) == (NEXT_DAY, None, "c1")
    assert central.lines(before) == [(EntryType.REFUNDED, 0), (EntryType.GRANTED, 5)]
    assert central.entries[-1].refund_id == "f1"
    assert central.grant("bought").refunded == 0


def test_both_modes_share_what_is_left() -> None:
    """What was given as goodwill is not given back again."""
    central = charged()
    ask(central, 5, NOON, name="f1", mode=GOODWILL)
    assert ask(central, 5, NOON, name="f2") == RefundExceedsCharge(mc(4))
    assert came_back(ask(central, 4, NOON, name="f3")) == (4, 4, 0)
    assert central.remaining() == {TODAY: 3, MONTH: 1, "bought": 8, "goodwill-f1": 5}


# Debt, and what was written off.


@pytest.mark.parametrize("mode", RefundMode)
def test_debt_of_the_charge_is_cancelled_first(mode: RefundMode) -> None:
    """Credit comes back only after that; cancelled debt was never drawn, so it makes no grant either."""
    central = charged(20, overdraft=5)
    assert (central.posting("c1").covered, central.posting("c1").debt) == (17, 3)
    assert came_back(ask(central, 2, NOON, name="f1", mode=mode)) == (2, 0, 0)
    assert (central.posting("c1").debt, central.posting("c1").refunded) == (1, 0)
    assert not any(central.remaining().values())
    assert came_back(ask(central, 4, NOON, name="f2", mode=mode)) == (4, 3, 0)
    assert sum(central.remaining().values()) == 3
    assert ask(central, 15, NOON, name="f3", mode=mode) == RefundExceedsCharge(mc(14))


def test_what_was_written_off_is_not_refundable() -> None:
    """Nobody paid it."""
    central = charged(20)
    assert central.posting("c1").uncovered == 3
    assert ask(central, 18, NOON) == RefundExceedsCharge(mc(17))
    assert came_back(ask(central, None, NOON)) == (17, 17, 0)
    assert central.posting("c1").uncovered == 3


def test_credit_that_comes_back_repays_other_debt_first() -> None:
    """What another charge owes is paid before anybody can use it."""
    central = charged(17, overdraft=5)
    central.post(charge("c2", excess=4, committed=MORNING), MORNING)
    ask(central, 6, NOON)
    assert (central.posting("c2").debt, central.posting("c2").covered) == (0, 4)
    assert sum(central.remaining().values()) == 2
    assert [each.type for each in central.entries[-2:]] == [EntryType.REFUNDED, EntryType.DEBT_REPAID]


def test_a_repaid_debt_is_refunded_as_credit() -> None:
    """The draws that repaid it are the last, so they are undone first."""
    central = charged(19, overdraft=5)
    central.give(grant("more", 5, begins=NOON), NOON)
    assert central.drawn("c1")[-1] == ("more", 2)
    ask(central, 2, NOON)
    assert central.remaining()["more"] == 5


def alternating() -> Central:
    """A charge of 8 that drew on one grant, on another, and on the first again: what repaid its debt had come back there."""
    central = Central(account(overdraft_limit=5), grants=[grant("a", 5, ends=at("20 00:00")), grant("b", 2)])
    central.post(charge("c0", excess=2, committed=MORNING), MORNING)
    central.post(charge("c1", excess=8, committed=MORNING), MORNING)
    central.refund(refund_of("c0", 2, name="f0", when=NOON), NOON)
    assert central.drawn("c1") == [("a", 3), ("b", 2), ("a", 2)]
    return central


@pytest.mark.parametrize(("amount", "left"), [(1, (0, 0)), (3, (2, 0)), (4, (2, 1)), (5, (2, 2)), (6, (3, 2)), (8, (5, 2))])
def test_a_refund_gives_back_piece_by_piece_where_grants_alternate(amount: int, left: tuple[int, int]) -> None:
    """Although each grant is shown once: the last draw on the first grant comes back before that on the second."""
    central = alternating()
    ask(central, amount, NOON)
    assert tuple(central.remaining().values()) == left
    assert [(each.grant_id, each.amount) for each in merged(central.posting("c1").draws)] == [("a", 5), ("b", 2)]


# Refunds that a sidecar decided before it sent the charge.


def test_a_refund_arrives_with_its_charge() -> None:
    """Posted once, together with the charge, however often the message comes."""
    central = Central(account(), grants=[grant("g", 10)])
    central.exchange(message(1, need=6), MORNING)
    told = [charge("c1", part(6, MORNING))], [refund_of("c1", 4, when=NOON)]
    for seq in (2, 3):
        replied = central.exchange(message(seq, *told[0], leases=[report(MORNING, 6)], refunds=told[1]), NOON)
        assert replied is not None
        assert [(each.restored, each.lapsed) for each in replied.refund_postings.values()] == [(4, 0)]
    assert central.remaining() == {"g": 8}


def test_no_more_comes_back_than_was_covered() -> None:
    """The sidecar's lease was gone when the charge arrived and part of it had to be written off."""
    central = Central(account(), grants=[grant("g", 3)])
    central.exchange(message(1, charge("c1", part(5, MORNING)), refunds=[refund_of("c1", 5, when=NOON)]), NOON)
    assert central.posting("c1").uncovered == 2
    assert central.remaining() == {"g": 3}
    (kept,) = central.refunds.values()
    assert kept.posting is not None
    assert (kept.amount, kept.posting.restored, kept.posting.never_paid) == (5, 3, 2)


def test_one_request_is_refunded_once_whoever_decides_it_first() -> None:
    """The central store was asked through another sidecar before the one that decided it had posted it."""
    central = Central(account(), grants=[grant("g", 10)])
    central.exchange(message(1, need=6), MORNING)
    central.exchange(message(2, charge("c1", part(6, MORNING)), leases=[report(MORNING, 6)]), MORNING)
    asked = replace(refund_of("c1", 4, name="other", when=NOON), request_id=refund_of("c1", 4, when=NOON).request_id)
    assert came_back(central.refund(asked, NOON)) == (4, 4, 0)
    replied = central.exchange(message(3, refunds=[refund_of("c1", 4, when=NOON)]), NOON)
    assert replied is not None
    assert [(each.restored, each.lapsed) for each in replied.refund_postings.values()] == [(4, 0)]
    assert central.remaining() == {"g": 8}


# Duplicates.


def doubled() -> Central:
    """A job that was charged 6 through one sidecar and then 8 through another, on a grant that the first used up."""
    central = Central(account(), grants=[grant("first", 6, ends=at("20 00:00")), grant("second", 8)])
    central.post(charge("c1", excess=6, committed=MORNING, request="job"), MORNING)
    return central


def test_refunding_a_duplicate_refunds_what_was_charged() -> None:
    """The worker was told of the second charge only; the user gets back what the first one cost."""
    central = doubled()
    central.post(charge("c2", excess=8, committed=NOON, request="job"), NOON)
    assert ask(central, 8, NOON, of="c2") == RefundExceedsCharge(mc(6))
    assert came_back(ask(central, None, NOON, of="c2")) == (6, 6, 0)
    assert central.remaining() == {"first": 6, "second": 8}
    assert (central.posting("c1").refunded, central.posting("c2").refunded) == (6, 0)
    assert ask(central, None, NOON, name="f2", of="c1") == RefundExceedsCharge(mc(0))
    assert [each.charge_id for each in central.refunds.values()] == ["c1"]


@pytest.mark.parametrize(("amount", "back"), [(2, 2), (6, 6), (8, 6)])
def test_a_refund_that_was_promised_for_a_duplicate_is_kept(amount: int, back: int) -> None:
    """The second sidecar decided it before it knew: as much comes back as the first charge cost. What it cost more was freed
    with the duplicate; the refund is of the first, and reads as it was promised.
    """
    central = doubled()
    central.exchange(message(1, need=8, sidecar_id=ELSEWHERE), NOON)
    second = charge("c2", part(8, NOON, ELSEWHERE), request="job")
    promised = refund_of("c2", amount, when=NOON)
    for seq in (2, 3):
        told = message(seq, second, leases=[report(NOON, 8, sidecar_id=ELSEWHERE)], refunds=[promised], sidecar_id=ELSEWHERE)
        replied = central.exchange(told, NOON)
        assert replied is not None
        assert [(each.restored, each.never_paid) for each in replied.refund_postings.values()] == [(back, amount - back)]
    assert central.remaining() == {"first": back, "second": 8}
    (kept,) = central.refunds.values()
    assert (kept.charge_id, kept.amount) == ("c1", amount)


def test_a_promise_for_a_duplicate_of_what_was_refunded_before_brings_nothing_more() -> None:
    """The job was paid once, and given back once. What the second sidecar took is free again; its refund reads as promised."""
    central = doubled()
    assert came_back(ask(central, 4, NOON, name="before")) == (4, 4, 0)
    central.exchange(message(1, need=8, sidecar_id=ELSEWHERE), NOON)
    second = charge("c2", part(8, NOON, ELSEWHERE, opened=NOON), request="job")
    promised = refund_of("c2", 8, when=NOON)
    told = message(2, second, leases=[report(NOON, 8, sidecar_id=ELSEWHERE)], refunds=[promised], sidecar_id=ELSEWHERE)
    replied = central.exchange(told, NOON)
    assert replied is not None
    assert [(each.restored, each.never_paid) for each in replied.refund_postings.values()] == [(2, 6)]
    assert (central.refunds[promised.refund_id].amount, central.posting("c1").refunded) == (8, 6)
    central.exchange(message(3, sidecar_id=ELSEWHERE), NOON)
    assert central.available(NOON) == 14


def test_only_a_posted_charge_is_refunded() -> None:
    """A refund that comes before its charge is a fault."""
    ledger = charged().ledger(NOON)
    ledger.put_charge(charge("c9", excess=1, committed=NOON))
    with pytest.raises(AssertionError, match="with its charge or after it"):
        post_refund(ledger, refund_of("c9", 1, when=NOON))


# Without end.


LARGE, BEYOND = 10**17, 2**63
"""A hundred times the largest amount of a request, and what no column of a store has room for."""


@pytest.mark.parametrize("mode", [ORIGINAL, GOODWILL])
def test_charging_and_refunding_without_end_stays_within_what_can_be_stored(mode: RefundMode) -> None:
    """What is charged and refunded over and over adds up. Beyond the bound it lapses, and nothing is left to charge."""
    central = Central(account(), grants=[grant("bought", LARGE)])
    lapsed = 0
    for number in range(200):
        at_once = central.post(charge(f"c{number}", excess=LARGE, committed=MORNING), MORNING)
        assert at_once.posting is not None
        if not at_once.posting.covered:
            break
        lapsed += came_back(ask(central, None, MORNING, name=f"f{number}", mode=mode, of=f"c{number}"))[2]
        for each in central.grants.values():
            assert max(each.drawn, each.refunded, each.lapsed, each.remaining, central.balance) < BEYOND
    assert (lapsed > 0) == (mode is ORIGINAL), "a goodwill grant is a new one each time"
