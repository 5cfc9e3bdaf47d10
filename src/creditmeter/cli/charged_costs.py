"""The charges of many accounts by day and model, summed up by a sidecar.

The days of a summary are those of its account. So an account in the bill's time zone takes one call; any other that has charges
takes one for each day of the bill.
"""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

from creditmeter.cli.bill_file import Scope
from creditmeter.cli.connection import LONG_READ, PATIENCE
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import timestamp
from creditmeter.cli.paging import LARGEST_PAGE, pages
from creditmeter.cli.screen import say
from creditmeter.client.stubs import Connection, call
from creditmeter.core.credit.calendar import Period
from creditmeter.core.instants import Instant, to_datetime
from creditmeter.core.reports.reconciliation import MAX_GROUPS, Reconciliation, Sums
from creditmeter.v1 import account_pb2, admin_pb2

LONG = 200
"""Accounts after which a line of progress is printed, again and again."""

_DAY = account_pb2.UsageGrouping(dimension=account_pb2.USAGE_DIMENSION_DAY)
_WHAT = [
    account_pb2.UsageGrouping(dimension=dimension)
    for dimension in (account_pb2.USAGE_DIMENSION_MODEL, account_pb2.USAGE_DIMENSION_TOOL, account_pb2.USAGE_DIMENSION_ACTION)
]


async def add_charges(
    client: Connection, accounts: Sequence[str], days: Sequence[Period], scope: Scope, sums: Reconciliation
) -> tuple[int, Sums]:
    """Add the settled charges of these days, of these accounts or of all, to a comparison.

    Returns how many accounts there were, and the sums of what is beyond the scope.

    Raises:
        CreditmeterError: the sidecar refused, or did not answer.
        CommandFailed: there are more days and models than one comparison may have.
    """
    left_aside, count = Sums(), 0
    async for account in _accounts(client, accounts):
        count += 1
        async for day, name, spent in _charges(client, account, days, scope.time_zone):
            if not name:
                continue
            if scope.has_model(name):
                sums.add_charged(day, name, spent)
            else:
                left_aside = left_aside.plus(spent)
        if sums.is_full:
            raise _too_many()
        if count % LONG == 0:
            say(f"summed up {count:,} accounts")
    return count, left_aside


async def _accounts(client: Connection, names: Sequence[str]) -> AsyncIterator[admin_pb2.Account]:
    """The accounts of these names; without names, all."""
    for name in dict.fromkeys(names):
        yield (await call(client.admin.GetAccount, admin_pb2.GetAccountRequest(account_id=name), PATIENCE)).account
    request = admin_pb2.ListAccountsRequest(page_size=LARGEST_PAGE)
    while not names:
        page = await call(client.admin.ListAccounts, request, PATIENCE)
        for each in page.accounts:
            yield each
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def _charges(
    client: Connection, account: admin_pb2.Account, days: Sequence[Period], time_zone: str
) -> AsyncIterator[tuple[str, str, Sums]]:
    """An account's charges by day and by what was called, which is empty for an amount without work."""
    first, last = days[0].starts_at, days[-1].ends_at
    if account.time_zone == time_zone:
        for each in await _groups(client, account.account_id, first, last, [_DAY, *_WHAT]):
            day, *keys = each.keys
            yield day, _name(keys), _sums(each.totals)
        return
    request = account_pb2.SummarizeUsageRequest(
        account_id=account.account_id, start=timestamp(to_datetime(first)), end=timestamp(to_datetime(last))
    )
    if not (await call(client.account.SummarizeUsage, request, LONG_READ)).total.charge_count:
        return
    for each_day in days:
        for each in await _groups(client, account.account_id, each_day.starts_at, each_day.ends_at, _WHAT):
            yield each_day.key, _name(each.keys), _sums(each.totals)


async def _groups(
    client: Connection, account_id: str, start: Instant, end: Instant, by: Sequence[account_pb2.UsageGrouping]
) -> Sequence[account_pb2.UsageGroup]:
    request = account_pb2.SummarizeUsageRequest(
        account_id=account_id, start=timestamp(to_datetime(start)), end=timestamp(to_datetime(end)), group_by=by
    )
    reply = await pages(client.account.SummarizeUsage, request, lambda page: len(page.groups), MAX_GROUPS, LONG_READ)
    if reply.next_page_token:
        raise _too_many()
    return reply.groups


def _too_many() -> CommandFailed:
    return CommandFailed(f"there are more than {MAX_GROUPS:,} days and models: compare fewer days at a time", ExitCode.USAGE)


def _name(keys: Sequence[str]) -> str:
    """What was called: the model, else the tool, else the action."""
    return next(filter(None, keys), "")


def _sums(totals: account_pb2.UsageTotals) -> Sums:
    return Sums(Decimal(totals.cost_usd), totals.input_tokens, totals.output_tokens)
