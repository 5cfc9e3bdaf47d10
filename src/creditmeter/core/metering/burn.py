"""How fast an account's credit is used on a sidecar, which decides how much of it to have in hand."""

from creditmeter.core.amounts import Microcredits
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.values import Value, replace

HORIZON = Span(30 * SECOND)
"""The credit in hand is to last this long."""

SHORTEST = Span(5 * SECOND)
"""The shortest time over which a rate is taken."""

LOW_WATER = 2
"""Credit in hand is refilled when less than one part in this many is left."""

FIRST_LEASE = 32
"""Multiple of the present need that is asked for while the account's rate is not known, so that most requests find credit in
hand.
"""


class Burn(Value, frozen=True):
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
