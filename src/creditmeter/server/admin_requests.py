"""The requests of AdminService, read into the core's."""

from typing import Any

from creditmeter.core.credit.accounts import Account, AccountState, Alert, Plan
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, GrantCredits, UpdateAccount, VoidGrant
from creditmeter.core.credit.calendar import LAST_ANCHOR_DAY, valid_time_zone
from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.ids import AccountId, GrantId, PlanId, RequestId
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import InvalidRequest
from creditmeter.server.fields import MAX_TEXT, Fields
from creditmeter.v1 import admin_pb2, grants_pb2

MAX_ALERTS = 16
MAX_OPEN_RESERVATIONS = 100_000
_PERCENT = 100
_SETTABLE = (
    "plan_id",
    "time_zone",
    "anchor_day",
    "state",
    "overdraft_limit_microcredits",
    "max_open_reservations",
    "max_reservation_microcredits",
    "offline_allowance_microcredits",
    "alerts",
)


def create_account_of(message: admin_pb2.CreateAccountRequest) -> CreateAccount | InvalidRequest:
    """Read a CreateAccount."""
    fields = Fields(message)
    request = CreateAccount(fields.id("request_id", RequestId), _account(fields, message.account))
    return fields.refusal or request


def update_account_of(message: admin_pb2.UpdateAccountRequest) -> UpdateAccount | InvalidRequest:
    """Read an UpdateAccount."""
    fields = Fields(message)
    request = UpdateAccount(
        fields.id("request_id", RequestId),
        fields.within("account", message.account).id("account_id", AccountId),
        _update(fields, message),
    )
    return fields.refusal or request


def plan_of(message: admin_pb2.PutPlanRequest) -> Plan | InvalidRequest:
    """Read a PutPlan."""
    fields = Fields(message)
    stated = fields.within("plan", message.plan)
    plan = Plan(
        stated.id("plan_id", PlanId),
        stated.amount("daily_microcredits", 0),
        stated.amount("monthly_microcredits", 0),
    )
    return fields.refusal or plan


def grant_credits_of(message: admin_pb2.GrantCreditsRequest) -> GrantCredits | InvalidRequest:
    """Read a GrantCredits."""
    fields = Fields(message)
    request = GrantCredits(
        request_id=fields.id("request_id", RequestId),
        account_id=fields.id("account_id", AccountId),
        kind=fields.enum("kind", grants_pb2.GrantKind, GrantKind) or GrantKind.PERMANENT,
        amount=fields.amount("amount_microcredits", 1),
        effective_at=fields.moment_if_set("effective_at"),
        expires_at=fields.moment_if_set("expires_at"),
        source=fields.enum("source", grants_pb2.GrantSource, GrantSource) or GrantSource.PROMOTION,
        note=fields.text("note", MAX_TEXT),
    )
    return fields.refusal or request


def void_grant_of(message: admin_pb2.VoidGrantRequest) -> VoidGrant | InvalidRequest:
    """Read a VoidGrant."""
    fields = Fields(message)
    request = VoidGrant(
        fields.id("request_id", RequestId),
        fields.id("account_id", AccountId),
        fields.id("grant_id", GrantId),
    )
    return fields.refusal or request


def _account(request: Fields, message: admin_pb2.Account) -> Account:
    """The account in a request. A field that is not set has its default."""
    fields = request.within("account", message)
    zone = message.time_zone or "UTC"
    if not valid_time_zone(zone):
        fields.wrong("time_zone", "must be the name of an IANA time zone, such as Europe/Berlin")
    if not 0 <= message.anchor_day <= LAST_ANCHOR_DAY:
        fields.wrong("anchor_day", f"must be 0 (the day of creation) to {LAST_ANCHOR_DAY}")
    return Account(
        account_id=fields.id("account_id", AccountId),
        created_at=Instant(0),
        plan_id=fields.id_if_set("plan_id", PlanId),
        time_zone=zone,
        anchor_day=message.anchor_day,
        state=fields.enum("state", admin_pb2.AccountState, AccountState) or AccountState.ACTIVE,
        overdraft_limit=fields.amount("overdraft_limit_microcredits", 0),
        max_open_reservations=fields.count("max_open_reservations", MAX_OPEN_RESERVATIONS),
        max_reservation=fields.amount("max_reservation_microcredits", 0),
        offline_allowance=fields.amount("offline_allowance_microcredits", 0),
        alerts=_alerts(fields, message),
    )


def _update(fields: Fields, request: admin_pb2.UpdateAccountRequest) -> AccountUpdate:
    """The new values of the fields that the mask names or, without a mask, of those that are set.

    A field that the mask names and the account does not set gets its default.
    """
    message = request.account
    named = tuple(request.update_mask.paths) or tuple(name for name in _SETTABLE if _is_set(message, name))
    for name in named:
        if name not in _SETTABLE:
            fields.wrong("update_mask", f"{name!r} cannot be changed: name any of {', '.join(_SETTABLE)}")
    if not named:
        fields.wrong("account", "sets nothing to change")
    wanted = _account(fields, message)
    changed = {each.removesuffix("_microcredits") for each in named if each in _SETTABLE}
    values = {name: getattr(wanted, name) for name in changed}
    if "plan_id" in changed:
        values["plan_id"] = wanted.plan_id or ""
    return AccountUpdate(**values)


def _is_set(message: Any, name: str) -> bool:
    if name == "alerts":
        return bool(message.alerts)
    if name == "state":
        return bool(message.state)
    return bool(message.HasField(name))


def _alerts(fields: Fields, message: admin_pb2.Account) -> tuple[Alert, ...]:
    if len(message.alerts) > MAX_ALERTS:
        fields.wrong("alerts", f"must be at most {MAX_ALERTS}")
    return tuple(_alert(fields, each) for each in message.alerts)


def _alert(fields: Fields, message: admin_pb2.Alert) -> Alert:
    threshold = fields.within("alerts", message)
    match message.WhichOneof("threshold"):
        case "amount_microcredits":
            return Alert(amount=threshold.amount("amount_microcredits", 1))
        case "percent":
            return Alert(percent=threshold.count("percent", _PERCENT, least=1))
        case _:
            fields.wrong("alerts", "an alert needs an amount or a percentage")
            return Alert()
