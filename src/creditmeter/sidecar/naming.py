"""New ids. A number drawn at a sidecar's start and a count make them unique within the sidecar."""

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


class Names:
    """Gives out the ids of one run of a sidecar. Within a run they sort in the order in which they were given."""

    def __init__(self, sidecar_id: SidecarId) -> None:
        self.sidecar_id = sidecar_id
        self._start = secrets.token_hex(5)
        self._count = itertools.count(1)

    def _tail(self) -> str:
        return f"{self._start}{next(self._count):010x}"

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
