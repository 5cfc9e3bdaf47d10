"""How an account stands at the central store."""

from collections.abc import Iterable

from creditmeter.core.amounts import Microcredits
from creditmeter.core.exchange import Bucket, Standing
from creditmeter.core.grants import Grant, GrantKind, usable
from creditmeter.core.leases import available
from creditmeter.core.ledger import Ledger
from creditmeter.core.recalling import without_idle

MAX_LISTED_GRANTS = 100
"""As many grants as one reading of an account shows."""


def standing(ledger: Ledger, max_grants: int = 0) -> Standing:
    """How the account stands, counting idle credit on leases as available. Lists up to `max_grants` grants that
    a call could draw on now.
    """
    leases = ledger.leases.values()
    busy = tuple(without_idle(each) for each in leases)
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
