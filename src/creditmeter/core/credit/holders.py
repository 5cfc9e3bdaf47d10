"""Who holds what, as the central store sees it: the sidecars that ever registered, and the leases that are not closed."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import AccountId, LeaseId, SidecarId
from creditmeter.core.instants import Instant


class SidecarState(Enum):
    """Whether a sidecar spoke within the TTL of a lease, and if not, whether anything is out to it."""

    ACTIVE = "ACTIVE"
    SILENT = "SILENT"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class SeenSidecar:
    """A sidecar as the central store sees it; amounts are over all its unclosed leases."""

    sidecar_id: SidecarId
    epoch: int
    state: SidecarState
    registered_at: Instant
    last_seen_at: Instant
    leases: int
    out: Microcredits
    held: Microcredits
    unposted: Microcredits


@dataclass(frozen=True, slots=True)
class AccountLease:
    """An unclosed lease and the account it is on."""

    account_id: AccountId
    lease: OutLease


class SidecarCursor(NamedTuple):
    """Where a page of sidecars ended."""

    last_seen_at: Instant
    sidecar_id: SidecarId


class LeaseCursor(NamedTuple):
    """Where a page of leases ended."""

    opened_at: Instant
    account_id: AccountId
    lease_id: LeaseId
