"""The order in which recalls are served: first come, first served, and excess before any new lease.

What is available goes to the first recall. A later one, and a need that has no recall yet, gets what is left. A recall that
lingers is promised what is available only if that is of use to it: nobody may ever ask for it again.
"""

from collections.abc import Iterable

from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalls import Purpose, Recall


def comes_before(recall: Recall, other: Recall | None) -> bool:
    """Whether a recall is served before another one. It always is before a need that has no recall yet (None)."""
    return other is None or _place(recall) < _place(other)


def _place(recall: Recall) -> tuple[bool, int]:
    return recall.purpose is not Purpose.EXCESS, recall.number


def next_number(recalls: Iterable[Recall]) -> int:
    """The number of the next recall of an account."""
    return max((each.number for each in recalls), default=0) + 1


def free_for(ledger: Ledger, waiting: Recall | None) -> Microcredits:
    """What of the available credit is not promised to recalls that come before, in microcredits."""
    before = (each for each in ledger.recalls.values() if each is not waiting and comes_before(each, waiting))
    left = int(ledger.available)
    for each in sorted(before, key=_place):
        left -= _promised(each, left, ledger.now)
    return Microcredits(max(0, left))


def _promised(recall: Recall, left: int, now: Instant) -> int:
    if recall.purpose is Purpose.STATE:
        return 0
    is_of_use = recall.lingers(now) and left >= recall.smallest
    return recall.amount if is_of_use or recall.stands(now) else 0


def others_wait(ledger: Ledger, waiting: Recall | None) -> bool:
    """Whether any need but this one waits for credit, or may be asked for again."""
    lingering = (each for each in ledger.recalls.values() if each.lingers(ledger.now))
    return any(each is not waiting for each in (*waiting_needs(ledger), *lingering))


def free_for_excess(ledger: Ledger, sidecar_id: SidecarId) -> Microcredits:
    """What of the available credit is not promised to excess that came before this sidecar's, in microcredits."""
    mine = ledger.recalls.get((sidecar_id, Purpose.EXCESS))
    others = [each for each in waiting_needs(ledger) if each.purpose is Purpose.EXCESS and each is not mine]
    before = sum(each.amount for each in others if mine is None or comes_before(each, mine))
    return Microcredits(max(0, ledger.available - before))


def waiting_needs(ledger: Ledger) -> tuple[Recall, ...]:
    """The recalls of sidecars that wait for credit."""
    return tuple(each for each in ledger.recalls.values() if each.purpose is not Purpose.STATE and each.stands(ledger.now))
