"""What the workers know: their requests, and the replies that they received."""

from dataclasses import dataclass, field

from creditmeter.core.credit.charges import Charge, Refund
from creditmeter.core.credit.requests import Receipt, Request
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, ChargeId, RefundId, RequestId, ReservationId

WORKER = "simulate"
"""The credential that workers show. It has no limit."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A receipt that a machine's sidecar replied, and when its reservation or charge was first asked for, by the world's time.
    The sidecar keeps it for some time from then on.
    """

    receipt: Receipt
    at: int


@dataclass(slots=True)
class Record:
    """All that was asked and acknowledged in a run.

    `asked` says when a machine was first asked for something, by the world's time, and `held_since` the same of a hold.
    `unsure` are requests to which no reply came at least once, `refused` those that were refused, `waiting` those whose last
    attempt got no reply, with the machine that was asked.
    """

    asked: dict[tuple[str, RequestId], int] = field(default_factory=dict)
    acknowledged: dict[tuple[str, RequestId], Acknowledged] = field(default_factory=dict)
    holds: dict[ReservationId, tuple[str, Reservation]] = field(default_factory=dict)
    held_since: dict[ReservationId, int] = field(default_factory=dict)
    charges: dict[ChargeId, Charge] = field(default_factory=dict)
    refunds: dict[RefundId, Refund] = field(default_factory=dict)
    accepted: set[RequestId] = field(default_factory=set)
    refused: set[RequestId] = field(default_factory=set)
    unsure: set[RequestId] = field(default_factory=set)
    waiting: dict[tuple[str, RequestId], Request] = field(default_factory=dict)

    def keep(self, machine: str, receipt: Receipt) -> None:
        """Write down a yes."""
        request_id, at = receipt.request.request_id, self.began(machine, receipt)
        self.acknowledged[machine, request_id] = Acknowledged(receipt, at)
        self.accepted.add(request_id)
        if receipt.reservation is not None:
            self.held_since[receipt.reservation.reservation_id] = at
            self.holds[receipt.reservation.reservation_id] = machine, receipt.reservation
        if receipt.charge is not None:
            self.charges[receipt.charge.charge_id] = receipt.charge
        if receipt.refund is not None:
            self.refunds[receipt.refund.refund_id] = receipt.refund

    def began(self, machine: str, receipt: Receipt) -> int:
        """When what a receipt of a machine is about was first asked for, by the world's time."""
        asked = self.asked[machine, receipt.request.request_id]
        return asked if receipt.reservation is None else self.held_since.get(receipt.reservation.reservation_id, asked)


def account_of(receipt: Receipt) -> AccountId:
    """The account that a receipt is about."""
    thing = receipt.reservation or receipt.charge or receipt.refund
    assert thing is not None, "every receipt is about something"
    return thing.account_id
