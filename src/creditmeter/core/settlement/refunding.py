"""Refunds at the central store: where refunded credit goes.

Debt that the charge still owes is cancelled first. Then its draws are returned, the last one first. What returns to a grant
that has ended lapses, and what returns to a voided grant is taken back. What was ever returned to one grant
ends at `MAX_BALANCE`, and the rest lapses: whoever charges and refunds without end comes to no number that cannot be stored.

A refund that a sidecar decided before its charge was posted keeps its amount, whatever becomes of the charge. The part that was
never paid, because the charge is a duplicate or was written off, is recorded beside it as `never_paid`.
"""

from creditmeter.core.amounts import MAX_BALANCE, ZERO, Microcredits
from creditmeter.core.credit.charges import Charge, Posting, Refund, RefundMode, RefundPosting
from creditmeter.core.credit.grants import Draw, Grant, GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType
from creditmeter.core.ids import ChargeId, GrantId
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import RefundExceedsCharge
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.posting import total_of
from creditmeter.core.values import replace


def refundable(posting: Posting) -> Microcredits:
    """What is left to refund of a charge, in microcredits: what was covered and not refunded, and what it still owes."""
    return Microcredits(posting.covered - posting.refunded + posting.debt)


def refund(ledger: Ledger, wanted: Refund, *, everything: bool) -> Refund | RefundExceedsCharge:
    """Refund a posted charge, once. If a refund with this id or for this request was made before, returns that one.

    With `everything` the amount is all that is left to refund, and that of `wanted` does not count.
    """
    charge = _that_stands(ledger, wanted.charge_id)
    assert charge.posting is not None
    known = _made_before(ledger, wanted, charge)
    if known is not None:
        return known
    left = refundable(charge.posting)
    amount = left if everything else wanted.amount
    if amount > left or left == 0:
        return RefundExceedsCharge(left)
    return _give_back(ledger, replace(wanted, amount=amount, charge_id=charge.charge_id), charge, charge.posting)


def post_refund(ledger: Ledger, decided: Refund) -> RefundPosting:
    """Post a refund that a sidecar decided before its charge was sent.

    It asks for no more than is left, with two exceptions: the charge is a duplicate, whose refund is one of the first charge,
    or it was written off in part. If the same request was made through another sidecar meanwhile, that refund counts, and no
    other is made.
    """
    charge = _that_stands(ledger, decided.charge_id)
    assert charge.posting is not None
    known = _made_before(ledger, decided, charge)
    if known is None:
        known = _give_back(ledger, replace(decided, charge_id=charge.charge_id), charge, charge.posting)
    assert known.posting is not None
    return known.posting


def _made_before(ledger: Ledger, refund: Refund, charge: Charge) -> Refund | None:
    """The refund that was made under this id, or for the same request and charge by another sidecar; None if none was."""
    made = ledger.refunds.get(refund.refund_id) or ledger.refund_for(refund.request_id)
    return made if made is not None and made.charge_id in (refund.charge_id, charge.charge_id) else None


def _that_stands(ledger: Ledger, charge_id: ChargeId) -> Charge:
    """The posted charge; for a duplicate the first charge, since that is what the account paid."""
    charge = ledger.charges[charge_id]
    assert charge.posting is not None, "a refund is posted with its charge or after it"
    first = charge.posting.duplicate_of
    return charge if first is None else ledger.charges[first]


def _give_back(ledger: Ledger, wanted: Refund, charge: Charge, posting: Posting) -> Refund:
    amount = min(wanted.amount, refundable(posting))
    cancelled = min(amount, posting.debt)
    draws, returned = _undo(posting.draws, amount - cancelled)
    ledger.put_charge(
        replace(
            charge,
            posting=replace(
                posting,
                debt=Microcredits(posting.debt - cancelled),
                refunded=Microcredits(posting.refunded + total_of(returned)),
                draws=draws,
            ),
        )
    )
    if wanted.mode is RefundMode.GOODWILL:
        lapsed = ZERO
        _give_goodwill(ledger, wanted, charge, total_of(returned))
    else:
        lapsed = _restore(ledger, wanted, charge, returned)
    restored = Microcredits(total_of(returned) - lapsed)
    made = replace(wanted, posting=RefundPosting(ledger.now, restored, lapsed, Microcredits(wanted.amount - amount)))
    ledger.put_refund(made)
    return made


def _undo(draws: tuple[Draw, ...], amount: int) -> tuple[tuple[Draw, ...], tuple[Draw, ...]]:
    """The draws after `amount` microcredits were returned, from the last draw on; and the draws that were returned."""
    after: list[Draw] = []
    returned: list[Draw] = []
    for draw in reversed(draws):
        part = min(amount, draw.amount - draw.returned)
        amount -= part
        after.append(replace(draw, returned=Microcredits(draw.returned + part)))
        if part:
            returned.append(Draw(draw.grant_id, draw.kind, Microcredits(part)))
    assert amount == 0, "a refund gives back no more than was drawn"
    return tuple(reversed(after)), tuple(returned)


def _restore(ledger: Ledger, wanted: Refund, charge: Charge, returned: tuple[Draw, ...]) -> Microcredits:
    """Return credit to the grants it came from. Returns how much of it was lost: its grant had ended or was voided, or got back
    as much as it may.
    """
    entry = ledger.entry_about(charge, EntryType.REFUNDED, total_of(returned), wanted.refunded_at)
    ledger.record(replace(entry, refund_id=wanted.refund_id, draws=returned, note=wanted.reason))
    lost = 0
    for draw in returned:
        grant = ledger.grants[draw.grant_id].give_back(draw.amount)
        after, why = _without_what_is_lost(grant, draw.amount, ledger.now)
        ledger.put_grant(after)
        if why is not None:
            lost += draw.amount
            entry = ledger.entry(why, -draw.amount, ledger.now, grant)
            ledger.record(replace(entry, charge_id=charge.charge_id, refund_id=wanted.refund_id))
    return Microcredits(lost)


def _without_what_is_lost(grant: Grant, amount: Microcredits, now: Instant) -> tuple[Grant, EntryType | None]:
    """The grant after an amount returned to it, and the type of the entry by which that is lost; None if it is usable again."""
    if grant.voided_at is not None:
        return grant.void(amount), EntryType.VOIDED
    if grant.has_ended(now) or grant.refunded > MAX_BALANCE:
        return grant.lapse(amount), EntryType.LAPSED
    return grant, None


def _give_goodwill(ledger: Ledger, wanted: Refund, charge: Charge, amount: Microcredits) -> None:
    """Give credit as a new permanent grant. The entry of the grant has the amount; the entry of the refund has 0."""
    entry = ledger.entry_about(charge, EntryType.REFUNDED, 0, wanted.refunded_at)
    ledger.record(replace(entry, refund_id=wanted.refund_id, note=wanted.reason))
    if amount:
        grant = Grant(
            grant_id=GrantId(f"goodwill-{wanted.refund_id}"),
            kind=GrantKind.PERMANENT,
            amount=amount,
            remaining=amount,
            effective_at=ledger.now,
            expires_at=None,
            source=GrantSource.GOODWILL,
            created_at=ledger.now,
            note=wanted.reason,
            charge_id=charge.charge_id,
        )
        ledger.give(grant, refund_id=wanted.refund_id)
