"""Recalls: needs that wait for credit that other sidecars may have idle, and the sidecars that have not answered yet.

A need that cannot be met while credit is out elsewhere waits as a recall until it is met, is refused, or its deadline passes.
The sidecars that have that credit are notified. Each answers with a message that reports what it really holds and returns the
rest. Once all of them have answered, it is certain that no more credit can come.

After its deadline a need for a lease lingers for a while: its caller was told to repeat it. It keeps its place, and the answers
that come meanwhile are noted.
"""

from enum import Enum

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.messages import REPEAT_GRACE
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import Instant
from creditmeter.core.values import Value

CENTRAL_STORE = SidecarId("")
"""The owner of a recall that is the central store's own: it needs no credit, only a message from each sidecar."""


class Purpose(Enum):
    """Why there is a recall: for cost beyond leases, for a lease, or for messages because the account's state changed."""

    EXCESS = "EXCESS"
    LEASE = "LEASE"
    STATE = "STATE"


class Recall(Value, frozen=True):
    """A need that waits at the central store. Amounts in microcredits.

    Less than `smallest` is of no use to its sidecar. `number` is its place among the recalls of the account. `awaited` are the
    sidecars that may have idle credit and have not answered yet. It `is_ready` once the credit is there or nothing more can
    come. Its sidecar is notified then, and asks again.

    `asked_at` is when the newest request of the need was first asked for, and `answered` when each sidecar last answered, both
    by a count of the recall's own: an instant of the central store, moved on where that is needed to tell what came first. So
    an answer counts for the requests that were asked for until then.
    """

    sidecar_id: SidecarId
    purpose: Purpose
    number: int
    amount: Microcredits
    smallest: Microcredits
    asked_at: Instant
    deadline: Instant
    awaited: tuple[SidecarId, ...]
    is_ready: bool = False
    answered: tuple[tuple[SidecarId, Instant], ...] = ()

    @property
    def key(self) -> tuple[SidecarId, Purpose]:
        """The key of a recall: a sidecar has at most one for each purpose on an account."""
        return self.sidecar_id, self.purpose

    def stands(self, now: Instant) -> bool:
        """Whether its deadline is still to come."""
        return now < self.deadline

    def lingers(self, now: Instant) -> bool:
        """Whether its deadline is past, and its requests may be repeated."""
        return self.purpose is Purpose.LEASE and self.deadline <= now < self.deadline + REPEAT_GRACE
