"""The order in which recalls are served: first come, first served."""

import pytest

from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.instants import MINUTE, Instant, Span
from tests.core.builders import at
from tests.core.peers import PATIENCE, central_with, need, outcome, sidecars

MORNING = at("10 09:00")


def later(moment: Instant, span: int) -> Instant:
    """A moment so many microseconds after another."""
    return Instant(moment + span)


def test_first_come_first_served() -> None:
    """Credit that comes is promised in the order of the needs; it is served to whoever asks, as far as it is not promised."""
    central = central_with(6)
    holder, *waiters = sidecars(central, "abcd")
    holder.exchange(MORNING, asks=need(6))
    for each in waiters:
        assert outcome(each.exchange(MORNING, asks=need(2))) == (0, 2, True)
    assert [each.number for each in central.recalls.values()] == [1, 2, 3]
    holder.exchange(MORNING, held=3)
    assert [each.is_notified() for each in waiters] == [True, False, False]
    first, second, third = waiters
    assert outcome(third.exchange(MORNING, asks=need(2))) == (0, 2, True)
    assert outcome(second.exchange(MORNING, asks=need(2))) == (0, 2, True), "3 are there, and 2 of them are promised"
    assert outcome(first.exchange(MORNING, asks=need(2))) == (2, 0, False)
    holder.exchange(MORNING, held=2)
    first.exchange(MORNING, held=2)
    assert [each.is_notified() for each in (second, third)] == [False, False], "it was notified already, or is behind"
    assert outcome(second.exchange(MORNING, asks=need(2))) == (2, 0, False)


def test_a_need_that_is_asked_for_again_keeps_its_place_and_its_deadline() -> None:
    """However much it is by then; it must not be pushed away for ever, nor push others away."""
    central = central_with(6)
    holder, first, second = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(6))
    first.exchange(MORNING, asks=need(5))
    second.exchange(MORNING, asks=need(1))
    soon = later(MORNING, PATIENCE - 1)
    assert outcome(first.exchange(soon, asks=need(4, smallest=2, patience=Span(MINUTE)))) == (0, 4, True)
    recall = first.recall()
    assert recall is not None
    assert (recall.number, recall.deadline) == (1, MORNING + PATIENCE)
    assert (recall.amount, recall.smallest) == (4, 2)


@pytest.mark.parametrize(("after", "notified"), [(0, (True, False)), (REPEAT_GRACE, (False, True))])
def test_a_need_that_is_repeated_after_its_deadline(after: int, notified: tuple[bool, bool]) -> None:
    """For a while it keeps its place, before those that came meanwhile; later it is a new one, behind them."""
    central = central_with(6)
    holder, first, second = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(6))
    first.exchange(MORNING, asks=need(5))
    repeated = later(MORNING, PATIENCE + after)
    second.exchange(Instant(repeated - 1), asks=need(5))
    first.exchange(repeated, asks=need(5))
    holder.exchange(repeated)
    assert (first.is_notified(), second.is_notified()) == notified


@pytest.mark.parametrize(("waited", "granted"), [(PATIENCE - 1, 0), (PATIENCE, 4)])
def test_a_need_past_its_deadline_holds_nobody_up(waited: int, granted: int) -> None:
    """What is available would be of no use to it, so that others get it, also if its sidecar says nothing."""
    central = central_with(10)
    holder, waiter, other = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(6))
    waiter.exchange(MORNING, asks=need(10))
    assert other.exchange(later(MORNING, waited), asks=need(4)).granted == granted


@pytest.mark.parametrize(("waited", "granted"), [(PATIENCE, 0), (PATIENCE + REPEAT_GRACE - 1, 0), (PATIENCE + REPEAT_GRACE, 4)])
def test_credit_that_came_for_a_need_is_kept_until_it_is_repeated(waited: int, granted: int) -> None:
    """But no longer than its caller is expected. Others are told that more may come."""
    central = central_with(10)
    holder, waiter, other = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(10))
    waiter.exchange(MORNING, asks=need(7))
    holder.exchange(later(MORNING, PATIENCE))
    at_last = later(MORNING, waited)
    assert outcome(other.exchange(at_last, asks=need(4))) == (granted, 4 - granted, not granted)
    assert (waiter.recall() is None) == bool(granted)
    assert outcome(waiter.exchange(at_last, asks=need(6 if granted else 7)))[1:] == (0, False)


def test_a_refill_waits_while_a_need_may_be_repeated() -> None:
    """Credit that is of no use to the need yet is not put aside for calls that may never come."""
    central = central_with(10)
    holder, waiter, other = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(6))
    waiter.exchange(MORNING, asks=need(10))
    assert other.exchange(later(MORNING, PATIENCE), asks=need(1, wanted=4)).granted == 1


def test_a_need_is_not_refused_because_credit_is_promised_to_others() -> None:
    """The first may give up: the second waits, though no sidecar is awaited any more, and is notified."""
    central = central_with(4)
    first, second, holder = sidecars(central, "abc")
    holder.exchange(MORNING, asks=need(4))
    first.exchange(MORNING, asks=need(4))
    holder.exchange(MORNING)
    assert outcome(second.exchange(MORNING, asks=need(3))) == (0, 3, True)
    recall = second.recall()
    assert recall is not None
    assert recall.awaited == ()
    first.exchange(MORNING)
    assert second.is_notified()
    assert outcome(second.exchange(MORNING, asks=need(3))) == (3, 0, False)


@pytest.mark.parametrize("order", [1, -1])
def test_ten_waiters_for_the_last_three_credits(order: int) -> None:
    """Each notified sidecar answers, in any order: three get one each, seven are refused for good, and none is left waiting."""
    central = central_with(3)
    holder, *waiters = sidecars(central, "zabcdefghij")
    everyone = {each.sidecar_id: each for each in (holder, *waiters)}
    holder.exchange(MORNING, asks=need(3))
    for each in waiters:
        assert outcome(each.exchange(MORNING, asks=need(1))) == (0, 1, True)
    outcomes: dict[str, tuple[int, int, bool]] = {}
    to_send = [holder]
    for _ in range(1_000):
        if not to_send:
            break
        peer = to_send.pop(0)
        held = outcomes.get(peer.sidecar_id, (0, 0, False))[0]
        is_waiting = peer is not holder and peer.sidecar_id not in outcomes
        result = outcome(peer.exchange(MORNING, held=held, asks=need(1) if is_waiting else None))
        if is_waiting and not result[2]:
            outcomes[peer.sidecar_id] = result
        to_send += [each for name, each in sorted(everyone.items())[::order] if name in central.notified]
    assert sorted(outcomes.values()) == [(0, 1, False)] * 7 + [(1, 0, False)] * 3
    assert not central.recalls
