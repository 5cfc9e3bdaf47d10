"""The central store's side of an exchange: what a message changes in an account's ledger, and the answer to it."""

from collections.abc import Iterable
from dataclasses import replace

from creditmeter.core.accounts import AccountState
from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.calendar import day_of
from creditmeter.core.charges import Charge, Posting
from creditmeter.core.exchange import Answer, Bucket, LeaseReport, LeaseTerms, Message, Need, Standing
from creditmeter.core.grants import Grant, GrantKind, usable
from creditmeter.core.ids import ChargeId, SidecarId, lease_id
from creditmeter.core.leases import OutLease, available
from creditmeter.core.ledger import Ledger
from creditmeter.core.posting import post
from creditmeter.core.refunding import post_refund

LEASE_SHARE = 2
"""A lease grows by no more than one part in this many of what is available, unless more is needed now."""

MAX_LISTED_GRANTS = 100
"""As many grants as one reading of an account shows."""


def answer(ledger: Ledger, message: Message) -> Answer:
    """Apply a message: hear what is held, post, settle debts, and only then lease what is left."""
    ledger.touch()
    _hear(ledger, message.sidecar_id, message.leases)
    for charge in message.charges:
        post(ledger, charge)
    refund_postings = {refund.refund_id: post_refund(ledger, refund) for refund in message.refunds}
    _close_ended(ledger)
    ledger.lapse()
    ledger.repay_debt()
    granted = _grant_need(ledger, message.sidecar_id, message.need)
    required = message.need.required if message.need else ZERO
    return Answer(
        seq=message.seq,
        account=ledger.account,
        standing=standing(ledger),
        leases=_terms(ledger, message.sidecar_id),
        postings=_postings(ledger, message.charges),
        refund_postings=refund_postings,
        granted=granted,
        short=Microcredits(max(0, required - granted)),
        free=ledger.available,
        elsewhere=_elsewhere(ledger, message.sidecar_id),
    )


def standing(ledger: Ledger, max_grants: int = 0) -> Standing:
    """How the account stands, counting idle credit on leases as available. Lists up to `max_grants` grants that
    a call could draw on now.
    """
    leases = ledger.leases.values()
    busy = tuple(_without_idle(each) for each in leases)
    grants = usable(ledger.grants.values(), ledger.now)
    return Standing(
        as_of=ledger.now,
        available=Microcredits(max(0, available(ledger.grants.values(), busy, ledger.now) - ledger.debt)),
        held=Microcredits(sum(each.held for each in leases)),
        unposted=Microcredits(sum(each.unposted for each in leases)),
        leased=Microcredits(sum(each.out for each in leases)),
        debt=ledger.debt,
        buckets=_buckets(ledger, grants),
        grants=tuple(each for each in grants if each.remaining)[: min(max_grants, MAX_LISTED_GRANTS)],
    )


def _buckets(ledger: Ledger, grants: Iterable[Grant]) -> tuple[Bucket, ...]:
    resets = {kind: period.ends_at for kind, period in ledger.periods()}
    grants = list(grants)
    return tuple(
        Bucket(
            kind=kind,
            granted=Microcredits(sum(each.amount for each in grants if each.kind is kind)),
            remaining=Microcredits(sum(each.remaining for each in grants if each.kind is kind)),
            next_reset_at=resets.get(kind),
        )
        for kind in GrantKind
    )


def _hear(ledger: Ledger, sidecar_id: SidecarId, reports: tuple[LeaseReport, ...]) -> None:
    """Take over what a sidecar says of its leases. One that it does not name has nothing on it but what is posted."""
    said = {report.lease_id: report for report in reports}
    for lease in [each for each in ledger.leases.values() if each.sidecar_id == sidecar_id]:
        report = said.get(lease.lease_id)
        if report is None:
            heard = replace(lease, limit=lease.posted, held=ZERO, unposted=ZERO)
        else:
            limit = Microcredits(max(lease.posted, min(lease.limit, report.limit)))
            heard = replace(lease, limit=limit, held=report.held, unposted=report.unposted)
        ledger.put_lease(replace(heard, renewed_at=ledger.now))


def _postings(ledger: Ledger, charges: Iterable[Charge]) -> dict[ChargeId, Posting]:
    """How charges stand once refunds and repaid debt are counted in."""
    found = (ledger.charges[charge.charge_id] for charge in charges)
    return {each.charge_id: each.posting for each in found if each.posting is not None}


def _close_ended(ledger: Ledger) -> None:
    """Close the leases of ended days on which nothing is out any more, whoever has them: a sidecar that has no more to say
    must not keep grants from lapsing.
    """
    for lease in list(ledger.leases.values()):
        if lease.ends_at <= ledger.now and not lease.out:
            ledger.put_lease(replace(lease, closed=True))


def _grant_need(ledger: Ledger, sidecar_id: SidecarId, need: Need | None) -> Microcredits:
    """Lease what is required, or what there is of it if that is of use; and more of what is wanted while there is plenty."""
    if need is None or ledger.account.state is not AccountState.ACTIVE:
        return ZERO
    free = ledger.available
    amount = min(free, max(need.required, min(need.wanted, free // LEASE_SHARE)))
    if amount < need.smallest:
        return ZERO
    if amount:
        lease = _todays_lease(ledger, sidecar_id)
        ledger.put_lease(replace(lease, limit=Microcredits(lease.limit + amount)))
    return Microcredits(amount)


def _todays_lease(ledger: Ledger, sidecar_id: SidecarId) -> OutLease:
    ends_at = day_of(ledger.account.calendar, ledger.now).ends_at
    key = lease_id(ledger.account.account_id, sidecar_id, ends_at)
    opened = OutLease(key, sidecar_id, ledger.now, ends_at, ZERO, renewed_at=ledger.now)
    return ledger.leases.get(key, opened)


def _elsewhere(ledger: Ledger, sidecar_id: SidecarId) -> Microcredits:
    """How much more would be available if the other sidecars gave back what they have idle, on leases of ended days too."""
    leases = [each if each.sidecar_id == sidecar_id else _without_idle(each) for each in ledger.leases.values()]
    return Microcredits(available(ledger.grants.values(), leases, ledger.now) - ledger.available)


def _without_idle(lease: OutLease) -> OutLease:
    return replace(lease, limit=Microcredits(lease.limit - lease.idle))


def _terms(ledger: Ledger, sidecar_id: SidecarId) -> tuple[LeaseTerms, ...]:
    return tuple(
        LeaseTerms(each.lease_id, each.opened_at, each.ends_at, each.limit, each.posted)
        for each in ledger.leases.values()
        if each.sidecar_id == sidecar_id
    )
