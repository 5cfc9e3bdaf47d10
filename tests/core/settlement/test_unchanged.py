"""A look at a message is answered if nothing changes by it. `Central` checks that of every message of these tests."""

from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Instant, Span
from creditmeter.core.settlement.answering import answer
from creditmeter.core.settlement.unchanged import answer_if_unchanged
from tests.core.builders import Central, at
from tests.core.peers import Peer, central_with, need, sidecars

NOON = at("10 12:00")
ELAPSED = Span(0)


def is_changed(central: Central, peer: Peer, now: int, required: int, held: int = 0) -> bool:
    """Whether the next message of a sidecar would change anything."""
    sent = peer.message(held=held, asks=need(required))
    return answer_if_unchanged(central.ledger(Instant(now)), sent, central.elapsed(Instant(now))) is None


def test_a_need_that_cannot_be_met_changes_nothing() -> None:
    """The answer is that of any message."""
    central = central_with(10)
    (a,) = sidecars(central, "a")
    sent = a.message(asks=need(11))
    answered = answer(central.ledger(NOON), sent, ELAPSED)
    assert answer_if_unchanged(central.ledger(NOON), sent, ELAPSED) == answered
    assert is_changed(central, a, NOON, 10)


def test_holds_that_are_renewed_change_nothing() -> None:
    """What is held is as it was."""
    central = central_with(10)
    (a,) = sidecars(central, "a")
    a.exchange(NOON, asks=need(10))
    a.exchange(NOON, held=10)
    assert not is_changed(central, a, NOON + 5 * MINUTE, 1, held=10)
    assert is_changed(central, a, NOON + 5 * MINUTE, 1, held=9)


def test_asking_others_is_a_change() -> None:
    """Also asking them again, and taking back what was asked of them. What they were asked a while ago is over."""
    central = central_with(10)
    a, b = sidecars(central, "ab")
    a.exchange(NOON, asks=need(10))
    a.exchange(NOON, held=10)
    assert is_changed(central, b, NOON, 1)
    assert not is_changed(central, b, NOON, 11), "there would be too little"
    b.exchange(NOON, asks=need(1))
    assert is_changed(central, a, NOON, 1, held=10), "it answers"
    assert is_changed(central, b, NOON, 11)
    later = Instant(NOON + SECOND + REPEAT_GRACE)
    b.exchange(later, held=0)
    assert not is_changed(central, a, later, 1, held=10)


def test_a_lost_sidecar_and_a_new_day_are_changes() -> None:
    """What time brings is decided with the message."""
    central = central_with(10)
    central.uncounted = Span(0)
    a, b = sidecars(central, "ab")
    a.exchange(NOON, asks=need(10))
    a.exchange(NOON, held=10)
    later = Instant(NOON + 3 * HOUR)
    assert is_changed(central, b, later, 11)
    central.uncounted = Span(3 * HOUR)
    assert not is_changed(central, b, later, 11)
    a.exchange(later, held=0)
    assert not is_changed(central, b, later, 11)
    assert is_changed(central, b, NOON + 12 * HOUR, 11), "the day of the lease has ended"
