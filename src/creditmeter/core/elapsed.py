"""The central store's elapsed time: how much time surely passed, as its sidecars counted it by their boot-time clocks.

Leases of lost sidecars are reclaimed by it. No clock that somebody sets has a part in it, neither the store's nor a machine's.
It may be less than what really passed, and never more: while no sidecar is in touch with the store, nothing is counted.
"""

from creditmeter.core.instants import SECOND, Span

LONGEST_COUNTED = Span(45 * SECOND)
"""The most that is counted from one answer of the store on, which is the time of three heartbeats. After a longer time without
any nothing of it is counted. So no more is counted after a lease was renewed than what passes from then on, and this much.
"""


def counted(elapsed: Span, least: Span | None) -> Span:
    """The elapsed time when a sidecar says that it is `least` now; None if it does not know of any.

    All sidecars count the same time. So what one says counts as far as no other one was earlier. More than `LONGEST_COUNTED` at
    once cannot be: the store was put back to an older state.
    """
    if least is None or least - elapsed > LONGEST_COUNTED:
        return elapsed
    return max(elapsed, least)


class ElapsedCount:
    """One sidecar's count: it goes on from the elapsed time that the store last answered."""

    def __init__(self) -> None:
        self._said: Span | None = None
        self._heard_at = Span(0)

    def hear(self, elapsed: Span, boot: Span) -> None:
        """Take an answer of the store, which came at `boot` on the boot-time clock."""
        self._said, self._heard_at = elapsed, boot

    def least(self, boot: Span) -> Span | None:
        """What the elapsed time is at least; None if no answer came for `LONGEST_COUNTED`. An older one would be counted upon
        what others have counted since.
        """
        passed = boot - self._heard_at
        return None if self._said is None or passed > LONGEST_COUNTED else Span(self._said + passed)
