"""Recalling idle credit at the central store: which sidecars are asked for it, and when no more can come."""

from creditmeter.core.amounts import MAX_BALANCE, Microcredits
from creditmeter.core.awaited import Awaited
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import HOUR, SECOND, Instant, Span, after
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recall_order import free_for, next_number
from creditmeter.core.settlement.recalls import CENTRAL_STORE, Purpose, Recall
from creditmeter.core.values import Value, replace

MAX_AWAITED = 10
"""Most sidecars that an answer names as awaited."""

LEAST_PATIENCE = Span(SECOND // 4)
"""How long a recall stands at least. Sidecars look for recalls every 0.1 s where the store cannot notify them."""

EXCESS_MEMORY = HOUR
"""How long a recall for excess is kept after its deadline, so that the charge does not wait again."""


class Wish(Value, frozen=True):
    """Credit that a sidecar would wait for, in microcredits. Less than `smallest` is of no use to it.

    `since` is that of the need, and `keeps_place` that of its message (`core/credit/messages.py`).
    """

    sidecar_id: SidecarId
    purpose: Purpose
    amount: Microcredits
    smallest: Microcredits
    patience: Span
    since: Instant | None = None
    keeps_place: bool = False


def note_message(ledger: Ledger, sidecar_id: SidecarId, *, answers: bool) -> None:
    """Note in the recalls that a message came from a sidecar, and drop recalls that are over.

    Only a message that `answers` says what is idle now, as does one of a sidecar that authorises nothing more. A message that
    was composed before the sidecar was notified, and was long under way, says what was idle then. For the central store's own
    recall any message is an answer.
    """
    for recall in list(ledger.recalls.values()):
        if _is_forgotten(recall, ledger.now):
            ledger.drop_recall(recall.key)
        elif (answers and recall.sidecar_id != sidecar_id) or recall.purpose is Purpose.STATE:
            ledger.put_recall(_answered(recall, sidecar_id, ledger.now))


def _answered(recall: Recall, sidecar_id: SidecarId, now: Instant) -> Recall:
    awaited = tuple(each for each in recall.awaited if each != sidecar_id)
    if recall.purpose is not Purpose.LEASE:
        return replace(recall, awaited=awaited)
    answered = dict(recall.answered) | {sidecar_id: Instant(max(now, recall.asked_at))}
    return replace(recall, awaited=awaited, answered=tuple(sorted(answered.items())))


def _is_forgotten(recall: Recall, now: Instant) -> bool:
    """Whether a recall is over and may be dropped.

    A recall for excess is kept for longer: when its sidecar sends the charge again, the charge is posted and does not wait
    anew. One for a lease lingers, since its caller may repeat the request.
    """
    memory = EXCESS_MEMORY if recall.purpose is Purpose.EXCESS else 0
    return not recall.lingers(now) and not recall.stands(Instant(now - memory))


def recall(ledger: Ledger, wish: Wish) -> Recall | None:
    """Let a wish wait as a recall, if credit that others have out may return and be of use to it. Returns the recall; None if
    nothing may return.

    A wish that waits already keeps its place and its deadline; one that lingers keeps its place, and waits anew. Every sidecar
    that has credit out which is not unposted is asked: what was held at its last report may be idle by now. A wish with less
    patience than `LEAST_PATIENCE` stands for that long: so others hear of it, and the credit is there when it is wished for
    again.
    """
    wish = replace(wish, amount=min(wish.amount, MAX_BALANCE), smallest=min(wish.smallest, MAX_BALANCE))
    existing = ledger.recalls.get((wish.sidecar_id, wish.purpose))
    waiting = _asked_first(ledger, wish) if existing is None else _asked_again(ledger, existing, wish)
    if not _may_be_served(ledger, waiting):
        let_go(ledger, wish.sidecar_id, wish.purpose, keeps_place=wish.keeps_place)
        return None
    ledger.put_recall(waiting)
    ledger.changes.notified.update(set(waiting.awaited).difference(existing.awaited if existing else ()))
    return waiting


def _asked_first(ledger: Ledger, wish: Wish) -> Recall:
    return Recall(
        wish.sidecar_id,
        wish.purpose,
        next_number(ledger.recalls.values()),
        wish.amount,
        wish.smallest,
        asked_at=ledger.now,
        deadline=_until(ledger, wish),
        awaited=_holders(ledger, wish.sidecar_id),
    )


def _until(ledger: Ledger, wish: Wish) -> Instant:
    return after(ledger.now, max(wish.patience, LEAST_PATIENCE))


def _asked_again(ledger: Ledger, existing: Recall, wish: Wish) -> Recall:
    """The recall when its sidecar asks again. For a lease, those are asked anew who did not answer since all its requests were
    asked for: they may have let something go.
    """
    deadline = existing.deadline if existing.stands(ledger.now) else _until(ledger, wish)
    again = replace(existing, amount=wish.amount, smallest=wish.smallest, deadline=deadline, is_ready=False)
    if wish.purpose is not Purpose.LEASE:
        return again
    heard = {each for each, moment in _fresh(ledger, existing).items() if wish.since is not None and wish.since <= moment}
    anew = [each for each in _holders(ledger, wish.sidecar_id) if each not in heard and each not in existing.awaited]
    asked_at = existing.asked_at
    if wish.since is None:
        asked_at = Instant(max(ledger.now, asked_at, *(moment + 1 for _, moment in existing.answered)))
    return replace(again, awaited=(*existing.awaited, *anew), asked_at=asked_at)


def let_go(ledger: Ledger, sidecar_id: SidecarId, purpose: Purpose = Purpose.LEASE, *, keeps_place: bool) -> None:
    """End the wait of a sidecar's need. If it `keeps_place`, the recall lingers from now on, for requests to be repeated."""
    existing = ledger.recalls.get((sidecar_id, purpose))
    if existing is None:
        return
    if keeps_place and ledger.account.state is AccountState.ACTIVE:
        if existing.stands(ledger.now):
            ledger.put_recall(replace(existing, deadline=ledger.now, is_ready=False))
    else:
        ledger.drop_recall(existing.key)


def awaited_by(ledger: Ledger, waiting: Recall) -> tuple[Awaited, ...]:
    """The sidecars from which credit may still come for a recall, the one that may bring most first, and `MAX_AWAITED` at most.

    An awaited sidecar is waited for as long as its leases may be used. What it reported as idle may come for longer: until its
    leases are reclaimed.
    """
    found: dict[SidecarId, Awaited] = {}
    for lease in ledger.leases.values():
        may_be_idle = lease.sidecar_id in waiting.awaited and ledger.now < lease.trusted_until
        more = Microcredits(lease.out - lease.unposted if may_be_idle else lease.idle)
        if more > 0 and lease.sidecar_id != waiting.sidecar_id:
            until = lease.reclaim_at if lease.idle else lease.trusted_until
            before = found.get(lease.sidecar_id)
            amount = Microcredits(more + before.amount) if before else more
            found[lease.sidecar_id] = Awaited(lease.sidecar_id, amount, max(until, before.until) if before else until)
    return tuple(sorted(found.values(), key=lambda each: (-each.amount, each.sidecar_id))[:MAX_AWAITED])


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


def _fresh(ledger: Ledger, recall: Recall) -> dict[SidecarId, Instant]:
    """The answers to a recall that still count. Who gave one tells of what is let go after it at once, for a while."""
    return {each: moment for each, moment in recall.answered if ledger.now < moment + REPEAT_GRACE}


def heard_since(ledger: Ledger, waiting: Recall) -> Instant | None:
    """Until when a request must have been asked for so that all have answered since who may have the credit that it lacks, and
    they do not; None if some have not answered yet, or what is idle would do.
    """
    if _most_that_can_come(ledger, replace(waiting, awaited=())) >= waiting.smallest:
        return None
    answered = _fresh(ledger, waiting)
    heard = [answered.get(each) for each in _holders(ledger, waiting.sidecar_id)]
    return min((each for each in heard if each is not None), default=None) if None not in heard else None


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
