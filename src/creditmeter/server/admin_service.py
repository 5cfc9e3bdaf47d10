"""AdminService: accounts, plans and grants, and who holds what."""

from collections.abc import Sequence

from creditmeter.core.credit.accounts import AccountCursor
from creditmeter.core.credit.holders import AccountLease, LeaseCursor, SidecarCursor, SidecarState
from creditmeter.core.ids import AccountId, SidecarId
from creditmeter.server import admin_requests as read
from creditmeter.server.errors import Context, allowed
from creditmeter.server.fields import Fields
from creditmeter.server.paging import page_of
from creditmeter.server.rate_card_service import RateCardService
from creditmeter.server.replies import account_message, grant_message, lease_message, plan_message, sidecar_message
from creditmeter.server.status_replies import status_message
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import admin_pb2


class AdminService(RateCardService):
    """Changes accounts, plans and grants, and lists sidecars and leases. GetStatus describes this sidecar."""

    def __init__(self, sidecar: Sidecar, addresses: Sequence[str]) -> None:
        super().__init__(sidecar.central, sidecar.card_keeper)
        self._sidecar = sidecar
        self._addresses = addresses
        self._administration = sidecar.central.administration
        self._listing = sidecar.central.listing

    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: Context) -> admin_pb2.GetStatusResponse:  # noqa: ARG002 - the contract's signature
        """The state of this sidecar. The central store is not asked."""
        return status_message(await self._sidecar.status(), self._addresses)

    async def CreateAccount(self, request: admin_pb2.CreateAccountRequest, context: Context) -> admin_pb2.CreateAccountResponse:
        """Open an account."""
        asked = await allowed(context, read.create_account_of(request))
        done = await allowed(context, await self._administration.create_account(asked))
        return admin_pb2.CreateAccountResponse(account=account_message(done.reply), replayed=done.replayed)

    async def GetAccount(self, request: admin_pb2.GetAccountRequest, context: Context) -> admin_pb2.GetAccountResponse:
        """The terms of an account."""
        fields = Fields(request)
        account_id = fields.id("account_id", AccountId)
        found = await allowed(context, fields.refusal or await self._administration.get_account(account_id))
        return admin_pb2.GetAccountResponse(account=account_message(found))

    async def UpdateAccount(self, request: admin_pb2.UpdateAccountRequest, context: Context) -> admin_pb2.UpdateAccountResponse:
        """Change the terms of an account."""
        asked = await allowed(context, read.update_account_of(request))
        done = await allowed(context, await self._administration.update_account(asked))
        return admin_pb2.UpdateAccountResponse(account=account_message(done.reply), replayed=done.replayed)

    async def ListAccounts(self, request: admin_pb2.ListAccountsRequest, context: Context) -> admin_pb2.ListAccountsResponse:
        """Accounts, newest first."""
        asked = await allowed(context, page_of(Fields(request), request, AccountCursor))
        found = await self._administration.list_accounts(asked.limit, asked.after)
        accounts, token = asked.page(found, account_message, lambda each: AccountCursor(each.created_at, each.account_id))
        return admin_pb2.ListAccountsResponse(accounts=accounts, next_page_token=token)

    async def PutPlan(self, request: admin_pb2.PutPlanRequest, context: Context) -> admin_pb2.PutPlanResponse:
        """Create a plan or change it."""
        plan = await allowed(context, read.plan_of(request))
        return admin_pb2.PutPlanResponse(plan=plan_message(await self._administration.put_plan(plan)))

    async def ListPlans(self, request: admin_pb2.ListPlansRequest, context: Context) -> admin_pb2.ListPlansResponse:
        """Plans, by id."""
        asked = await allowed(context, page_of(Fields(request), request, str))
        found = await self._administration.list_plans(asked.limit, asked.after)
        plans, token = asked.page(found, plan_message, lambda each: each.plan_id)
        return admin_pb2.ListPlansResponse(plans=plans, next_page_token=token)

    async def GrantCredits(self, request: admin_pb2.GrantCreditsRequest, context: Context) -> admin_pb2.GrantCreditsResponse:
        """Give credit."""
        asked = await allowed(context, read.grant_credits_of(request))
        done = await allowed(context, await self._administration.grant_credits(asked))
        return admin_pb2.GrantCreditsResponse(grant=grant_message(asked.account_id, done.reply), replayed=done.replayed)

    async def VoidGrant(self, request: admin_pb2.VoidGrantRequest, context: Context) -> admin_pb2.VoidGrantResponse:
        """Take back the credit of a grant that is neither spent nor out on a lease."""
        asked = await allowed(context, read.void_grant_of(request))
        done = await allowed(context, await self._administration.void_grant(asked))
        return admin_pb2.VoidGrantResponse(
            grant=grant_message(asked.account_id, done.reply.grant),
            voided_microcredits=done.reply.amount,
            replayed=done.replayed,
        )

    async def ListSidecars(self, request: admin_pb2.ListSidecarsRequest, context: Context) -> admin_pb2.ListSidecarsResponse:
        """Sidecars, the last seen first."""
        fields = Fields(request)
        state = fields.enum("state", admin_pb2.SidecarState, SidecarState)
        asked = await allowed(context, page_of(fields, request, SidecarCursor))
        found = await self._listing.sidecars(asked.limit, state, asked.after)
        sidecars, token = asked.page(found, sidecar_message, lambda each: SidecarCursor(each.last_seen_at, each.sidecar_id))
        return admin_pb2.ListSidecarsResponse(sidecars=sidecars, next_page_token=token)

    async def ListLeases(self, request: admin_pb2.ListLeasesRequest, context: Context) -> admin_pb2.ListLeasesResponse:
        """Leases that are not closed, the last opened first."""
        fields = Fields(request)
        account_id = fields.id_if_set("account_id", AccountId)
        sidecar_id = fields.id_if_set("sidecar_id", SidecarId)
        asked = await allowed(context, page_of(fields, request, LeaseCursor))
        found = await self._listing.leases(asked.limit, account_id, sidecar_id, asked.after)
        leases, token = asked.page(found, lease_message, _cursor_at)
        return admin_pb2.ListLeasesResponse(leases=leases, next_page_token=token)


def _cursor_at(found: AccountLease) -> LeaseCursor:
    return LeaseCursor(found.lease.opened_at, found.account_id, found.lease.lease_id)
