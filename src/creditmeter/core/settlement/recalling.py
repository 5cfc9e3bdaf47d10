"""Recalling idle credit at the central store: who is asked for it, and when there is nothing more to come."""

from dataclasses import dataclass, replace

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import HOUR, Instant, Span, after
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalls import NOBODY, Purpose, Recall, next_number

EXCESS_MEMORY = HOUR
"""How long it is remembered that a charge waited for recalled credit in vain."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sidecar would wait for, in microcredits: less than `smallest` is of no use to it."""

    sidecar_id: SidecarId
    purpose: Purpose
    amount: Microcredits
    smallest: Microcredits
    patience: Span


def hear(ledger: Ledger, sidecar_id: SidecarId, *, answers: bool) -> None:
    """Note that a sidecar spoke, and forget recalls for which nobody waits any more.

    Only what `answers` tells what it has idle now: a message that was composed before it was told, and was long on its way,
    says what was held then. To the central store itself, which only wants the sidecar to be told, any message is an answer.
    """
    for recall in list(ledger.recalls.values()):
        if _is_forgotten(recall, ledger.now):
            ledger.drop_recall(recall.key)
        elif sidecar_id in recall.awaited and (answers or recall.purpose is Purpose.STATE):
            ledger.put_recall(replace(recall, awaited=tuple(each for each in recall.awaited if each != sidecar_id)))


def _is_forgotten(recall: Recall, now: Instant) -> bool:
    """A charge that waited in vain is posted when its sidecar sends it again, so that it waited is remembered for longer."""
    memory = EXCESS_MEMORY if recall.purpose is Purpose.EXCESS else 0
    return not recall.stands(Instant(now - memory))


def recall(ledger: Ledger, wish: Wish) -> bool:
    """Have a wish wait, if what others have out may come back and be of use to it. Says whether that may be.

    A wish that waits already keeps its place and its deadline. Whoever has credit out that is not waiting to be posted is
    asked: what was held when it last spoke may be idle by now.
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
    """Have every sidecar that may authorise on the account speak about it, because what is agreed with it changed."""
    trusted = {lease.sidecar_id: lease.trusted_until for lease in ledger.leases.values() if ledger.now < lease.trusted_until}
    if trusted:
        number, nothing = next_number(ledger.recalls.values()), Microcredits(0)
        awaited, deadline = tuple(sorted(trusted)), max(trusted.values())
        ledger.put_recall(Recall(NOBODY, Purpose.STATE, number, nothing, nothing, ledger.now, deadline, awaited))
        ledger.changes.notified.update(awaited)


def free_for(ledger: Ledger, waiting: Recall | None) -> Microcredits:
    """What of the available credit is not promised to those who come before."""
    before = (each for each in waiting_needs(ledger) if each is not waiting and each.comes_before(waiting))
    return Microcredits(max(0, ledger.available - sum(each.amount for each in before)))


def free_for_excess(ledger: Ledger, sidecar_id: SidecarId) -> Microcredits:
    """What of the available credit is not promised to excess that came before this sidecar's."""
    mine = ledger.recalls.get((sidecar_id, Purpose.EXCESS))
    others = [each for each in waiting_needs(ledger) if each.purpose is Purpose.EXCESS and each is not mine]
    before = sum(each.amount for each in others if mine is None or each.comes_before(mine))
    return Microcredits(max(0, ledger.available - before))


def waiting_needs(ledger: Ledger) -> tuple[Recall, ...]:
    """The needs that wait."""
    return tuple(each for each in ledger.recalls.values() if each.purpose is not Purpose.STATE and each.stands(ledger.now))


def mark_ready(ledger: Ledger) -> None:
    """Tell those who wait when what they wait for is there, or when nothing more can come; and ask those who were given credit
    since, or kept some, to give back what of it is idle by now.
    """
    for each in list(ledger.recalls.values()):
        if each.purpose is Purpose.STATE:
            if not each.awaited:
                ledger.drop_recall(each.key)
        elif each.stands(ledger.now) and not each.is_ready:
            _pursue(ledger, each)


def _pursue(ledger: Ledger, each: Recall) -> None:
    if free_for(ledger, each) >= each.smallest or not _may_be_served(ledger, each):
        ledger.put_recall(replace(each, is_ready=True))
        ledger.changes.notified.add(each.sidecar_id)
        return
    idle = {lease.sidecar_id for lease in ledger.leases.values() if lease.idle} - {each.sidecar_id, *each.awaited}
    if idle:
        ledger.put_recall(replace(each, awaited=(*each.awaited, *sorted(idle))))
        ledger.changes.notified.update(idle)


def _may_be_served(ledger: Ledger, waiting: Recall) -> bool:
    """Whether what is available, with all that may still come back, is of use to it. To excess every bit is."""
    most = _most_that_can_come(ledger, waiting)
    return most > ledger.available if waiting.purpose is Purpose.EXCESS else most >= waiting.smallest


def idle_elsewhere(ledger: Ledger, sidecar_id: SidecarId) -> Microcredits:
    """How much more would be available if the other sidecars gave back what they said is idle, on leases of ended days too."""
    leases = (each if each.sidecar_id == sidecar_id else without_idle(each) for each in ledger.leases.values())
    return Microcredits(ledger.available_if(leases) - ledger.available)


def without_idle(lease: OutLease) -> OutLease:
    """The lease as it would be if what was said to be idle on it came back."""
    return replace(lease, limit=Microcredits(lease.limit - lease.idle))


def _holders(ledger: Ledger, asker: SidecarId) -> tuple[SidecarId, ...]:
    """The other sidecars that can have idle credit. One that was silent for longer than its lease may be used is not waited
    for: what it held then is held.
    """
    holders = {
        lease.sidecar_id
        for lease in ledger.leases.values()
        if lease.sidecar_id != asker and (lease.idle or (lease.out > lease.unposted and ledger.now < lease.trusted_until))
    }
    return tuple(sorted(holders))


def _most_that_can_come(ledger: Ledger, waiting: Recall) -> int:
    """What would be available if those who are still awaited held nothing, and all others gave back what is idle."""

    def at_best(lease: OutLease) -> OutLease:
        if lease.sidecar_id == waiting.sidecar_id:
            return lease
        if lease.sidecar_id in waiting.awaited and ledger.now < lease.trusted_until:
            return replace(lease, limit=Microcredits(min(lease.limit, lease.posted + lease.unposted)))
        return without_idle(lease)

    return ledger.available_if(map(at_best, ledger.leases.values()))
