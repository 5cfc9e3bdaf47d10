"""The six requests that change something, and the receipt that each leaves.

A receipt is the request together with its first reply. It makes every request safe to repeat: the same id with the same request
gets the same reply, and the same id with another request is refused with the name of the field that differs.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge, Refund, RefundMode
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import AccountId, ChargeId, RequestId, ReservationId
from creditmeter.core.instants import Span
from creditmeter.core.values import Value, field
from creditmeter.core.work import Usage, Work

_Reply = TypeVar("_Reply")


class Reserve(Value, frozen=True):
    """Hold credit for work, or an amount in microcredits: exactly one of `work` and `amount` is set.

    `is_metered`: the call begins with a stream that meters it. Then credit is held for a part of the work at first. The request
    is the same with and without: a stream may go on with a hold, and who does not know whether its stream was opened may ask.
    """

    request_id: RequestId
    account_id: AccountId
    work: Work | None = None
    amount: Microcredits | None = None
    ttl: Span | None = None
    allow_partial: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    is_metered: bool = False


class Extend(Value, frozen=True):
    """Raise a hold to a new total (charged + held) by work or amount, move its deadline on by `ttl`, or both."""

    request_id: RequestId
    reservation_id: ReservationId
    work: Work | None = None
    amount: Microcredits | None = None
    ttl: Span | None = None


class Commit(Value, frozen=True):
    """Charge what a reserved call used: exactly one of `usage` and `amount` is set."""

    request_id: RequestId
    reservation_id: ReservationId
    usage: Usage | None = None
    amount: Microcredits | None = None
    keep_open: bool = False


class Release(Value, frozen=True):
    """Give a hold back unused."""

    request_id: RequestId
    reservation_id: ReservationId
    reason: str = ""


class ChargeNow(Value, frozen=True):
    """Reserve and commit in one step: exactly one of `usage` and `amount` is set."""

    request_id: RequestId
    account_id: AccountId
    usage: Usage | None = None
    amount: Microcredits | None = None
    already_incurred: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


class RefundCharge(Value, frozen=True):
    """Give back a part of a charge, in microcredits. If `amount` is None, give back all that is left of it."""

    request_id: RequestId
    charge_id: ChargeId
    amount: Microcredits | None = None
    mode: RefundMode = RefundMode.ORIGINAL
    reason: str = ""


Request = Reserve | Extend | Commit | Release | ChargeNow | RefundCharge


class Receipt(Value, frozen=True):
    """A request that took effect, and its first reply."""

    request: Request
    reservation: Reservation | None = None
    charge: Charge | None = None
    refund: Refund | None = None


class Done(Value, Generic[_Reply], frozen=True):
    """The reply to a request that took effect. `replayed`: it took effect when it first came, not now."""

    reply: _Reply
    replayed: bool = False


_WAYS = frozenset(("is_metered",))
"""Fields that say how a request came, and not what it asks for."""


def difference(first: object, second: object) -> str | None:
    """The path of the first field in which two requests with one id differ, such as `amount` or `work.input_tokens`.

    `rpc` if they are requests of different classes; None if they are equal.
    """
    return next(_differences(first, second), None) if type(first) is type(second) else "rpc"


def _differences(first: Any, second: Any) -> Iterator[str]:
    """The paths of all fields in which two values of one class differ. A field that only one has set differs as a whole."""
    for name in first.__struct_fields__:
        one, other = getattr(first, name), getattr(second, name)
        if one != other and name not in _WAYS:
            nests = isinstance(one, Value) and type(one) is type(other)
            yield from (f"{name}.{path}" for path in _differences(one, other)) if nests else (name,)
