"""Posting charges to an account's ledger: which grants a charge draws on."""

from collections.abc import Iterable
from dataclasses import replace

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.charges import Charge, Part, Posting
from creditmeter.core.grants import Draw, alive_between, usable
from creditmeter.core.history import Entry, EntryType
from creditmeter.core.instants import Instant
from creditmeter.core.ledger import Ledger


def post(ledger: Ledger, charge: Charge) -> Posting:
    """Settle a charge, once: a charge that was posted before keeps its posting.

    Cost that a lease stands behind is drawn first from what was usable when it was authorised, then from what was alive at any
    time since. Cost beyond the leases is drawn from what is available, then becomes debt up to the overdraft limit; what still
    remains is written off.
    """
    known = ledger.charges.get(charge.charge_id)
    if known is not None and known.posting is not None:
        return known.posting
    first = ledger.first_like(charge)
    if first is not None:
        return _post_duplicate(ledger, charge, first)
    draws: tuple[Draw, ...] = ()
    excess = int(charge.excess)
    for part in charge.parts:
        drawn, beyond = _draw_part(ledger, part)
        draws += drawn
        excess += beyond
    debt = 0
    if excess:
        drawn = ledger.draw(usable(ledger.grants.values(), ledger.now), min(excess, ledger.available))
        draws += drawn
        excess -= total_of(drawn)
        debt = min(excess, max(0, ledger.account.overdraft_limit - ledger.debt))
    posting = Posting(
        posted_at=ledger.now,
        covered=total_of(draws),
        debt=Microcredits(debt),
        uncovered=Microcredits(excess - debt),
        refunded=ZERO,
        draws=draws,
    )
    ledger.put_charge(replace(charge, sent=True, posting=posting))
    _record_charge(ledger, charge, posting)
    return posting


def _post_duplicate(ledger: Ledger, charge: Charge, first: Charge) -> Posting:
    """A charge whose request was charged already costs nothing; the credit it was to use is free again."""
    for part in charge.parts:
        _settle_part(ledger, part)
    posting = Posting(ledger.now, ZERO, ZERO, ZERO, ZERO, (), duplicate_of=first.charge_id)
    ledger.put_charge(replace(charge, sent=True, posting=posting))
    return posting


def _settle_part(ledger: Ledger, part: Part) -> int:
    """Count a part as posted on its lease. Says how much of it the lease has out: the rest is treated as excess."""
    lease = ledger.leases.get(part.lease_id)
    if lease is None:
        return 0
    backed = min(part.amount, lease.out)
    ledger.put_lease(replace(lease, posted=Microcredits(lease.posted + backed)))
    return backed


def _draw_part(ledger: Ledger, part: Part) -> tuple[tuple[Draw, ...], int]:
    """Draw what a lease stands behind; says what was drawn, and what of the part no lease stands behind."""
    lease = ledger.leases.get(part.lease_id)
    backed = _settle_part(ledger, part)
    if lease is None or not backed:
        return (), part.amount
    at = Instant(min(max(part.authorized_at, lease.opened_at), lease.ends_at - 1, ledger.now))
    grants = ledger.grants.values()
    draws = ledger.draw([*usable(grants, at), *alive_between(grants, at, ledger.now)], backed)
    assert total_of(draws) == backed, f"lease {lease.lease_id} has no credit behind it"
    return draws, part.amount - backed


def total_of(draws: Iterable[Draw]) -> Microcredits:
    """The sum of some draws."""
    return Microcredits(sum(draw.amount for draw in draws))


def about(ledger: Ledger, type_: EntryType, charge: Charge, amount: int, occurred_at: Instant) -> Entry:
    """A line of history about a charge."""
    usage = charge.usage
    return replace(
        ledger.entry(type_, amount, occurred_at),
        charge_id=charge.charge_id,
        action=charge.action,
        model=(usage.response_model or usage.request_model) if usage else "",
        tool=usage.tool if usage else "",
        quantity=(usage.quantity or 1) if usage else 0,
        labels=charge.labels,
        rate_card_version=charge.rate_card_version,
    )


def _record_charge(ledger: Ledger, charge: Charge, posting: Posting) -> None:
    entry = about(ledger, EntryType.CHARGED, charge, -posting.covered, charge.committed_at)
    ledger.record(replace(entry, draws=posting.draws))
    if posting.uncovered:
        entry = about(ledger, EntryType.WRITTEN_OFF, charge, 0, charge.committed_at)
        ledger.record(replace(entry, note=f"{posting.uncovered} of {charge.cost} microcredits written off"))
