"""What each RPC needs: one of some scopes and, of a caller that is bound to accounts, the right account.

An account that a caller may not use is answered as one that does not exist.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from creditmeter.core import refusals
from creditmeter.core.access import Rights, Scope
from creditmeter.core.ids import is_id
from creditmeter.core.refusals import Refusal
from creditmeter.server.errors import Problem, problem_of
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2

_METERS = frozenset((Scope.METER,))
_READS = frozenset((Scope.READ,))
_REFUNDS = frozenset((Scope.REFUND,))
_ADMINISTERS = frozenset((Scope.ADMIN,))
_READS_CALLS = _METERS | _READS
_CHANGES = _METERS | _REFUNDS

_ABSENT: Mapping[str, Callable[[str], Refusal]] = {
    "account_id": refusals.AccountNotFound,
    "reservation_id": refusals.ReservationNotFound,
    "charge_id": refusals.ChargeNotFound,
    "refund_id": refusals.RefundNotFound,
}
"""The refusal of each kind of id that does not exist."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What an RPC needs: one of `scopes`, and the account of the field `named`, if it names one.

    `of_all` are the scopes that it needs if it names none: then it is about all accounts, and no caller that is bound to some
    may do it. Without them a request that names no account is nobody's secret. `unknown` makes the reply to a request about an
    account that does not exist, where that is no refusal.
    """

    scopes: frozenset[Scope]
    named: str = ""
    of_all: frozenset[Scope] = frozenset()
    unknown: Callable[[], Any] | None = None

    def id_in(self, request: Any) -> str:
        """The id that the request names; empty if there is none, or it is none that anybody could have."""
        value = request
        for name in self.named.split(".") if self.named else ():
            value = getattr(value, name)
        return value if isinstance(value, str) and is_id(value) else ""

    def absent(self, named: str) -> Refusal:
        """The refusal of an id that does not exist."""
        return _ABSENT[self.named.rpartition(".")[2]](named)


def _metering() -> Mapping[str, Requirement]:
    listing = Requirement(_READS_CALLS, "account_id", of_all=_ADMINISTERS, unknown=metering_pb2.ListReservationsResponse)
    return {
        "Quote": Requirement(_READS_CALLS, "account_id"),
        "Reserve": Requirement(_METERS, "account_id"),
        "Extend": Requirement(_METERS, "reservation_id"),
        "Commit": Requirement(_METERS, "reservation_id"),
        "Release": Requirement(_METERS, "reservation_id"),
        "Charge": Requirement(_METERS, "account_id"),
        "Refund": Requirement(_REFUNDS, "charge_id"),
        "GetReservation": Requirement(_READS_CALLS, "reservation_id"),
        "GetCharge": Requirement(_READS_CALLS, "charge_id"),
        "GetRefund": Requirement(_READS_CALLS | _REFUNDS, "refund_id"),
        "ListReservations": listing,
        "Batch": Requirement(_CHANGES),
        "Pipeline": Requirement(_CHANGES),
        "Meter": Requirement(_METERS),
    }


def _reading() -> Mapping[str, Requirement]:
    names = ("GetBalance", "GetPastBalance", "ListGrants", "ListHistory", "SummarizeUsage", "ForecastUsage")
    of_account = {name: Requirement(_READS, "account_id") for name in names}
    return of_account | {"ListModelPrices": Requirement(_READS_CALLS), "ExplainCharge": Requirement(_READS, "charge_id")}


def _administering() -> Mapping[str, Requirement]:
    methods = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods
    whole = {each.name: Requirement(_ADMINISTERS, of_all=_ADMINISTERS) for each in methods}
    return whole | {
        "CreateAccount": Requirement(_ADMINISTERS, "account.account_id"),
        "UpdateAccount": Requirement(_ADMINISTERS, "account.account_id"),
        "GetAccount": Requirement(_ADMINISTERS, "account_id"),
        "GrantCredits": Requirement(_ADMINISTERS, "account_id"),
        "VoidGrant": Requirement(_ADMINISTERS, "account_id"),
        "ListLeases": Requirement(_ADMINISTERS, "account_id", of_all=_ADMINISTERS, unknown=admin_pb2.ListLeasesResponse),
    }


def _full_names(module: Any, service: str, required: Mapping[str, Requirement]) -> Mapping[str, Requirement]:
    name = module.DESCRIPTOR.services_by_name[service].full_name
    return {f"/{name}/{method}": each for method, each in required.items()}


REQUIREMENTS: Mapping[str, Requirement] = {
    **_full_names(metering_pb2, "MeteringService", _metering()),
    **_full_names(account_pb2, "AccountService", _reading()),
    **_full_names(admin_pb2, "AdminService", _administering()),
}
"""What each RPC of the contract needs. A test compares it with the contract."""


def lacking(method: str, rights: Rights, wanted: frozenset[Scope]) -> Problem:
    """The refusal of a caller that has none of the wanted scopes."""
    words = " or ".join(each.value for each in Scope if each in wanted)
    text = f"the caller {rights.name} may not call {method.lstrip('/')}: it needs the scope {words}"
    return Problem(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", text, {"scopes": words.replace(" or ", ",")})


def bound(method: str, rights: Rights) -> Problem:
    """The refusal of a caller that is bound to accounts, of a call that is about all of them."""
    text = f"the caller {rights.name} may not call {method.lstrip('/')} for all accounts: it is bound to some"
    return Problem(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", text)


def hidden(required: Requirement, named: str) -> Problem:
    """The refusal of a caller that may not use the account: the same as if there were none."""
    return problem_of(required.absent(named))
