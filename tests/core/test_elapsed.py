"""The count of elapsed time: never ahead of what passed, and after any moment at most 45 s more than passes from it on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from creditmeter.core.elapsed import LONGEST_COUNTED, ElapsedCount, counted
from creditmeter.core.instants import SECOND, Span

MOST = LONGEST_COUNTED // SECOND


@dataclass
class Fleet:
    """Sidecars whose boot-time clocks show different times, and the store's count; all in seconds."""

    sidecars: int
    now: int = 0
    elapsed: int = 0
    counts: dict[int, ElapsedCount] = field(default_factory=dict)

    def beat(self, who: int, *, is_heard: bool = True) -> None:
        """A sidecar sends a heartbeat, whose reply may be lost."""
        count, boot = self.counts.setdefault(who, ElapsedCount()), Span((self.now + 1_000 * who) * SECOND)
        self.elapsed = counted(Span(self.elapsed * SECOND), count.least(boot)) // SECOND
        if is_heard:
            count.hear(Span(self.elapsed * SECOND), boot)

    def restart(self, who: int) -> None:
        """A sidecar starts anew."""
        self.counts.pop(who, None)


BEATS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60), st.sampled_from(("heard", "lost", "restart"))), max_size=40)


def lived(beats: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int]]:
    """When it is, and what is counted by then, after each of these: who, how many seconds later, and what becomes of it."""
    fleet = Fleet(5)
    yield 0, 0
    for who, after, what in beats:
        fleet.now += after
        if what == "restart":
            fleet.restart(who)
        else:
            fleet.beat(who, is_heard=what == "heard")
        yield fleet.now, fleet.elapsed


@given(BEATS)
@example(
    [(0, 0, "heard"), (1, 0, "heard"), (2, 0, "heard"), (0, 46, "heard"), (1, 44, "heard"), (1, 41, "heard"), (0, 1, "heard")]
)
def test_no_more_is_counted_than_passes_but_for_a_bounded_lag(beats: list[tuple[int, int, str]]) -> None:
    """From any moment on, whatever is lost and whoever starts anew: so long at least a lease is kept."""
    seen = list(lived(beats))
    for place, (since, before) in enumerate(seen):
        for now, elapsed in seen[place:]:
            assert 0 <= elapsed - before <= now - since + MOST
            assert elapsed <= now


@given(st.lists(st.integers(1, MOST), max_size=40))
def test_all_is_counted_while_one_is_in_touch(pauses: list[int]) -> None:
    """From its first heartbeat on."""
    *_, (now, elapsed) = lived([(0, pause, "heard") for pause in [1, *pauses]])
    assert elapsed == now - 1


@pytest.mark.parametrize(
    ("ahead", "expected"), [(-SECOND, 0), (0, 0), (LONGEST_COUNTED, LONGEST_COUNTED), (LONGEST_COUNTED + 1, 0)]
)
def test_what_the_store_takes_over(ahead: int, expected: int) -> None:
    """Not more than can be: it may have been put back to an older state."""
    assert counted(Span(10 * SECOND), Span(10 * SECOND + ahead)) == 10 * SECOND + expected
    assert counted(Span(10 * SECOND), None) == 10 * SECOND
