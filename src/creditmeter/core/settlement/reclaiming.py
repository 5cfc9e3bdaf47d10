"""Which leases of silent sidecars are lost, and what becomes of them.

A lease is kept for as long as its holder may authorise anything on it, and what it authorised may be held. That is counted in
the store's elapsed time, so no clock that is set makes it shorter.
"""

from creditmeter.core.amounts import ZERO
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.instants import Span
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.values import replace


def reclaim_lost(ledger: Ledger, elapsed: Span) -> bool:
    """Close the leases whose sidecars were silent for as long as anything authorised on them can last. Says whether any was.

    They stay closed. What is posted on them later is treated as excess. A lease that an older program renewed is counted from
    when the clock says that it is due.
    """
    is_any = False
    for lease in list(ledger.leases.values()):
        if lease.lost_after is None:
            if lease.reclaim_at <= ledger.now:
                ledger.put_lease(replace(lease, lost_after=Span(elapsed + lease.reclaim_at - lease.renewed_at)))
        elif lease.lost_after <= elapsed:
            ledger.put_lease(_closed(lease))
            is_any = True
    return is_any


def _closed(lease: OutLease) -> OutLease:
    return replace(lease, limit=lease.posted, held=ZERO, unposted=ZERO, closed=True)
