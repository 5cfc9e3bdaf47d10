"""Recalling idle credit at the central store: which sidecars are asked for it, and when no more can come."""

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import HOUR, Instant, Span, after
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recall_order import free_for, next_number
from creditmeter.core.settlement.recalls import CENTRAL_STORE, Purpose, Recall
from creditmeter.core.values import Value, replace

EXCESS_MEMORY = HOUR
"""How long a recall for excess is kept after its deadline, so that the charge does not wait again."""


class Wish(Value, frozen=True):
    """Credit that a sidecar would wait for, in microcredits. Less than `smallest` is of no use to it."""

    sidecar_id: SidecarId
    purpose: Purpose
    amount: Microcredits
    smallest: Microcredits
    patience: Span


def note_message(ledger: Ledger, sidecar_id: SidecarId, *, answers: bool) -> None:
    """Note in the recalls that a message came from a sidecar, and drop recalls that are over.

    Only a message that `answers` says what is idle now, as does one of a sidecar that authorises nothing more. A message that
    was composed before the sidecar was notified, and was long under way, says what was idle then. For the central store's own
    recall any message is an answer.
    """
    for recall in list(ledger.recalls.values()):
        if _is_forgotten(recall, ledger.now):
            ledger.drop_recall(recall.key)
        elif sidecar_id in recall.awaited and (answers or recall.purpose is Purpose.STATE):
            ledger.put_recall(replace(recall, awaited=tuple(each for each in recall.awaited if each != sidecar_id)))


def _is_forgotten(recall: Recall, now: Instant) -> bool:
    """Whether a recall is over and may be dropped.

    A recall for excess is kept for longer: when its sidecar sends the charge again, the charge is posted and does not wait
    anew.
    """
    memory = EXCESS_MEMORY if recall.purpose is Purpose.EXCESS else 0
    return not recall.stands(Instant(now - memory))


def recall(ledger: Ledger, wish: Wish) -> bool:
    """Let a wish wait as a recall, if credit that others have out may return and be of use to it. Returns whether it may.

    A wish that waits already keeps its place and its deadline. Every sidecar that has credit out which is not unposted is
    asked: what was held at its last report may be idle by now.
    """
    key = wish.sidecar_id, wish.purpose
    existing = ledger.recalls.get(key)
    waiting = existing or Recall(
        wish.sidecar_id,
        wish.purpose,
        next_number(ledger.recalls.values()),
        wish.amount,
        wish.smallest,
        asked_at=ledger.now,
        deadline=after(ledger.now, wish.patience),
        awaited=_holders(ledger, wish.sidecar_id),
    )
    waiting = replace(waiting, amount=wish.amount, smallest=wish.smallest, is_ready=False)
    if not waiting.stands(ledger.now) or not _may_be_served(ledger, waiting):
        ledger.drop_recall(key)
        return not waiting.stands(ledger.now) and _may_be_served(ledger, waiting)
    ledger.put_recall(waiting)
    if existing is None:
        ledger.changes.notified.update(waiting.awaited)
    return True


def recall_everything(ledger: Ledger) -> None:
    """Ask every sidecar that may authorise on the account for a message, because the account's terms changed."""
    trusted = {lease.sidecar_id: lease.trusted_until for lease in ledger.leases.values() if ledger.now < lease.trusted_until}
    if trusted:
        number, nothing = next_number(ledger.recalls.values()), Microcredits(0)
        awaited, deadline = tuple(sorted(trusted)), max(trusted.values())
        ledger.put_recall(Recall(CENTRAL_STORE, Purpose.STATE, number, nothing, nothing, ledger.now, deadline, awaited))
        ledger.changes.notified.update(awaited)


def mark_ready(ledger: Ledger) -> None:
    """Mark recalls as ready whose credit is there or cannot come, and notify their sidecars.

    For the other recalls, ask sidecars that have idle credit again. Since they answered, idle credit has come to them,
    or they kept some.
    """
    for each in list(ledger.recalls.values()):
        if each.purpose is Purpose.STATE:
            if not each.awaited:
                ledger.drop_recall(each.key)
        elif each.stands(ledger.now) and not each.is_ready:
            _mark_or_ask_again(ledger, each)


def _mark_or_ask_again(ledger: Ledger, each: Recall) -> None:
    if free_for(ledger, each) >= each.smallest or not _may_be_served(ledger, each):
        ledger.put_recall(replace(each, is_ready=True))
        ledger.changes.notified.add(each.sidecar_id)
        return
    idle = {lease.sidecar_id for lease in ledger.leases.values() if lease.idle} - {each.sidecar_id, *each.awaited}
    if idle:
        ledger.put_recall(replace(each, awaited=(*each.awaited, *sorted(idle))))
        ledger.changes.notified.update(idle)


def _may_be_served(ledger: Ledger, waiting: Recall) -> bool:
    """Whether what is available, with all that may still return, is of use to the recall. Any amount is of use to excess."""
    most = _most_that_can_come(ledger, waiting)
    return most > ledger.available if waiting.purpose is Purpose.EXCESS else most >= waiting.smallest


def idle_elsewhere(ledger: Ledger, sidecar_id: SidecarId) -> Microcredits:
    """How much more would be available if the other sidecars returned what they reported as idle, in microcredits.

    Idle credit on leases of ended days counts, too.
    """
    leases = (each if each.sidecar_id == sidecar_id else without_idle(each) for each in ledger.leases.values())
    return Microcredits(ledger.available_if(leases) - ledger.available)


def without_idle(lease: OutLease) -> OutLease:
    """The lease as it would be if its sidecar returned what it reported as idle on it."""
    return replace(lease, limit=Microcredits(lease.limit - lease.idle))


def _holders(ledger: Ledger, asker: SidecarId) -> tuple[SidecarId, ...]:
    """The other sidecars that may have idle credit.

    A sidecar that has been silent for longer than its lease may be used is not waited for: what it reported as held counts as
    held.
    """
    holders = {
        lease.sidecar_id
        for lease in ledger.leases.values()
        if lease.sidecar_id != asker and (lease.idle or (lease.out > lease.unposted and ledger.now < lease.trusted_until))
    }
    return tuple(sorted(holders))


def _most_that_can_come(ledger: Ledger, waiting: Recall) -> int:
    """What would be available if the awaited sidecars held nothing and all others returned what is idle, in microcredits."""

    def at_best(lease: OutLease) -> OutLease:
        if lease.sidecar_id == waiting.sidecar_id:
            return lease
        if lease.sidecar_id in waiting.awaited and ledger.now < lease.trusted_until:
            return replace(lease, limit=Microcredits(min(lease.limit, lease.posted + lease.unposted)))
        return without_idle(lease)

    return ledger.available_if(map(at_best, ledger.leases.values()))
