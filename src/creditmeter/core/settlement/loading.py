"""How many of an account's permanent grants a decision has to look at.

An account may have thousands of them, and a decision draws on the first few. So a beginning of the order of deduction is
loaded that has all that may be drawn, and of the rest only the sums. What decides is the same as if all had been loaded.
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
class Demand:
    """The most that a decision may draw, in microcredits, and the earliest moment as of which it draws."""

    amount: Microcredits
    since: Instant


def demand(posts: Iterable[Charge], owing: Iterable[Charge], leases: Mapping[LeaseId, OutLease], now: Instant) -> Demand:
    """What posting some charges, and repaying those that owe debt, may draw."""
    posts = tuple(posts)
    cost = sum(charge.cost for charge in posts)
    debt = sum(charge.posting.debt for charge in owing if charge.posting is not None)
    parts = (part for charge in posts for part in charge.parts if part.lease_id in leases)
    since = min((drawn_at(part, leases[part.lease_id], now) for part in parts), default=now)
    return Demand(Microcredits(cost + debt), since)


def is_enough(first: Sequence[Grant], wanted: Demand, now: Instant, listed: int = 0) -> bool:
    """Whether the first permanent grants in the order of deduction have all that may be drawn, with so many behind these to be
    shown, and are all that have ended.

    Of one that began after the earliest draw, or was voided, it does not count what it has: a draw may pass it over for those
    behind it.
    """
    if not first or first[-1].has_ended(now):
        return False
    left, spare = int(wanted.amount), 0
    for each in first:
        if each.has_ended(now) or each.effective_at > wanted.since or each.voided_at is not None:
            continue
        spare += left <= 0
        left -= each.remaining
    return left <= 0 and spare >= listed
