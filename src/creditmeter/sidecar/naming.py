"""New ids. A number drawn at a sidecar's start and a count make them unique within the sidecar.

An id of a reservation, charge or refund is all that is needed to commit, release, refund or read it. So each has a random part
of its own, by which nobody can guess it from the ids that were given before.
"""

import itertools
import secrets

from creditmeter.core.ids import (
    AccountId,
    ChargeId,
    Origin,
    RefundId,
    ReservationId,
    SidecarId,
    charge_id,
    refund_id,
    reservation_id,
)


def new_sidecar_id() -> SidecarId:
    """The id of a sidecar that starts with an empty journal."""
    return SidecarId(f"s{secrets.token_hex(6)}")


def new_nonce() -> str:
    """A number used once: for one start of a sidecar."""
    return secrets.token_hex(8)


RANDOM_BYTES = 8
"""Of the random part of an id: 64 bits, as 16 characters."""


class Names:
    """Gives out the ids of one run of a sidecar. Within a run they sort in the order in which they were given."""

    def __init__(self, sidecar_id: SidecarId) -> None:
        self.sidecar_id = sidecar_id
        self._start = secrets.token_hex(5)
        self._count = itertools.count(1)

    def _tail(self) -> str:
        return f"{self._start}{next(self._count):010x}{secrets.token_hex(RANDOM_BYTES)}"

    def reservation(self, account_id: AccountId) -> ReservationId:
        """The id of a new reservation."""
        return reservation_id(account_id, self.sidecar_id, self._tail())

    def charge(self, account_id: AccountId) -> ChargeId:
        """The id of a new charge."""
        return charge_id(account_id, self.sidecar_id, self._tail())

    def refund(self, account_id: AccountId) -> RefundId:
        """The id of a new refund."""
        return refund_id(account_id, self.sidecar_id, self._tail())

    def refund_of(self, charge: Origin) -> RefundId:
        """The id of a new refund of a charge, whose account is known by its key alone."""
        return RefundId(f"ref-{charge.account_key}-{self.sidecar_id}-{self._tail()}")
