"""The sidecar's side of an exchange with the central store: the message about a book, and what an answer changes in it."""

from collections.abc import Iterator

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.leases import Lease
from creditmeter.core.credit.messages import Answer, LeaseReport, LeaseTerms, Message, Need
from creditmeter.core.ids import LeaseId, SidecarId
from creditmeter.core.instants import HOUR, MINUTE, Instant, Span
from creditmeter.core.metering.book import Book, Change, Snapshot
from creditmeter.core.metering.offline import ended
from creditmeter.core.values import Value, replace

MAX_CHARGES_PER_MESSAGE = 500
"""Most charges in one message, so that one transaction at the central store stays short. The next message has the others."""


class Envelope(Value, frozen=True):
    """Who sends a message, which of its messages about the account it is, and how long what it authorises can last."""

    sidecar_id: SidecarId
    epoch: int
    seq: int
    lease_ttl: Span = Span(10 * MINUTE)
    max_hold_lifetime: Span = HOUR


def compose(
    book: Book, envelope: Envelope, now: Instant, need: Need | None, *, give_back: bool, keep: Microcredits = ZERO
) -> tuple[Message, Change]:
    """A message about a book, and the change that must be durable before it is sent.

    Idle credit of other days is always given back. With `give_back` all idle credit is, but for `keep` microcredits. If charges
    of the message cost more than their leases covered, as much idle credit is given back, since cost comes before any lease.
    What is given back may not be used from here on. Refunds of a charge that was sent are decided by the central store.
    """
    charges = tuple(book.unposted_charges)[:MAX_CHARGES_PER_MESSAGE]
    idle = book.idle_once_renewed(now)
    owed = sum(charge.excess for charge in charges)
    leases = tuple(_given_back(book, now, Microcredits(max(0, min(keep if give_back else idle, idle - owed)))))
    sent = tuple(replace(charge, sent=True) for charge in charges)
    message = Message(
        envelope.sidecar_id,
        envelope.epoch,
        book.account_id,
        envelope.seq,
        leases=tuple(_report(book, lease, charges) for lease in leases if not _is_over(book, lease, now)),
        charges=sent,
        refunds=_refunds_with(book, charges),
        need=need,
        lease_ttl=envelope.lease_ttl,
        max_hold_lifetime=envelope.max_hold_lifetime,
        refused=tuple(book.refused.values()),
    )
    changed = Change(
        book.account_id,
        leases=tuple(lease for lease in leases if lease is not book.leases[lease.lease_id]),
        charges=tuple(new for old, new in zip(charges, sent, strict=True) if not old.sent),
    )
    return message, changed


def accept(book: Book, message: Message, answer: Answer, trusted_until: Span | None) -> Change:
    """What an answer changes: leases are as the central store has them and may be used until `trusted_until` on the boot-time
    clock (None: the message renewed none of them); charges and refunds are posted.
    """
    charges = tuple(
        replace(book.charges[charge.charge_id], posting=answer.postings[charge.charge_id])
        for charge in message.charges
        if charge.charge_id in answer.postings and charge.charge_id in book.charges
    )
    refunds = tuple(
        replace(refund, posting=answer.refund_postings[refund.refund_id])
        for refund in message.refunds
        if refund.refund_id in answer.refund_postings
    )
    posted = tuple(charge for charge in message.charges if charge.charge_id in answer.postings)
    leases = tuple(_renewed(book, terms, posted, trusted_until) for terms in answer.leases)
    leases += _over(book, message, answer)
    leases = tuple(each for each in leases if each != book.leases.get(each.lease_id))
    return Change(book.account_id, leases=leases, charges=charges, refunds=refunds, account=answer.account)


def snapshot(message: Message, answer: Answer) -> Snapshot:
    """The account as an answer shows it, and what of that the message stated of this sidecar, in microcredits."""
    waiting = (charge for charge in message.charges if charge.charge_id not in answer.postings)
    unposted = sum(report.unposted for report in message.leases) + sum(part.amount for each in waiting for part in each.parts)
    return Snapshot(answer.balance, message.leases, Microcredits(unposted))


def fenced_message(book: Book, envelope: Envelope) -> Message:
    """What a fenced sidecar posts, under a new id: its charges and refunds, which no lease stands behind any more."""
    charges = tuple(replace(each, sent=True) for each in book.unposted_charges)[:MAX_CHARGES_PER_MESSAGE]
    refunds = _refunds_with(book, charges)
    return Message(envelope.sidecar_id, envelope.epoch, book.account_id, envelope.seq, charges=charges, refunds=refunds)


def idle_leases(book: Book) -> Iterator[Lease]:
    """The leases that have credit that is neither held nor spent."""
    return (lease for lease in book.leases.values() if not lease.offline and book.idle_on(lease))


def has_idle(book: Book) -> bool:
    """Whether any lease has credit that is neither held nor spent."""
    return any(True for _ in idle_leases(book))


def holds_on_trust(book: Book, boot: Span) -> bool:
    """Whether anything is held on a lease that may still be used, as far as the central store knows."""
    trusted = (lease for lease in book.leases.values() if not lease.offline and boot < lease.trusted_until)
    return any(book.held_on(lease.lease_id) for lease in trusted)


def are_trusted(book: Book, until: Span) -> bool:
    """Whether all that is held, idle or unposted on leases is on such as may be used for longer than until then, on the
    boot-time clock.
    """
    leases = (each for each in book.leases.values() if not each.offline and each.trusted_until <= until)
    return not any(book.held_on(each.lease_id) or book.idle_on(each) or book.unposted_on(each.lease_id) for each in leases)


def has_unfinished(book: Book, now: Instant) -> bool:
    """Whether a message about this book is needed even if no request uses it: there is something to post, or idle credit of
    another day to give back.
    """
    return book.has_unposted or bool(idle_of_other_days(book, now))


def idle_of_other_days(book: Book, now: Instant) -> Microcredits:
    """What is idle on leases of ended days, in microcredits, and on those of days that had begun only by a clock that was
    ahead. Nothing can be authorised on them now.
    """
    return Microcredits(sum(book.idle_on(lease) for lease in idle_leases(book) if not lease.runs(now)))


def _given_back(book: Book, now: Instant, keep: Microcredits) -> Iterator[Lease]:
    """The leases after credit was given back. What is kept stays on the newest, since older ones may rest on voided credit."""
    for lease in sorted(book.leases.values(), key=lambda each: -each.opened_at):
        if not lease.offline:
            kept = min(keep, book.idle_on(lease)) if lease.runs(now) else 0
            keep = Microcredits(keep - kept)
            yield _without_idle(book, lease, kept)


def _without_idle(book: Book, lease: Lease, kept: int = 0) -> Lease:
    given = book.idle_on(lease) - kept
    return replace(lease, limit=Microcredits(lease.limit - given)) if given else lease


def _is_over(book: Book, lease: Lease, now: Instant) -> bool:
    """Whether a message need not name a lease any more: its day is not now, and all of it is spent and posted."""
    return not lease.runs(now) and lease.limit == lease.spent and not book.unposted_on(lease.lease_id)


def _report(book: Book, lease: Lease, charges: tuple[Charge, ...]) -> LeaseReport:
    return LeaseReport(
        lease_id=lease.lease_id,
        limit=lease.limit,
        held=book.held_on(lease.lease_id),
        unposted=Microcredits(book.unposted_on(lease.lease_id) - _parts_on(lease.lease_id, charges)),
    )


def _refunds_with(book: Book, charges: tuple[Charge, ...]) -> tuple[Refund, ...]:
    """The refunds that can be posted now: those of charges in the same message, and of posted charges."""
    going = {charge.charge_id for charge in charges}
    return tuple(refund for refund in book.unposted_refunds if refund.charge_id in going or book.is_posted(refund.charge_id))


def _renewed(book: Book, terms: LeaseTerms, posted: tuple[Charge, ...], trusted_until: Span | None) -> Lease:
    """A lease as the central store has it after charges were posted.

    Of a lease that this sidecar did not know, because the answer that brought it was lost, no more than the posted charges is
    spent. If more was posted than the journal has, the journal was set back to an older copy. What is posted counts as spent
    all the same, even if that leaves less than is held.
    """
    known = book.leases.get(terms.lease_id)
    if known is None:
        dated = terms.opened_at, terms.ends_at
        renewed = trusted_until or Span(0)
        return Lease(terms.lease_id, book.account_id, *dated, terms.limit, terms.posted, trusted_until=renewed)
    waiting = book.unposted_on(terms.lease_id) - _parts_on(terms.lease_id, posted)
    spent = Microcredits(max(known.spent, terms.posted + waiting))
    limit = Microcredits(max(terms.limit, spent))
    renewed = known.trusted_until if trusted_until is None else trusted_until
    return replace(known, limit=limit, spent=spent, trusted_until=renewed)


def _parts_on(lease_id: LeaseId, charges: tuple[Charge, ...]) -> int:
    return sum(part.amount for charge in charges for part in charge.parts if part.lease_id == lease_id)


def _over(book: Book, message: Message, answer: Answer) -> tuple[Lease, ...]:
    """Leases that the answer does not name any more, because the central store closed or reclaimed them, and the allowance of
    an outage that is over. Nothing is idle on them from here on.
    """
    named = {report.lease_id for report in message.leases} - {terms.lease_id for terms in answer.leases}
    closed = tuple(_without_idle(book, book.leases[each]) for each in named if each in book.leases)
    offline = tuple(ended(book, each) for each in book.leases.values() if each.offline)
    return tuple(replace(each, trusted_until=Span(0)) for each in closed) + offline
