"""Leases of sidecars that never return are reclaimed, for good; what is posted too late, or by a copy, is excess."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.history import EntryType
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import HOUR, MINUTE, Instant, Span
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.composing import Envelope, accept, compose, has_idle, has_unfinished
from creditmeter.core.settlement.answering import RECLAIM_GRACE, SKEW_MARGIN
from creditmeter.core.settlement.posting import excess_of
from creditmeter.core.settlement.reclaiming import reclaim_lost
from creditmeter.core.values import replace
from tests.core.builders import (
    ALWAYS,
    Central,
    account,
    at,
    book,
    charge,
    clocks,
    daily,
    grant,
    lease_name,
    part,
    reservation,
)
from tests.core.peers import Peer, need, outcome

MORNING = at("10 09:00")
SILENCE = Span(10 * MINUTE + SKEW_MARGIN + HOUR + RECLAIM_GRACE)
"""For so long after it spoke something of a sidecar may still come, by the default settings."""

LOST = Instant(MORNING + SILENCE)
NEXT_DAY = at("11 09:00")


def central_with(amount: int, overdraft: int = 0) -> Central:
    """A central store with one permanent grant, for which all time is counted."""
    central = Central(account(overdraft_limit=overdraft), grants=[grant("g", amount)])
    central.uncounted = Span(0)
    return central


def lost_with(amount: int, of: int = 10, overdraft: int = 0) -> tuple[Central, Peer, Peer]:
    """A sidecar that leased this much in the morning and is silent since, and another one."""
    central = central_with(of, overdraft)
    lost, other = Peer(central, "lost"), Peer(central, "other")
    lost.exchange(MORNING, asks=need(amount))
    return central, lost, other


# When.


@pytest.mark.parametrize(
    ("silence", "uncounted", "is_closed"),
    [
        (SILENCE - 1, 0, False),
        (SILENCE, 0, True),
        (SILENCE, 1, False),
        (SILENCE + 1, 1, True),
        (100 * SILENCE, 100 * SILENCE, False),
    ],
)
def test_a_lease_is_reclaimed_when_nothing_more_can_come(silence: int, uncounted: int, is_closed: bool) -> None:
    """Not a microsecond sooner, and as much later as nobody counted the time."""
    central, lost, other = lost_with(8)
    lost.exchange(MORNING, held=5)
    central.uncounted = Span(uncounted)
    now = Instant(MORNING + silence)
    assert outcome(other.exchange(now, asks=need(10))) == ((10, 0, False) if is_closed else (0, 10, False))
    lease = central.lease(MORNING, lost.sidecar_id)
    assert (lease.closed, lease.out, lease.held) == (is_closed, 0 if is_closed else 5, 0 if is_closed else 5)


@pytest.mark.parametrize(("ttl", "lifetime"), [(MINUTE, HOUR), (10 * MINUTE, 5 * MINUTE), (HOUR, 3 * HOUR)])
def test_how_long_depends_on_what_the_sidecar_promised(ttl: int, lifetime: int) -> None:
    """For how long it may authorise, and for how long what it authorises may be held."""
    central, lost, other = lost_with(8)
    sent = replace(lost.message(held=8), lease_ttl=Span(ttl), max_hold_lifetime=Span(lifetime))
    lost.send(sent, MORNING)
    gone = MORNING + ttl + SKEW_MARGIN + lifetime + RECLAIM_GRACE
    other.exchange(Instant(gone - 1))
    assert not central.lease(MORNING, lost.sidecar_id).closed
    other.exchange(Instant(gone))
    assert central.lease(MORNING, lost.sidecar_id).closed


def test_every_word_counts_from_the_start() -> None:
    """Also one that states nothing new, and one whose answer was lost."""
    central, lost, other = lost_with(8)
    lost.exchange(Instant(MORNING + HOUR), held=8)
    other.exchange(LOST)
    other.exchange(Instant(LOST + HOUR - 1))
    assert not central.lease(MORNING, lost.sidecar_id).closed
    other.exchange(Instant(LOST + HOUR))
    assert central.lease(MORNING, lost.sidecar_id).closed


def test_a_sidecar_does_not_give_itself_up() -> None:
    """It was silent for days, and sends a message: it is not lost, and what it held over midnight is good."""
    central, lost, _ = lost_with(8)
    paid = charge("c", part(8, MORNING, lost.sidecar_id))
    lost.exchange(at("13 09:00"), paid)
    assert central.posting("c").covered == 8
    assert central.charges[paid.charge_id].excess == 0


def test_the_central_store_may_notice_by_itself() -> None:
    """At the word of a sidecar that has nothing to say about the account."""
    central, lost, _ = lost_with(8)
    for now, is_closed in ((Instant(LOST - 1), False), (LOST, True)):
        ledger = central.ledger(now)
        assert reclaim_lost(ledger, Span(now)) == is_closed
        central.save(ledger)
        assert central.lease(MORNING, lost.sidecar_id).closed == is_closed
    assert central.available(LOST) == 10


# What then.


def test_who_waits_is_told_of_reclaimed_credit() -> None:
    """It is as good as given back."""
    central, lost, other = lost_with(8)
    third = Peer(central, "third")
    lost.exchange(MORNING, held=4, keeps=True)
    now = Instant(LOST - 1)
    assert outcome(other.exchange(now, asks=need(5))) == (0, 5, True), "4 were idle at its last report"
    third.exchange(LOST)
    assert other.is_notified()
    assert outcome(other.exchange(LOST, asks=need(5))) == (5, 0, False)


def test_what_stood_behind_a_reclaimed_lease_of_an_ended_day_lapses() -> None:
    """It kept as much of the day's grant from lapsing until then; the rest lapsed at midnight."""
    central = Central(account(), grants=[daily(10, 8)])
    central.uncounted = Span(0)
    lost, other = Peer(central, "lost"), Peer(central, "other")
    lost.exchange(at("10 23:30"), asks=need(5))
    other.exchange(at("11 00:30"))
    assert central.lines()[-1] == (EntryType.LAPSED, -3)
    other.exchange(NEXT_DAY)
    assert central.lines()[-1] == (EntryType.LAPSED, -5)


def test_a_lease_after_a_reclaimed_one_is_another() -> None:
    """Within one day too: what was authorised on the first one is not authorised on the second."""
    central, lost, other = lost_with(8)
    late = charge("late", part(6, MORNING, lost.sidecar_id))
    other.exchange(LOST)
    lost.leases = ()
    (terms,) = lost.exchange(LOST, asks=need(5)).leases
    assert (terms.lease_id, terms.limit) == (lease_name(LOST, lost.sidecar_id), 5)
    lost.exchange(LOST, late, held=5)
    assert (central.posting("late").covered, central.posting("late").uncovered) == (5, 1)
    assert central.lease(LOST, lost.sidecar_id).out == 5
    assert central.charges[late.charge_id].parts == ()


@pytest.mark.parametrize(
    ("what", "leased_since", "overdraft", "covered", "debt", "uncovered"),
    [
        ("the credit is still there", 0, 0, 6, 0, 0),
        ("a part of it is", 7, 0, 3, 0, 3),
        ("none of it is", 10, 0, 0, 0, 6),
        ("none of it is, and debt is allowed", 10, 4, 0, 4, 2),
    ],
)
def test_what_is_posted_after_the_reclaim_is_excess(
    what: str, leased_since: int, overdraft: int, covered: int, debt: int, uncovered: int
) -> None:
    """It takes what is available, never what was leased to others since."""
    central, lost, other = lost_with(8, overdraft=overdraft)
    if leased_since:
        other.exchange(LOST, asks=need(leased_since))
        other.exchange(LOST, unposted=leased_since)
    else:
        other.exchange(LOST)
    lost.exchange(LOST, charge("late", part(6, MORNING, lost.sidecar_id)))
    posting = central.posting("late")
    assert (posting.covered, posting.debt, posting.uncovered) == (covered, debt, uncovered), what
    if leased_since:
        paid = charge("good", part(leased_since, LOST, other.sidecar_id))
        other.exchange(LOST, paid)
        assert central.posting("good").covered == leased_since


def test_a_sidecar_that_returns_finds_its_lease_gone() -> None:
    """What was idle on it is gone; a hold on it stays and is charged as excess; then work goes on with another lease."""
    central = central_with(20)
    held = reservation("r", (part(3, MORNING),), created=MORNING, expires=NEXT_DAY)
    it = book()
    first, change = compose(it, Envelope(SidecarId("s1"), 1, 1), MORNING, need(8), give_back=False)
    answered = central.exchange(first, MORNING)
    assert answered is not None
    it.apply(change + accept(it, first, answered, ALWAYS) + Change(it.account_id, reservations=(held,)))
    other = Peer(central, "other")
    other.exchange(LOST, asks=need(2))
    back, change = compose(it, Envelope(SidecarId("s1"), 1, 2), LOST, need(4), give_back=False)
    answered = central.exchange(back, LOST)
    assert answered is not None
    it.apply(change + accept(it, back, answered, ALWAYS))
    assert (it.idle(clocks(LOST)), it.held) == (4, 3)
    gone, new = it.leases.values()
    assert (gone.limit, gone.authorises(clocks(LOST)), new.limit) == (3, False, 4)
    assert central.available(LOST) == 20 - 2 - 4
    last, change = compose(it, Envelope(SidecarId("s1"), 1, 3), NEXT_DAY, None, give_back=True)
    answered = central.exchange(last, NEXT_DAY)
    assert answered is not None
    it.apply(change + accept(it, last, answered, ALWAYS))
    assert not has_idle(it)
    assert not has_unfinished(it, NEXT_DAY)


# Copies.


def test_nobody_posts_on_a_lease_of_another() -> None:
    """A fenced copy posts under a new id, a charge made on its old lease: that lease stays as it is."""
    central, owner, copy = lost_with(8)
    owner.exchange(MORNING, held=8)
    copy.exchange(MORNING, charge("c", part(5, MORNING, owner.sidecar_id)))
    assert dict(copy.exchange(MORNING).postings) == {}
    lease = central.lease(MORNING, owner.sidecar_id)
    assert (lease.limit, lease.posted, lease.held) == (8, 0, 8)


@pytest.mark.parametrize(
    "senders",
    [("copy", "owner"), ("owner", "copy"), ("copy", "copy", "owner", "owner"), ("owner", "copy", "owner", "copy")],
)
@pytest.mark.parametrize("beyond", [0, 2])
def test_a_charge_that_a_copy_posts_too_is_drawn_once(senders: Sequence[str], beyond: int) -> None:
    """Whoever posts it first and however often: its owner's lease has nothing out for it in the end, nor twice."""
    central = central_with(30)
    owner, copy = Peer(central, "owner"), Peer(central, "copy")
    owner.exchange(MORNING, asks=need(8))
    paid = charge("c", part(5, MORNING, owner.sidecar_id), excess=beyond)
    for each in senders:
        (owner if each == "owner" else copy).exchange(MORNING, paid, held=3 if each == "owner" else 0)
    lease = central.lease(MORNING, owner.sidecar_id)
    assert (lease.limit, lease.posted, lease.out) == (8, 5, 3)
    posting = central.posting("c")
    assert (posting.covered, posting.debt, posting.uncovered) == (5 + beyond, 0, 0)
    assert sum(central.remaining().values()) == 25 - beyond
    assert central.available(MORNING) == 22 - beyond
    booked = central.charges[paid.charge_id]
    assert (sum(each.amount for each in booked.parts), booked.excess) == (5, beyond)


def test_a_copy_that_owes_is_repaid_by_what_its_owners_lease_frees() -> None:
    """The copy's charge found nothing available and became debt; the owner's lease was there for it all the time."""
    central = central_with(8, overdraft=10)
    owner, copy = Peer(central, "owner"), Peer(central, "copy")
    owner.exchange(MORNING, asks=need(8))
    owner.exchange(MORNING, unposted=8)
    paid = charge("c", part(8, MORNING, owner.sidecar_id))
    copy.exchange(MORNING, paid)
    assert (central.posting("c").covered, central.posting("c").debt) == (0, 8)
    owner.exchange(MORNING, paid)
    assert (central.posting("c").covered, central.posting("c").debt) == (8, 0)
    assert (central.available(MORNING), sum(central.remaining().values())) == (0, 0)


@pytest.mark.parametrize("senders", [("copy", "owner"), ("owner", "copy"), ("owner", "copy", "owner")])
def test_a_copy_that_charged_the_same_request_under_another_name(senders: Sequence[str]) -> None:
    """The first one posted stands. The owner's lease is free of what it was to pay, whichever it was."""
    central = central_with(30)
    owner, copy = Peer(central, "owner"), Peer(central, "copy")
    owner.exchange(MORNING, asks=need(8))
    charges = {
        "owner": charge("a", part(5, MORNING, owner.sidecar_id), request="job"),
        "copy": charge("b", part(4, MORNING, owner.sidecar_id), request="job"),
    }
    for each in senders:
        (owner if each == "owner" else copy).exchange(MORNING, charges[each], held=3 if each == "owner" else 0)
    first = 5 if senders[0] == "owner" else 4
    assert sum(central.remaining().values()) == 30 - first
    assert (central.lease(MORNING, owner.sidecar_id).out, central.available(MORNING)) == (3, 27 - first)


# What is excess.


_LEASES = ("here", "reclaimed", "ended", "elsewhere", "unknown")
_PARTS = st.lists(st.tuples(st.sampled_from(_LEASES), st.integers(0, 9)), max_size=5)


@given(
    parts=_PARTS,
    excess=st.integers(0, 6),
    before=st.integers(0, 7),
    is_posted=st.booleans(),
    is_duplicate=st.booleans(),
)
def test_what_is_foreseen_as_excess_is_booked_as_excess(
    parts: list[tuple[str, int]], excess: int, before: int, is_posted: bool, is_duplicate: bool
) -> None:
    """Whatever leases the parts name, however often, and however much of them was posted before."""
    central, opened = _with_leases(before)
    here = SidecarId("s1")
    made = charge(
        "c",
        *(part(amount, MORNING, opened=opened[name][0], sidecar_id=opened[name][1]) for name, amount in parts),
        excess=excess,
        committed=NEXT_DAY,
        request="job",
    )
    if is_duplicate:
        central.post(charge("first", excess=1, committed=NEXT_DAY, request="job"), NEXT_DAY)
    if is_posted:
        central.post(made, NEXT_DAY, here)
    foreseen = excess_of(central.ledger(NEXT_DAY, (made,)), made, here)
    posted = central.post(made, NEXT_DAY, here)
    assert foreseen == (0 if is_posted or is_duplicate else posted.excess)
    assert posted.excess + sum(each.amount for each in posted.parts) == posted.cost


def _with_leases(before: int) -> tuple[Central, dict[str, tuple[Instant, SidecarId]]]:
    """Leases of 7 of each kind, and of the open one so much posted before; all but the last on one sidecar."""
    central = central_with(100)
    here, elsewhere = Peer(central, "s1"), Peer(central, "s2")
    day_before, ended = at("08 09:00"), at("09 09:00")
    here.exchange(day_before, asks=need(7))
    elsewhere.exchange(ended)
    here.leases = ()
    here.exchange(ended, asks=need(7))
    here.exchange(NEXT_DAY, held=7, asks=need(7))
    here.exchange(NEXT_DAY, _spent(before, here), held=(7, 7 - before))
    elsewhere.exchange(NEXT_DAY, asks=need(7))
    return central, {
        "here": (NEXT_DAY, here.sidecar_id),
        "reclaimed": (day_before, here.sidecar_id),
        "ended": (ended, here.sidecar_id),
        "elsewhere": (NEXT_DAY, elsewhere.sidecar_id),
        "unknown": (MORNING, here.sidecar_id),
    }


def _spent(amount: int, by: Peer) -> Charge:
    return charge("before", part(amount, NEXT_DAY, by.sidecar_id))
