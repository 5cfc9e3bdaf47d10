"""The sidecars that registered and are not forgotten, and the leases that are not closed, as the central store lists them."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.ids import AccountId, LeaseId, SidecarId
from creditmeter.core.instants import Instant


class SidecarState(Enum):
    """Whether a sidecar is in touch with the store.

    ACTIVE: it sent something within the TTL of a lease. SILENT: it did not, and has credit out. GONE: it did not, and has none.
    """

    ACTIVE = "ACTIVE"
    SILENT = "SILENT"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class SeenSidecar:
    """A sidecar as the central store sees it. Amounts are the sums over its open leases, in microcredits."""

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
    """An open lease and the account it is on."""

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
