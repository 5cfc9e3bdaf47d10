"""The balance summary of an account, from its ledger."""

from collections.abc import Sequence

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.grants import NO_REST, Grant, GrantKind, draw_key
from creditmeter.core.credit.messages import MAX_LISTED_GRANTS, BalanceSummary, Bucket
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalling import without_idle


def balance_summary(ledger: Ledger, max_grants: int = 0) -> BalanceSummary:
    """The account's amounts at the ledger's `now`, in microcredits. Idle credit on leases counts as available.

    Lists up to `max_grants` running grants that have credit left: voided ones too, while their credit is out on leases.
    """
    leases = ledger.leases.values()
    busy = tuple(without_idle(each) for each in leases)
    grants = sorted((each for each in ledger.grants.values() if each.is_running(ledger.now)), key=draw_key)
    return BalanceSummary(
        as_of=ledger.now,
        available=Microcredits(max(0, ledger.available_if(busy) - ledger.debt)),
        held=Microcredits(sum(each.held for each in leases)),
        unposted=Microcredits(sum(each.unposted for each in leases)),
        leased=Microcredits(sum(each.out for each in leases)),
        debt=ledger.debt,
        buckets=_buckets(ledger, grants),
        grants=tuple(each for each in grants if each.remaining)[: min(max_grants, MAX_LISTED_GRANTS)],
    )


def _buckets(ledger: Ledger, grants: Sequence[Grant]) -> tuple[Bucket, ...]:
    """What the grants of each kind gave and have left, in microcredits.

    A grant that was used up counts only if the plan gave it for the running period: there may be many others.
    """
    rest = {GrantKind.PERMANENT: ledger.rest}
    counted = [each for each in grants if each.remaining or each.period_key is not None]
    of_kind = {kind: [each for each in counted if each.kind is kind] for kind in GrantKind}
    return tuple(
        Bucket(
            kind=kind,
            granted=Microcredits(rest.get(kind, NO_REST).given + sum(each.given for each in found)),
            remaining=Microcredits(rest.get(kind, NO_REST).remaining + sum(each.remaining for each in found)),
            next_reset_at=ledger.next_reset(kind),
        )
        for kind, found in of_kind.items()
    )
