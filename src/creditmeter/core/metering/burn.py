"""How fast an account's credit is used on a sidecar, which says how much of it to have in hand."""

from dataclasses import dataclass, replace

from creditmeter.core.amounts import Microcredits
from creditmeter.core.instants import SECOND, Span

HORIZON = Span(30 * SECOND)
"""Credit for this long is kept in hand."""

SHORTEST = Span(5 * SECOND)
"""A rate is taken over no less than this."""

LOW_WATER = 2
"""It is refilled when less than one part in this many of it is left."""

FIRST_LEASE = 32
"""How many times what is needed now is asked for while nothing is known of the account's rate, so that most requests find
credit in hand.
"""


@dataclass(frozen=True, slots=True)
class Burn:
    """What was authorised in the running stretch of `HORIZON`, which began at `since` on the boot-time clock, and in the one
    before, in microcredits.
    """

    since: Span = Span(0)
    now: Microcredits = Microcredits(0)
    before: Microcredits = Microcredits(0)

    def at(self, boot: Span) -> "Burn":
        """The same at a later moment."""
        stretches = (boot - self.since) // HORIZON
        if stretches == 0:
            return self
        before = self.now if stretches == 1 else Microcredits(0)
        return Burn(Span(self.since + stretches * HORIZON), Microcredits(0), before)

    def used(self, amount: Microcredits, boot: Span) -> "Burn":
        """After more was authorised."""
        then = self.at(boot)
        return replace(then, now=Microcredits(then.now + amount))

    def in_a_horizon(self, boot: Span) -> Microcredits:
        """What is used in `HORIZON` at the recent rate, in microcredits; the first stretch is taken to go on as it began."""
        then = self.at(boot)
        elapsed = boot - then.since
        if not then.before:
            return Microcredits(then.now * HORIZON // max(elapsed, SHORTEST))
        return Microcredits(then.now + then.before * (HORIZON - elapsed) // HORIZON)
