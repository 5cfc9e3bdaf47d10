"""The central store's answer to a message: what the message changes in an account's ledger, and what is answered."""

from collections.abc import Iterable

from creditmeter.core.amounts import MAX_BALANCE, ZERO, Microcredits
from creditmeter.core.credit.accounts import AccountState
from creditmeter.core.credit.charges import Charge, Posting, Refund, RefundPosting
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.messages import Answer, LeaseReport, LeaseTerms, Message, Need
from creditmeter.core.ids import ChargeId, RefundId, SidecarId, lease_id
from creditmeter.core.instants import MINUTE, SECOND, Instant, Span, after
from creditmeter.core.settlement.balance_summary import balance_summary
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.posting import excess_of, post
from creditmeter.core.settlement.recall_order import free_for, free_for_excess, others_wait
from creditmeter.core.settlement.recalling import (
    Wish,
    awaited_by,
    heard_since,
    idle_elsewhere,
    let_go,
    note_message,
    recall,
)
from creditmeter.core.settlement.recalls import Purpose, Recall
from creditmeter.core.settlement.reclaiming import reclaim_lost
from creditmeter.core.settlement.refunding import post_refund
from creditmeter.core.values import replace

LEASE_SHARE = 2
"""A lease grows by at most 1/`LEASE_SHARE` of what is available, unless more is required now."""

SKEW_MARGIN = Span(5 * SECOND)
"""How much longer than its TTL a lease is trusted, because clocks do not run at the same rate."""

RECLAIM_GRACE = MINUTE
"""How long a silent sidecar may still post what it committed, from the end of its last possible hold on. It is longer than what
may have passed without being counted when the lease was renewed (`LONGEST_COUNTED`).
"""

EXCESS_PATIENCE = Span(5 * SECOND)
"""How long cost beyond leases waits for credit that is idle elsewhere, before it becomes debt or is written off."""


def answer(ledger: Ledger, message: Message, elapsed: Span) -> Answer:
    """Apply a message to the ledger, and answer it. `elapsed` is the store's elapsed time.

    The order matters: take over what the sidecar reports, post its charges and refunds, repay debt, and then lease what is
    left.
    """
    note_message(ledger, message.sidecar_id, answers=message.answers or not message.authorises)
    _take_over_reports(ledger, message, elapsed)
    reclaim_lost(ledger, elapsed)
    close_ended(ledger)  # so that what ended lapses before the plan gives, if no lease may need it any more
    ledger.touch()
    posted, refund_postings = _post_in_order(ledger, message)
    close_ended(ledger)
    ledger.lapse()
    ledger.repay_debt()
    granted, recalled = _serve(ledger, message, elapsed)
    required = message.need.required if message.need else ZERO
    return Answer(
        seq=message.seq,
        account=ledger.account,
        balance=balance_summary(ledger),
        leases=_terms(ledger, message.sidecar_id),
        postings=_postings(ledger, posted),
        refund_postings=refund_postings,
        granted=granted,
        short=Microcredits(max(0, required - granted)),
        free=ledger.available,
        elsewhere=idle_elsewhere(ledger, message.sidecar_id),
        is_pending=recalled is not None,
        pending_for=Span(max(0, recalled.deadline - ledger.now)) if recalled else Span(0),
        asked_at=recalled.asked_at if recalled else None,
        heard_since=heard_since(ledger, recalled) if recalled else None,
        awaited=awaited_by(ledger, recalled) if recalled else (),
    )


def _take_over_reports(ledger: Ledger, message: Message, elapsed: Span) -> None:
    """Take over what a sidecar reports of its leases. A lease without a report has nothing out."""
    reports = {report.lease_id: report for report in message.leases}
    for lease in [each for each in ledger.leases.values() if each.sidecar_id == message.sidecar_id]:
        nothing = LeaseReport(lease.lease_id, lease.posted, ZERO, ZERO)
        reported = _as_reported(lease, reports.get(lease.lease_id, nothing))
        ledger.put_lease(_renewed(ledger, reported, message, elapsed))


def _as_reported(lease: OutLease, report: LeaseReport) -> OutLease:
    """The lease as its sidecar reports it.

    What is held and unposted stays out, even if the reported limit is smaller than that plus what was posted. Then the journal
    was replaced by an older copy, which does not have all that was posted.
    """
    used = lease.posted + report.held + report.unposted
    limit = max(lease.posted, min(lease.limit, max(report.limit, used)))
    unposted = min(report.unposted, limit - lease.posted)
    held = min(report.held, limit - lease.posted - unposted)
    return replace(lease, limit=Microcredits(limit), held=Microcredits(held), unposted=Microcredits(unposted))


def _renewed(ledger: Ledger, lease: OutLease, message: Message, elapsed: Span) -> OutLease:
    """The lease after its sidecar reported it just now: trusted for its TTL again, and to be reclaimed later.

    A sidecar that stops authorises nothing more: its leases are trusted no longer, and nobody waits for it. What it reported as
    held stays out for as long as that of any other sidecar.
    """
    may_last = after(ledger.now, Span(message.lease_ttl + SKEW_MARGIN))
    trusted_until = may_last if message.authorises else ledger.now
    reclaim_at = after(may_last, Span(message.max_hold_lifetime + RECLAIM_GRACE))
    lost_after = Span(elapsed + reclaim_at - ledger.now)
    return replace(lease, renewed_at=ledger.now, trusted_until=trusted_until, reclaim_at=reclaim_at, lost_after=lost_after)


def _post_in_order(ledger: Ledger, message: Message) -> tuple[list[Charge], dict[RefundId, RefundPosting]]:
    """Post what can be posted now. Returns the charges that were posted, and the postings of the refunds.

    The order is that of the sidecar's decisions, so that credit from a refund is there for the charges after it. A charge whose
    cost is covered neither by its leases nor by what is available waits while credit is recalled from others. The sidecar sends
    it again with the next message, and its refunds with it.
    """
    sender = message.sidecar_id
    posted: list[Charge] = []
    waiting: list[Charge] = []
    refunded: dict[RefundId, RefundPosting] = {}
    missing = 0
    decisions: list[Charge | Refund] = [*message.charges, *message.refunds]
    for made in sorted(decisions, key=_decided_at):
        if isinstance(made, Refund):
            if made.charge_id in ledger.charges:
                refunded[made.refund_id] = post_refund(ledger, made)
            continue
        excess = excess_of(ledger, made, sender)
        whole = Microcredits(missing + excess)
        lacks = excess > 0 and whole > free_for_excess(ledger, sender)
        if lacks and _may_wait(ledger, Wish(sender, Purpose.EXCESS, whole, whole, EXCESS_PATIENCE)):
            missing = whole
            waiting.append(made)
        else:
            post(ledger, made, sender)
            posted.append(made)
    if not waiting:
        ledger.drop_recall((sender, Purpose.EXCESS))
    for charge in waiting:
        _count_as_unposted(ledger, charge, sender)
    return posted, refunded


def _decided_at(made: Charge | Refund) -> Instant:
    return made.committed_at if isinstance(made, Charge) else made.refunded_at


def _may_wait(ledger: Ledger, wish: Wish) -> bool:
    """Whether there is credit to wait for, and the deadline of an earlier wait has not passed."""
    existing = ledger.recalls.get((wish.sidecar_id, wish.purpose))
    return (existing is None or existing.stands(ledger.now)) and recall(ledger, wish) is not None


def _count_as_unposted(ledger: Ledger, charge: Charge, sender: SidecarId) -> None:
    """Count the parts of a charge that waits as unposted on their leases: they are neither held nor idle."""
    for part in charge.parts:
        lease = ledger.leases.get(part.lease_id)
        if lease is not None and lease.sidecar_id == sender:
            ledger.put_lease(replace(lease, unposted=Microcredits(lease.unposted + part.amount)))


def _postings(ledger: Ledger, charges: Iterable[Charge]) -> dict[ChargeId, Posting]:
    """The postings of charges, with what refunds and repaid debt changed in them since."""
    found = (ledger.charges[charge.charge_id] for charge in charges)
    return {each.charge_id: each.posting for each in found if each.posting is not None}


def close_ended(ledger: Ledger) -> None:
    """Close the leases of other days on which nothing is out any more, also those of other sidecars.

    Otherwise a sidecar that sends no more messages would keep grants from lapsing.
    """
    for lease in list(ledger.leases.values()):
        if not lease.opened_at <= ledger.now < lease.ends_at and not lease.out:
            ledger.put_lease(replace(lease, closed=True))


def _serve(ledger: Ledger, message: Message, elapsed: Span) -> tuple[Microcredits, Recall | None]:
    """Lease what is needed, and recall what is missing from others.

    Returns how much was leased, in microcredits, and the recall by which more may come.
    """
    need = message.need
    key = message.sidecar_id, Purpose.LEASE
    if need is None or ledger.account.state is not AccountState.ACTIVE:
        let_go(ledger, message.sidecar_id, keeps_place=message.keeps_place)
        return ZERO, None
    granted = _how_much(ledger, need, ledger.recalls.get(key))
    if granted:
        lease = _todays_lease(ledger, message, granted, elapsed)
        ledger.put_lease(replace(lease, limit=Microcredits(lease.limit + granted)))
    missing = Microcredits(need.required - granted)
    if missing <= 0:
        let_go(ledger, message.sidecar_id, keeps_place=message.keeps_place)
        return granted, None
    smallest = Microcredits(1 if granted else max(1, min(need.smallest, missing)))  # beside what was granted, any more may do
    places = need.since, message.keeps_place
    return granted, recall(ledger, Wish(message.sidecar_id, Purpose.LEASE, missing, smallest, need.patience, *places))


def _how_much(ledger: Ledger, need: Need, waiting: Recall | None) -> Microcredits:
    """How much to lease, in microcredits: what is required, or as much of it as there is, if that is of use.

    If no other need waits, the lease may get more, up to what is wanted and to its share of what is free.
    """
    free = free_for(ledger, waiting)
    spare = ZERO if others_wait(ledger, waiting) else min(need.wanted, free // LEASE_SHARE)
    amount = min(free, max(need.required, spare))
    return ZERO if amount < need.smallest else Microcredits(amount)


def _todays_lease(ledger: Ledger, message: Message, more: Microcredits, elapsed: Span) -> OutLease:
    """The newest lease of the sidecar that may grow by `more`; if there is none, a new one until the account's next midnight.

    If the account's day was extended, a lease that was opened before that ends earlier than the day.
    """
    own = (each for each in ledger.leases.values() if each.sidecar_id == message.sidecar_id and _may_grow(ledger, each, more))
    newest = max(own, key=lambda each: each.opened_at, default=None)
    if newest is not None:
        return newest
    ends_at = ledger.schedule.day_at(ledger.now).ends_at
    key = lease_id(ledger.account.account_id, message.sidecar_id, ledger.now)
    return _renewed(ledger, OutLease(key, message.sidecar_id, ledger.now, ends_at, ZERO), message, elapsed)


def _may_grow(ledger: Ledger, lease: OutLease, more: Microcredits) -> bool:
    """Whether `more` may be leased on it: it runs, no grant was voided since it was opened that still has credit left, and the
    total of what was ever leased on it stays within its bound. Two leases of a sidecar are not opened at one moment.
    """
    has_room = lease.limit + more <= MAX_BALANCE or lease.opened_at == ledger.now
    return lease.opened_at <= ledger.now < lease.ends_at and ledger.newest_void <= lease.opened_at and has_room


def _terms(ledger: Ledger, sidecar_id: SidecarId) -> tuple[LeaseTerms, ...]:
    return tuple(
        LeaseTerms(each.lease_id, each.opened_at, each.ends_at, each.limit, each.posted)
        for each in ledger.leases.values()
        if each.sidecar_id == sidecar_id
    )
