"""AccountService: the balance of an account, its history, its usage and its forecast; and how a charge came about."""

from creditmeter.core.credit.grants import GrantCursor
from creditmeter.core.ids import AccountId, ChargeId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_table import PricePosition
from creditmeter.server.account_requests import history_filter, usage_query
from creditmeter.server.errors import Context, allowed
from creditmeter.server.explanation_replies import explained_charge_message
from creditmeter.server.fields import MAX_NAME, Fields
from creditmeter.server.forecast_replies import forecast_message
from creditmeter.server.paging import MAX_PAGE_BYTES, fitting, page_of
from creditmeter.server.replies import (
    bucket_message,
    charge_message,
    entry_message,
    grant_message,
    int64,
    past_bucket_message,
    price_message,
    timestamp,
    usage_group_message,
    usage_totals_message,
)
from creditmeter.sidecar.reader import Reader
from creditmeter.v1 import account_pb2, account_pb2_grpc

MAX_PENDING_BYTES = 1024**2
"""Most bytes of the first page of history that charges not posted yet may take."""


class AccountService(account_pb2_grpc.AccountServiceServicer):
    """Reads only. A method of the contract that is not defined here answers NOT_IMPLEMENTED."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def GetBalance(self, request: account_pb2.GetBalanceRequest, context: Context) -> account_pb2.GetBalanceResponse:
        """The balance of an account."""
        fields = Fields(request)
        account_id = fields.id("account_id", AccountId)
        balance = await allowed(context, fields.refusal or await self._reader.balance(account_id))
        summary = balance.summary
        return account_pb2.GetBalanceResponse(
            available_microcredits=summary.available,
            held_microcredits=int64(summary.held),
            unposted_microcredits=int64(summary.unposted),
            leased_microcredits=int64(summary.leased),
            debt_microcredits=summary.debt,
            plan_id=balance.account.plan_id or "",
            buckets=[bucket_message(each) for each in summary.buckets],
            grants=[grant_message(account_id, each) for each in summary.grants],
            as_of=timestamp(summary.as_of),
            stale=balance.stale,
        )

    async def GetPastBalance(
        self, request: account_pb2.GetPastBalanceRequest, context: Context
    ) -> account_pb2.GetPastBalanceResponse:
        """What was left of an account's credit at a moment."""
        fields = Fields(request)
        account_id = fields.id("account_id", AccountId)
        at = fields.moment_if_set("at")
        if at is None:
            fields.wrong("at", "must be set")
        at = at or Instant(0)
        found = await allowed(context, fields.refusal or await self._reader.past_balance(account_id, at))
        assert found.adds_up, f"the history of account {account_id} does not add up: `creditmeter verify` says where"
        return account_pb2.GetPastBalanceResponse(
            at=timestamp(at),
            balance_microcredits=int64(found.balance),
            buckets=[past_bucket_message(kind, left) for kind, left in found.by_kind.items()],
        )

    async def ListGrants(self, request: account_pb2.ListGrantsRequest, context: Context) -> account_pb2.ListGrantsResponse:
        """All grants, newest first."""
        fields = Fields(request)
        account_id = fields.id("account_id", AccountId)
        asked = await allowed(context, page_of(fields, request, GrantCursor))
        found = await allowed(context, await self._reader.grants(account_id, asked.limit, asked.after))
        grants, token = asked.page(
            found, lambda each: grant_message(account_id, each), lambda each: GrantCursor(each.created_at, each.grant_id)
        )
        return account_pb2.ListGrantsResponse(grants=grants, next_page_token=token)

    async def ListHistory(self, request: account_pb2.ListHistoryRequest, context: Context) -> account_pb2.ListHistoryResponse:
        """Lines of history, newest first."""
        fields = Fields(request)
        account_id = fields.id("account_id", AccountId)
        wanted = history_filter(fields, request)
        asked = await allowed(context, page_of(fields, request, int))
        found = await allowed(context, await self._reader.history(account_id, wanted, asked.size, asked.after))
        pending = fitting((charge_message(each) for each in found.pending), MAX_PENDING_BYTES)
        left = MAX_PAGE_BYTES - sum(each.ByteSize() for each in pending)
        page = fitting((entry_message(account_id, each) for each in found.entries), left)
        next_before = found.next_before if len(page) == len(found.entries) else found.entries[len(page) - 1].number
        return account_pb2.ListHistoryResponse(
            entries=page,
            pending=pending,
            next_page_token="" if next_before is None else asked.token(next_before),
        )

    async def SummarizeUsage(
        self, request: account_pb2.SummarizeUsageRequest, context: Context
    ) -> account_pb2.SummarizeUsageResponse:
        """Sums over posted charges, in groups."""
        fields = Fields(request)
        wanted = usage_query(fields, request)
        asked = await allowed(context, page_of(fields, request, tuple[str, ...]))
        summary = await allowed(context, await self._reader.usage(wanted, asked.limit, asked.after))
        groups, token = asked.page(summary.page(), lambda group: usage_group_message(*group), lambda group: group[0])
        total = usage_totals_message(summary.total)
        return account_pb2.SummarizeUsageResponse(groups=groups, total=total, next_page_token=token)

    async def ForecastUsage(
        self, request: account_pb2.ForecastUsageRequest, context: Context
    ) -> account_pb2.ForecastUsageResponse:
        """How long an account's credit lasts, and the smallest plan that would have been enough."""
        fields = Fields(request)
        account_id = fields.id("account_id", AccountId)
        found = await allowed(context, fields.refusal or await self._reader.forecast(account_id))
        return forecast_message(found)

    async def ListModelPrices(
        self, request: account_pb2.ListModelPricesRequest, context: Context
    ) -> account_pb2.ListModelPricesResponse:
        """What models, tools and actions cost now."""
        fields = Fields(request)
        action = fields.text("action", MAX_NAME)
        asked = await allowed(context, page_of(fields, request, PricePosition))
        version, found = self._reader.model_prices(action, asked.after, asked.limit)
        prices, token = asked.page(found, price_message, lambda each: each.position)
        return account_pb2.ListModelPricesResponse(prices=prices, rate_card_version=version, next_page_token=token)

    async def ExplainCharge(
        self, request: account_pb2.ExplainChargeRequest, context: Context
    ) -> account_pb2.ExplainChargeResponse:
        """How the cost of a charge of any sidecar came about."""
        fields = Fields(request)
        charge_id = fields.id("charge_id", ChargeId)
        found = await allowed(context, fields.refusal or await self._reader.explained_charge(charge_id))
        return explained_charge_message(found)
