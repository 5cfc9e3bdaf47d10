"""How many of an account's permanent grants a decision has to load.

An account may have thousands of them, and a decision draws on the first few. So only the first in the order of deduction are
loaded, as many as have all that may be drawn, and the sums of the rest. The decision is the same as with all of them loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import Grant
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import LeaseId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.posting import drawn_at


@dataclass(frozen=True, slots=True)
class DrawBound:
    """The most that a decision may draw, in microcredits, and the earliest moment as of which it may draw."""

    amount: Microcredits
    since: Instant


def draw_bound(posts: Iterable[Charge], owing: Iterable[Charge], leases: Mapping[LeaseId, OutLease], now: Instant) -> DrawBound:
    """The bound on what is drawn when the charges `posts` are posted and those in `owing` repay their debt."""
    posts = tuple(posts)
    cost = sum(charge.cost for charge in posts)
    debt = sum(charge.posting.debt for charge in owing if charge.posting is not None)
    parts = (part for charge in posts for part in charge.parts if part.lease_id in leases)
    since = min((now, *(drawn_at(part, leases[part.lease_id], now) for part in parts)))
    return DrawBound(Microcredits(cost + debt), since)


def covers_draws(first: Sequence[Grant], bound: DrawBound, now: Instant, listed: int = 0) -> bool:
    """Whether the grants `first`, the permanent grants at the head of the order of deduction, have all that may be drawn.

    They also have to include `listed` grants behind the drawn ones, to be shown, and every grant that has ended. What is left
    of a grant that began after the earliest draw, or was voided, does not count: a draw may pass over it.
    """
    if not first or first[-1].has_ended(now):
        return False
    left, spare = int(bound.amount), 0
    for each in first:
        if each.has_ended(now) or each.effective_at > bound.since or each.voided_at is not None:
            continue
        spare += left <= 0
        left -= each.remaining
    return left <= 0 and spare >= listed
