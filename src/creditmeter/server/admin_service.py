"""AdminService: accounts, plans and grants, and who holds what. Registered only where it was enabled."""

from collections.abc import Sequence
from typing import Any

import grpc

from creditmeter.core.credit.accounts import Account, AccountCursor, AccountState, Alert, Plan
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, GrantCredits, UpdateAccount, VoidGrant
from creditmeter.core.credit.calendar import LAST_ANCHOR_DAY, valid_time_zone
from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.holders import AccountLease, LeaseCursor, SidecarCursor, SidecarState
from creditmeter.core.ids import AccountId, GrantId, LeaseId, PlanId, RequestId, SidecarId
from creditmeter.core.instants import Instant
from creditmeter.server.errors import refuse
from creditmeter.server.messages import account_message, grant_message, lease_message, plan_message, sidecar_message
from creditmeter.server.metering_service import allowed
from creditmeter.server.paging import cursor_of, next_token
from creditmeter.server.rate_card_service import RateCardService
from creditmeter.server.reading import MAX_TEXT, Fields
from creditmeter.server.status_messages import status_message
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import admin_pb2, grants_pb2

Context = grpc.aio.ServicerContext[Any, Any]

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


class AdminService(RateCardService):
    """Changes what accounts have, and shows who holds it and how this sidecar is."""

    def __init__(self, sidecar: Sidecar, addresses: Sequence[str]) -> None:
        super().__init__(sidecar.central, sidecar.card_keeper)
        self._sidecar = sidecar
        self._addresses = addresses
        self._administration = sidecar.central.administration
        self._listing = sidecar.central.listing

    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: Context) -> admin_pb2.GetStatusResponse:  # noqa: ARG002 - the contract's signature
        """How this sidecar is, by what it knows itself."""
        return status_message(await self._sidecar.status(), self._addresses)

    async def CreateAccount(self, request: admin_pb2.CreateAccountRequest, context: Context) -> admin_pb2.CreateAccountResponse:
        """Open an account."""
        fields = Fields(request)
        request_id = RequestId(fields.id("request_id", request.request_id))
        account = _account(fields, request.account)
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        done = await allowed(context, await self._administration.create_account(CreateAccount(request_id, account)))
        return admin_pb2.CreateAccountResponse(account=account_message(done.reply), replayed=done.replayed)

    async def GetAccount(self, request: admin_pb2.GetAccountRequest, context: Context) -> admin_pb2.GetAccountResponse:
        """An account as it stands."""
        fields = Fields(request)
        account_id = AccountId(fields.id("account_id", request.account_id))
        found = await allowed(context, fields.refusal or await self._administration.get_account(account_id))
        return admin_pb2.GetAccountResponse(account=account_message(found))

    async def UpdateAccount(self, request: admin_pb2.UpdateAccountRequest, context: Context) -> admin_pb2.UpdateAccountResponse:
        """Change what is agreed with an account."""
        fields = Fields(request)
        asked = UpdateAccount(
            RequestId(fields.id("request_id", request.request_id)),
            AccountId(fields.id("account.account_id", request.account.account_id)),
            _update(fields, request),
        )
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        done = await allowed(context, await self._administration.update_account(asked))
        return admin_pb2.UpdateAccountResponse(account=account_message(done.reply), replayed=done.replayed)

    async def ListAccounts(self, request: admin_pb2.ListAccountsRequest, context: Context) -> admin_pb2.ListAccountsResponse:
        """Accounts, newest first."""
        fields = Fields(request)
        size = fields.page_size(request.page_size)
        after = cursor_of(fields, request, request.page_token, tuple[Instant, str])
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        found = await self._administration.list_accounts(size + 1, AccountCursor(*after) if after else None)
        page = found[:size]
        more = len(found) > size
        return admin_pb2.ListAccountsResponse(
            accounts=[account_message(each) for each in page],
            next_page_token=next_token(request, (page[-1].created_at, page[-1].account_id)) if more else "",
        )

    async def PutPlan(self, request: admin_pb2.PutPlanRequest, context: Context) -> admin_pb2.PutPlanResponse:
        """Create a plan or change it."""
        fields = Fields(request)
        plan = Plan(
            PlanId(fields.id("plan.plan_id", request.plan.plan_id)),
            fields.amount("plan.daily_microcredits", request.plan.daily_microcredits, 0),
            fields.amount("plan.monthly_microcredits", request.plan.monthly_microcredits, 0),
        )
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        return admin_pb2.PutPlanResponse(plan=plan_message(await self._administration.put_plan(plan)))

    async def ListPlans(self, request: admin_pb2.ListPlansRequest, context: Context) -> admin_pb2.ListPlansResponse:
        """Plans, by id."""
        fields = Fields(request)
        size = fields.page_size(request.page_size)
        after = cursor_of(fields, request, request.page_token, str)
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        found = await self._administration.list_plans(size + 1, after)
        page = found[:size]
        return admin_pb2.ListPlansResponse(
            plans=[plan_message(each) for each in page],
            next_page_token=next_token(request, page[-1].plan_id) if len(found) > size else "",
        )

    async def GrantCredits(self, request: admin_pb2.GrantCreditsRequest, context: Context) -> admin_pb2.GrantCreditsResponse:
        """Give credit."""
        fields = Fields(request)
        kind = fields.enum("kind", grants_pb2.GrantKind, request.kind, "GRANT_KIND_")
        source = fields.enum("source", grants_pb2.GrantSource, request.source, "GRANT_SOURCE_")
        asked = GrantCredits(
            request_id=RequestId(fields.id("request_id", request.request_id)),
            account_id=AccountId(fields.id("account_id", request.account_id)),
            kind=GrantKind(kind) if kind else GrantKind.PERMANENT,
            amount=fields.amount("amount_microcredits", request.amount_microcredits, 1),
            effective_at=fields.moment("effective_at", request, request.effective_at),
            expires_at=fields.moment("expires_at", request, request.expires_at),
            source=GrantSource(source) if source else GrantSource.PROMOTION,
            note=fields.text("note", request.note, MAX_TEXT),
        )
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        done = await allowed(context, await self._administration.grant_credits(asked))
        return admin_pb2.GrantCreditsResponse(grant=grant_message(asked.account_id, done.reply), replayed=done.replayed)

    async def VoidGrant(self, request: admin_pb2.VoidGrantRequest, context: Context) -> admin_pb2.VoidGrantResponse:
        """Take back what of a grant is neither spent nor out on a lease."""
        fields = Fields(request)
        asked = VoidGrant(
            RequestId(fields.id("request_id", request.request_id)),
            AccountId(fields.id("account_id", request.account_id)),
            GrantId(fields.id("grant_id", request.grant_id)),
        )
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        done = await allowed(context, await self._administration.void_grant(asked))
        return admin_pb2.VoidGrantResponse(
            grant=grant_message(asked.account_id, done.reply.grant),
            voided_microcredits=done.reply.amount,
            replayed=done.replayed,
        )

    async def ListSidecars(self, request: admin_pb2.ListSidecarsRequest, context: Context) -> admin_pb2.ListSidecarsResponse:
        """Sidecars, the last seen first."""
        fields = Fields(request)
        state = fields.enum("state", admin_pb2.SidecarState, request.state, "SIDECAR_STATE_")
        size = fields.page_size(request.page_size)
        after = cursor_of(fields, request, request.page_token, tuple[Instant, SidecarId])
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        wanted = SidecarState(state) if state else None
        found = await self._listing.sidecars(size + 1, wanted, SidecarCursor(*after) if after else None)
        page = found[:size]
        more = len(found) > size
        return admin_pb2.ListSidecarsResponse(
            sidecars=[sidecar_message(each) for each in page],
            next_page_token=next_token(request, (page[-1].last_seen_at, page[-1].sidecar_id)) if more else "",
        )

    async def ListLeases(self, request: admin_pb2.ListLeasesRequest, context: Context) -> admin_pb2.ListLeasesResponse:
        """Leases that are not closed, the last opened first."""
        fields = Fields(request)
        account_id = AccountId(fields.id("account_id", request.account_id)) if request.account_id else None
        sidecar_id = SidecarId(fields.id("sidecar_id", request.sidecar_id)) if request.sidecar_id else None
        size = fields.page_size(request.page_size)
        after = cursor_of(fields, request, request.page_token, tuple[Instant, AccountId, LeaseId])
        if fields.refusal is not None:
            await refuse(context, fields.refusal)
        found = await self._listing.leases(size + 1, account_id, sidecar_id, LeaseCursor(*after) if after else None)
        page = found[:size]
        more = len(found) > size
        return admin_pb2.ListLeasesResponse(
            leases=[lease_message(each) for each in page],
            next_page_token=next_token(request, _place(page[-1])) if more else "",
        )


def _place(found: AccountLease) -> tuple[Instant, AccountId, LeaseId]:
    """Where a lease is in the order of its listing."""
    return found.lease.opened_at, found.account_id, found.lease.lease_id


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
