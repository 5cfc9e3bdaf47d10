"""Cost that no lease stands behind waits for credit that is idle elsewhere, but neither for ever nor in vain."""

import pytest

from creditmeter.core.instants import MINUTE, Instant, Span
from creditmeter.core.settlement.answering import EXCESS_PATIENCE, SKEW_MARGIN
from creditmeter.core.settlement.recalling import EXCESS_MEMORY
from creditmeter.core.settlement.recalls import Purpose
from tests.core.builders import Central, account, at, charge, grant, part
from tests.core.peers import Peer, need, outcome

MORNING = at("10 09:00")
TRUSTED = Span(10 * MINUTE + SKEW_MARGIN)


def central_with(amount: int) -> Central:
    """A central store with one permanent grant."""
    return Central(account(), grants=[grant("g", amount)])


def sidecars(central: Central, names: str) -> list[Peer]:
    """A sidecar for each letter."""
    return [Peer(central, each) for each in names]


def later(moment: Instant, span: int) -> Instant:
    """A moment so many microseconds after another."""
    return Instant(moment + span)


def test_excess_waits_for_credit_that_is_idle_elsewhere() -> None:
    """It is not posted until that has come back; what it spends on leases is not idle meanwhile."""
    central = central_with(10)
    here, holder = sidecars(central, "ab")
    here.exchange(MORNING, asks=need(3))
    holder.exchange(MORNING, asks=need(7))
    paid = charge("c", part(3, MORNING, here.sidecar_id), excess=5)
    answered = here.exchange(MORNING, paid)
    assert (dict(answered.postings), central.charges) == ({}, {})
    assert [(each.out, each.idle) for each in central.leases.values() if each.sidecar_id == "a"] == [(3, 0)]
    assert holder.is_notified()
    holder.exchange(MORNING, held=2)
    assert here.is_notified()
    here.exchange(MORNING, paid)
    assert (central.posting("c").covered, central.posting("c").uncovered) == (8, 0)
    assert not central.recalls


def test_excess_that_nobody_can_cover_does_not_wait() -> None:
    """Nothing is out elsewhere but what waits to be posted, or what is held by one that is silent: it is written off."""
    cases: tuple[tuple[int, int, int], ...] = ((0, 7, 0), (7, 0, TRUSTED))
    for held, unposted, silent_for in cases:
        central = central_with(10)
        here, holder = sidecars(central, "ab")
        holder.exchange(MORNING, asks=need(7))
        holder.exchange(MORNING, held=held, unposted=unposted)
        here.exchange(later(MORNING, silent_for), charge("c", excess=5, committed=MORNING))
        assert (central.posting("c").covered, central.posting("c").uncovered) == (3, 2)
        assert not central.recalls


def test_a_part_of_excess_is_worth_waiting_for() -> None:
    """More than all that can come is written off at the end, not before."""
    central = central_with(10)
    here, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(7))
    paid = charge("c", excess=50, committed=MORNING)
    assert not here.exchange(MORNING, paid).postings
    holder.exchange(MORNING, held=5)
    assert here.is_notified()
    here.exchange(MORNING, paid)
    assert (central.posting("c").covered, central.posting("c").uncovered) == (5, 45)


@pytest.mark.parametrize(("waited", "is_posted"), [(EXCESS_PATIENCE - 1, False), (EXCESS_PATIENCE, True)])
def test_excess_does_not_wait_for_ever(waited: int, is_posted: bool) -> None:
    """After its patience it is posted with what is there, whoever is still silent, and it does not wait a second time."""
    central = central_with(10)
    here, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(7))
    paid = charge("c", excess=5, committed=MORNING)
    here.exchange(MORNING, paid)
    assert bool(here.exchange(later(MORNING, waited), paid).postings) == is_posted


def test_excess_that_waited_long_enough_is_not_asked_for_again() -> None:
    """It is posted with the next message anyway, and nobody is bothered for it."""
    central = central_with(10)
    here, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(7))
    here.exchange(MORNING, charge("c", excess=5, committed=MORNING))
    holder.exchange(later(MORNING, EXCESS_PATIENCE), keeps=True)
    assert central.notified == set()
    holder.exchange(later(MORNING, EXCESS_PATIENCE))
    assert central.notified == set()


def test_that_excess_waited_is_remembered() -> None:
    """Others send messages meanwhile; when it is sent at last it has waited enough. After that it would wait anew."""
    for waited, is_posted in ((EXCESS_PATIENCE + EXCESS_MEMORY - 1, True), (EXCESS_PATIENCE + EXCESS_MEMORY, False)):
        central = central_with(10)
        here, holder, other = sidecars(central, "abc")
        holder.exchange(MORNING, asks=need(7))
        paid = charge("c", excess=5, committed=MORNING)
        here.exchange(MORNING, paid)
        now = later(MORNING, waited)
        holder.exchange(now, keeps=True)
        assert outcome(other.exchange(now, asks=need(3))) == (3, 0, False), "past its patience it holds nobody up"
        assert bool(here.exchange(now, paid).postings) == is_posted


def test_excess_comes_before_any_new_lease() -> None:
    """Also before one that waits for longer."""
    central = central_with(10)
    first, late, holder = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(10))
    first.exchange(MORNING, asks=need(4))
    paid = charge("c", excess=8, committed=MORNING)
    late.exchange(MORNING, paid)
    holder.exchange(MORNING, held=2)
    assert (first.is_notified(), late.is_notified()) == (False, True)
    assert outcome(first.exchange(MORNING, asks=need(4))) == (0, 4, True), "all that came is promised"
    late.exchange(MORNING, paid)
    assert central.posting("c").covered == 8
    assert outcome(first.exchange(MORNING, asks=need(4))) == (0, 4, False)


def test_excess_is_served_in_the_order_in_which_it_came() -> None:
    """A later and smaller one does not take what an earlier one waits for."""
    central = Central(account(), grants=[grant("g", 10)])
    first, second, holder = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(6))
    assert not first.exchange(MORNING, charge("big", excess=8, committed=MORNING)).postings
    assert not second.exchange(MORNING, charge("small", excess=3, committed=MORNING)).postings


def test_a_charge_without_excess_is_not_held_up() -> None:
    """The one that waits stays behind; a later one that also lacks credit does not overtake it."""
    central = central_with(10)
    here, holder = sidecars(central, "ab")
    here.exchange(MORNING, asks=need(3))
    holder.exchange(MORNING, asks=need(5))
    charges = (
        charge("big", excess=5, committed=MORNING),
        charge("covered", part(3, MORNING, here.sidecar_id)),
        charge("small", excess=1, committed=MORNING),
    )
    assert list(here.exchange(MORNING, *charges).postings) == ["covered"]
    recall = here.recall(Purpose.EXCESS)
    assert recall is not None
    assert recall.amount == 6
    holder.exchange(MORNING)
    here.exchange(MORNING, *charges)
    assert [central.posting(each).uncovered for each in ("big", "covered", "small")] == [0, 0, 0]


def test_what_waits_is_posted_once() -> None:
    """Sent again and again, also over a restart of its sidecar, and by a message that comes twice."""
    central = central_with(10)
    here, holder = sidecars(central, "ab")
    holder.exchange(MORNING, asks=need(7))
    paid = charge("c", excess=5, committed=MORNING)
    for _ in range(3):
        assert not here.exchange(MORNING, paid).postings
    holder.exchange(MORNING)
    message = here.message(paid)
    assert here.send(message, MORNING) == here.send(message, MORNING)
    here.exchange(MORNING, paid)
    assert (central.posting("c").covered, sum(central.remaining().values())) == (5, 5)
