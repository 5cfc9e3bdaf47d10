"""Posting charges to an account's ledger: which grants a charge draws on."""

from collections.abc import Iterable

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.charges import Charge, Part, Posting
from creditmeter.core.credit.grants import Draw, alive_between, usable
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import LeaseId, SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.values import replace


def post(ledger: Ledger, charge: Charge, sender: SidecarId) -> Posting:
    """Post a charge that a sidecar sent, once. A charge that was posted before keeps its posting.

    Cost that a lease of the sender covers is drawn first on the grants that were usable when it was authorised, then on grants
    that were alive at any time since. Cost beyond the leases is drawn from what is available. What remains becomes debt up to
    the overdraft limit, and the rest is written off.
    """
    known = ledger.charges.get(charge.charge_id)
    if known is not None and known.posting is not None:
        _free_what_was_drawn_as_excess(ledger, known, charge, sender)
        return known.posting
    first = ledger.first_like(charge)
    if first is not None:
        return _post_duplicate(ledger, charge, first, sender)
    backed = _post_parts(ledger, charge.parts, sender)
    draws = tuple(draw for part in backed for draw in _draw_part(ledger, part))
    excess = charge.cost - total_of(backed)
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
    ledger.put_charge(_booked(charge, backed, posting))
    _record_charge(ledger, charge, posting)
    return posting


def excess_of(ledger: Ledger, charge: Charge, sender: SidecarId) -> Microcredits:
    """The cost of a charge beyond the leases of its sender, in microcredits.

    0 if the charge is posted already, or costs nothing because it is a duplicate.
    """
    known = ledger.charges.get(charge.charge_id)
    if (known is not None and known.posting is not None) or ledger.first_like(charge) is not None:
        return ZERO
    backed: dict[LeaseId, int] = {}
    for part in charge.parts:
        lease = _lease_of(ledger, part, sender)
        out = lease.out if lease else 0
        backed[part.lease_id] = min(out, backed.get(part.lease_id, 0) + part.amount)
    return Microcredits(charge.cost - sum(backed.values()))


def _booked(charge: Charge, backed: tuple[Part, ...], posting: Posting) -> Charge:
    """The posted charge, with the parts that leases really covered."""
    excess = Microcredits(charge.cost - total_of(backed))
    return replace(charge, parts=backed, excess=excess, sent=True, posting=posting)


def _free_what_was_drawn_as_excess(ledger: Ledger, known: Charge, charge: Charge, sender: SidecarId) -> None:
    """Free the leases of a charge that a fenced process posted first, as excess. Now the owner of the leases posts it."""
    if charge.parts and not known.parts:
        backed = _post_parts(ledger, charge.parts, sender)
        if backed:
            excess = Microcredits(known.cost - total_of(backed))
            ledger.put_charge(replace(known, parts=backed, excess=excess))


def _post_duplicate(ledger: Ledger, charge: Charge, first: Charge, sender: SidecarId) -> Posting:
    """Post a charge whose request was charged already: it costs nothing, and the credit of its parts is free again."""
    backed = _post_parts(ledger, charge.parts, sender)
    posting = Posting(ledger.now, ZERO, ZERO, ZERO, ZERO, (), duplicate_of=first.charge_id)
    ledger.put_charge(_booked(charge, backed, posting))
    return posting


def _lease_of(ledger: Ledger, part: Part, sender: SidecarId) -> OutLease | None:
    """The lease of a part, if it is open and the sender's own; else None."""
    lease = ledger.leases.get(part.lease_id)
    return lease if lease is not None and lease.sidecar_id == sender else None


def _post_parts(ledger: Ledger, parts: Iterable[Part], sender: SidecarId) -> tuple[Part, ...]:
    """Count parts as posted on their leases. Returns the parts that the leases have out; the rest is treated as excess."""
    backed = []
    for part in parts:
        lease = _lease_of(ledger, part, sender)
        amount = Microcredits(min(part.amount, lease.out)) if lease else ZERO
        if lease and amount:
            ledger.put_lease(replace(lease, posted=Microcredits(lease.posted + amount)))
            backed.append(replace(part, amount=amount))
    return tuple(backed)


def _draw_part(ledger: Ledger, part: Part) -> tuple[Draw, ...]:
    """Draw a part that its lease covers.

    A part that was authorised before a grant was voided draws on that grant in its usual order. A part that was authorised
    later draws on it only if nothing else is left. What was authorised in the future was so before any grant was voided now.
    """
    lease = ledger.leases[part.lease_id]
    at = drawn_at(part, lease, ledger.now)
    grants = ledger.grants.values()
    then = usable(grants, at) if at <= ledger.now else alive_between(grants, at, at)
    first, last = sorted((at, ledger.now))
    alive = sorted(alive_between(grants, first, last), key=lambda each: each.voided_at is not None)
    draws = ledger.draw([*then, *alive], part.amount)
    assert total_of(draws) == part.amount, f"lease {lease.lease_id} has no credit behind it"
    return draws


def drawn_at(part: Part, lease: OutLease, now: Instant) -> Instant:
    """The moment as of which a part draws, not later than now: when it was authorised or, if that is outside its lease's time,
    the nearest moment inside. Of a lease that was opened by a clock that was ahead that is a moment to come.
    """
    return Instant(min(max(part.authorized_at, lease.opened_at), lease.ends_at - 1, max(now, lease.opened_at)))


def total_of(amounts: Iterable[Draw | Part]) -> Microcredits:
    """The sum of draws or parts, in microcredits."""
    return Microcredits(sum(each.amount for each in amounts))


def _record_charge(ledger: Ledger, charge: Charge, posting: Posting) -> None:
    entry = ledger.entry_about(charge, EntryType.CHARGED, -posting.covered, charge.committed_at)
    ledger.record(replace(entry, draws=posting.draws))
    if posting.uncovered:
        entry = ledger.entry_about(charge, EntryType.WRITTEN_OFF, 0, charge.committed_at)
        ledger.record(replace(entry, note=f"{posting.uncovered} of {charge.cost} microcredits written off"))
