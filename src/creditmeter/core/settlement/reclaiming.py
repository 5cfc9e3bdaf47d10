"""Which leases of silent sidecars are lost, and what becomes of them.

A lease is kept for as long as its holder may authorise anything on it, by the central store's clock. That clock may have been
wrong when the lease was renewed: then it says nothing of how long ago that was.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from creditmeter.core.amounts import ZERO
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import LeaseId, SidecarId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.setting_back import MOST_AHEAD
from creditmeter.core.values import replace


@dataclass(frozen=True, slots=True)
class Lag:
    """The central store's clock went back, and may have been behind `by` so much from what it showed then, `since`, on."""

    since: Instant
    by: Span


@dataclass(frozen=True, slots=True)
class Signs:
    """What speaks against a sidecar being lost: when its last heartbeat was `seen`, and how far the clock may have lagged."""

    seen: Mapping[SidecarId, Instant] = field(default_factory=lambda: MappingProxyType({}))
    lags: Sequence[Lag] = ()

    def doubt(self, lease: OutLease, now: Instant, surely: Instant) -> bool:
        """Whether the lease may not be lost yet, though the clock says so."""
        is_younger = any(each.since <= lease.renewed_at and lease.reclaim_at + each.by > surely for each in self.lags)
        return is_younger or self._lives(lease, now, surely)

    def _lives(self, lease: OutLease, now: Instant, surely: Instant) -> bool:
        """Whether the last heartbeat is too young. One in the future says nothing: the clock was wrong."""
        last = self.seen.get(lease.sidecar_id)
        return last is not None and last - now <= MOST_AHEAD and last + (lease.reclaim_at - lease.renewed_at) > surely


NO_SIGNS = Signs()
"""Nothing is known that speaks against it."""


def reclaim_lost(ledger: Ledger, surely: Instant | None, signs: Signs = NO_SIGNS, watched: Collection[LeaseId] = ()) -> None:
    """Close the leases whose sidecars were silent for as long as anything authorised on them can last. A clock that was set
    forward does not make that shorter: the time is not taken for later than `surely`.

    Nor does a clock that was behind when a lease was renewed: where there are `signs` of that the lease is kept, unless it was
    `watched` for as long by a clock that nobody sets. Leases stay closed. What is posted on them later is treated as excess.
    """
    now = ledger.now if surely is None else min(ledger.now, surely)
    for lease in list(ledger.leases.values()):
        if lease.reclaim_at <= now and (lease.lease_id in watched or not signs.doubt(lease, ledger.now, now)):
            ledger.put_lease(replace(lease, limit=lease.posted, held=ZERO, unposted=ZERO, closed=True))
