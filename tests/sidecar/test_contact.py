"""Contact with the central store: how long it is left alone after it failed, and when it has been there for long enough."""

import pytest

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.instants import Span
from creditmeter.sidecar.contact import FIRST_WAIT, LONGEST_SILENCE, LONGEST_WAIT, STEADY_AFTER, Contact

START = Span(1_000_000_000)


def later(span: int) -> Span:
    """A reading of the boot-time clock so long after the start."""
    return Span(START + span)


def is_open(contact: Contact, boot: Span) -> bool:
    """Whether an attempt may be made."""
    try:
        contact.check(boot)
    except CentralUnavailable:
        return False
    return True


def wait_of(contact: Contact, boot: Span) -> int:
    """How long after this moment the next attempt may be made, to a thousandth of the longest wait."""
    step = LONGEST_WAIT // 1_000
    return next(step * number for number in range(1_002) if is_open(contact, Span(boot + step * number)))


def talking(contact: Contact, to: int, *, since: int = 0, every: int = LONGEST_SILENCE) -> None:
    """An answer at these spans after the start, and one at the last."""
    for after in (*range(since, to, every), to):
        contact.succeeded(later(after))


# Attempts.


def test_at_first_the_store_is_asked_at_once() -> None:
    """Nothing is known of it yet."""
    assert is_open(Contact(), Span(0))


def test_waits_grow_to_their_bound() -> None:
    """Each is twice the one before, less up to half of it, and never more than the longest."""
    contact = Contact()
    boot = START
    for full in (1, 2, 4, 8, 10, 10, 10):
        contact.failed(boot)
        assert not is_open(contact, boot)
        wait = wait_of(contact, boot)
        assert full * FIRST_WAIT // 2 <= wait <= full * FIRST_WAIT + LONGEST_WAIT // 1_000
        boot = Span(boot + wait)
    assert LONGEST_WAIT == 10 * FIRST_WAIT


def test_waits_differ() -> None:
    """So that a fleet does not come back all at once."""
    waits = set()
    for _ in range(20):
        contact = Contact()
        contact.failed(START)
        waits.add(wait_of(contact, START))
    assert len(waits) > 1


def test_an_answer_ends_the_wait() -> None:
    """Also one to an attempt that was under way; the next failure begins with the first wait again."""
    contact = Contact()
    for _ in range(10):
        contact.failed(START)
    contact.succeeded(START)
    assert is_open(contact, START)
    contact.failed(START)
    assert wait_of(contact, START) <= FIRST_WAIT + LONGEST_WAIT // 1_000


def test_an_attempt_that_is_too_early_says_so() -> None:
    """It is a passing fault."""
    contact = Contact()
    contact.failed(START)
    with pytest.raises(CentralUnavailable, match="asked again") as raised:
        contact.check(START)
    assert not raised.value.is_lasting


# Steadiness.


@pytest.mark.parametrize(
    ("what", "to", "asked", "expected"),
    [
        ("it was never there", None, STEADY_AFTER, False),
        ("it answered once", 0, 0, False),
        ("not yet long enough", STEADY_AFTER - 1, STEADY_AFTER - 1, False),
        ("for long enough", STEADY_AFTER, STEADY_AFTER, True),
        ("by the time that is asked for", STEADY_AFTER - 1, STEADY_AFTER, True),
        ("for very long", 100 * STEADY_AFTER, 100 * STEADY_AFTER, True),
        ("the last answer is not too old", STEADY_AFTER, STEADY_AFTER + LONGEST_SILENCE, True),
        ("the last answer is too old", STEADY_AFTER, STEADY_AFTER + LONGEST_SILENCE + 1, False),
    ],
)
def test_steady(what: str, to: int | None, asked: int, expected: bool) -> None:
    """Only after continuous contact, up to now."""
    contact = Contact()
    if to is not None:
        talking(contact, to)
    assert contact.is_steady(later(asked)) is expected, what


def test_a_failure_begins_anew() -> None:
    """However long the contact was, and however short the outage."""
    contact = Contact()
    talking(contact, 10 * STEADY_AFTER)
    contact.failed(later(10 * STEADY_AFTER))
    assert not contact.is_steady(later(10 * STEADY_AFTER))
    talking(contact, 11 * STEADY_AFTER - 1, since=10 * STEADY_AFTER)
    assert not contact.is_steady(later(11 * STEADY_AFTER - 1))
    contact.succeeded(later(11 * STEADY_AFTER))
    assert contact.is_steady(later(11 * STEADY_AFTER))


@pytest.mark.parametrize(("silence", "expected"), [(LONGEST_SILENCE, True), (LONGEST_SILENCE + 1, False)])
def test_silence_begins_anew(silence: int, expected: bool) -> None:
    """A process that stood still does not know whether the store was there meanwhile."""
    contact = Contact()
    talking(contact, 2 * STEADY_AFTER)
    back = 2 * STEADY_AFTER + silence
    contact.succeeded(later(back))
    assert contact.is_steady(later(back)) is expected
    talking(contact, back + STEADY_AFTER, since=back)
    assert contact.is_steady(later(back + STEADY_AFTER))
