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
    request = CreateAccount(RequestId(fields.id("request_id", message.request_id)), _account(fields, message.account))
    return fields.refusal or request


def update_account_of(message: admin_pb2.UpdateAccountRequest) -> UpdateAccount | InvalidRequest:
    """Read an UpdateAccount."""
    fields = Fields(message)
    request = UpdateAccount(
        RequestId(fields.id("request_id", message.request_id)),
        AccountId(fields.id("account.account_id", message.account.account_id)),
        _update(fields, message),
    )
    return fields.refusal or request


def plan_of(message: admin_pb2.PutPlanRequest) -> Plan | InvalidRequest:
    """Read a PutPlan."""
    fields = Fields(message)
    plan = Plan(
        PlanId(fields.id("plan.plan_id", message.plan.plan_id)),
        fields.amount("plan.daily_microcredits", message.plan.daily_microcredits, 0),
        fields.amount("plan.monthly_microcredits", message.plan.monthly_microcredits, 0),
    )
    return fields.refusal or plan


def grant_credits_of(message: admin_pb2.GrantCreditsRequest) -> GrantCredits | InvalidRequest:
    """Read a GrantCredits."""
    fields = Fields(message)
    kind = fields.enum("kind", grants_pb2.GrantKind, message.kind, "GRANT_KIND_")
    source = fields.enum("source", grants_pb2.GrantSource, message.source, "GRANT_SOURCE_")
    request = GrantCredits(
        request_id=RequestId(fields.id("request_id", message.request_id)),
        account_id=AccountId(fields.id("account_id", message.account_id)),
        kind=GrantKind(kind) if kind else GrantKind.PERMANENT,
        amount=fields.amount("amount_microcredits", message.amount_microcredits, 1),
        effective_at=fields.moment("effective_at", message, message.effective_at),
        expires_at=fields.moment("expires_at", message, message.expires_at),
        source=GrantSource(source) if source else GrantSource.PROMOTION,
        note=fields.text("note", message.note, MAX_TEXT),
    )
    return fields.refusal or request


def void_grant_of(message: admin_pb2.VoidGrantRequest) -> VoidGrant | InvalidRequest:
    """Read a VoidGrant."""
    fields = Fields(message)
    request = VoidGrant(
        RequestId(fields.id("request_id", message.request_id)),
        AccountId(fields.id("account_id", message.account_id)),
        GrantId(fields.id("grant_id", message.grant_id)),
    )
    return fields.refusal or request


def _account(fields: Fields, message: admin_pb2.Account) -> Account:
    """A new account; what is unset has its default."""
    zone = message.time_zone or "UTC"
    _check_calendar(fields, zone, message.anchor_day)
    state = fields.enum("account.state", admin_pb2.AccountState, message.state, "ACCOUNT_STATE_")
    return Account(
        account_id=AccountId(fields.id("account.account_id", message.account_id)),
        created_at=Instant(0),
        plan_id=PlanId(fields.id("account.plan_id", message.plan_id)) if message.plan_id else None,
        time_zone=zone,
        anchor_day=message.anchor_day,
        state=AccountState(state) if state else AccountState.ACTIVE,
        overdraft_limit=fields.amount("account.overdraft_limit_microcredits", message.overdraft_limit_microcredits, 0),
        max_open_reservations=fields.count(
            "account.max_open_reservations", message.max_open_reservations, MAX_OPEN_RESERVATIONS
        ),
        max_reservation=fields.amount("account.max_reservation_microcredits", message.max_reservation_microcredits, 0),
        offline_allowance=fields.amount("account.offline_allowance_microcredits", message.offline_allowance_microcredits, 0),
        alerts=_alerts(fields, message),
    )


def _update(fields: Fields, request: admin_pb2.UpdateAccountRequest) -> AccountUpdate:
    """What is to change: the fields that the mask names or, without one, those that are set. A named field that is not set
    gets its default.
    """
    message = request.account
    named = tuple(request.update_mask.paths) or tuple(name for name in _SETTABLE if _is_set(message, name))
    for name in named:
        if name not in _SETTABLE:
            fields.wrong("update_mask", f"{name!r} cannot be changed: name any of {', '.join(_SETTABLE)}")
    if not named:
        fields.wrong("account", "sets nothing to change")
    wanted = _account(fields, message)
    renamed = {name.removesuffix("_microcredits"): getattr(wanted, name.removesuffix("_microcredits"), None) for name in named}
    if "plan_id" in renamed:
        renamed["plan_id"] = renamed["plan_id"] or ""
    known = {name: value for name, value in renamed.items() if f"{name}_microcredits" in _SETTABLE or name in _SETTABLE}
    return AccountUpdate(**known)


def _is_set(message: Any, name: str) -> bool:
    if name == "alerts":
        return bool(message.alerts)
    if name == "state":
        return bool(message.state)
    return bool(message.HasField(name))


def _check_calendar(fields: Fields, zone: str, anchor_day: int) -> None:
    if not valid_time_zone(zone):
        fields.wrong("account.time_zone", "must be the name of an IANA time zone, such as Europe/Berlin")
    if not 0 <= anchor_day <= LAST_ANCHOR_DAY:
        fields.wrong("account.anchor_day", f"must be 0 (the day of creation) to {LAST_ANCHOR_DAY}")


def _alerts(fields: Fields, message: admin_pb2.Account) -> tuple[Alert, ...]:
    if len(message.alerts) > MAX_ALERTS:
        fields.wrong("account.alerts", f"must be at most {MAX_ALERTS}")
    return tuple(_alert(fields, each) for each in message.alerts)


def _alert(fields: Fields, message: admin_pb2.Alert) -> Alert:
    match message.WhichOneof("threshold"):
        case "amount_microcredits":
            return Alert(amount=fields.amount("account.alerts.amount_microcredits", message.amount_microcredits, 1))
        case "percent":
            if not 1 <= message.percent <= _PERCENT:
                fields.wrong("account.alerts.percent", f"must be 1 to {_PERCENT}")
            return Alert(percent=message.percent)
        case _:
            fields.wrong("account.alerts", "an alert needs an amount or a percentage")
            return Alert()
