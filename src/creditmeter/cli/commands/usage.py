"""`creditmeter usage`: the settled charges of an account, summed by day, model, action and the like."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from creditmeter.cli.connection import LONG_READ, ask
from creditmeter.cli.layout import Bar
from creditmeter.cli.options import EPOCH, AccountId, Address, AsCsv, AsJson, Limit, PageToken, read_moment, timestamp
from creditmeter.cli.output import json_of, moment, print_cells, print_json, say_more
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import Table, print_table, table
from creditmeter.cli.times import now
from creditmeter.client.stubs import Connection
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import account_pb2

LOOKS_BACK = timedelta(days=30)
"""Time before the end that is shown if no start is named. It is extended to the beginning of its first day."""

_LABEL = "label:"
_NAMES = {name.removeprefix("USAGE_DIMENSION_").lower(): value for name, value in account_pb2.UsageDimension.items() if value}
_KIND = "kind"
_BARS = ""
"""The head of the column of bars, which is empty."""


def read_grouping(text: str) -> str:
    """A typed grouping, checked."""
    if text in _NAMES or (text.startswith(_LABEL) and text != _LABEL):
        return text
    raise typer.BadParameter(f"{text!r} is none of {', '.join(_NAMES)} or label:KEY")


_GroupBy = Annotated[
    list[str] | None,
    typer.Option(
        "--group-by",
        parser=read_grouping,
        metavar="WHAT",
        help="day, action, model, tool, kind or label:KEY; up to four. Default: day.",
    ),
]
_Start = Annotated[
    datetime | None,
    typer.Option(
        parser=read_moment,
        metavar="TIME",
        help="Only charges from then on. Default: 30 days before the end, from midnight UTC on.",
    ),
]
_End = Annotated[
    datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="Only charges before then. Default: now.")
]


def usage(
    account_id: AccountId,
    group_by: _GroupBy = None,
    start: _Start = None,
    end: _End = None,
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show where an account's credits went: its settled charges, summed up."""
    names = group_by or ["day"]
    request = account_pb2.SummarizeUsageRequest(
        account_id=account_id,
        group_by=[_grouping(name) for name in names],
        start=timestamp(start or _default_start(end)),
        end=timestamp(end),
        page_token=page_token,
    )
    reply = ask(address, lambda client: _read(client, request, limit), patience=LONG_READ)
    if as_json:
        print_json(json_of(reply))
        return
    if as_csv:
        _print_csv(names, reply)
    else:
        _print_usage(names, request, reply)
    say_more(reply.next_page_token, aside=as_csv)


async def _read(
    client: Connection, request: account_pb2.SummarizeUsageRequest, limit: int
) -> account_pb2.SummarizeUsageResponse:
    return await pages(client.account.SummarizeUsage, request, lambda page: len(page.groups), limit, LONG_READ)


def _print_usage(
    names: Sequence[str], request: account_pb2.SummarizeUsageRequest, reply: account_pb2.SummarizeUsageResponse
) -> None:
    until = f" until {moment(request, 'end')}" if request.HasField("end") else " on"
    title = f"Usage of {request.account_id} from {moment(request, 'start')}{until}, settled charges"
    empty = f"No charge of {request.account_id} was settled from {moment(request, 'start')}{until}."
    print_table(usage_table(names, reply), title, empty=empty, with_times=True)


def _default_start(end: datetime | None) -> datetime:
    """The start if none is named: a midnight in UTC, so that the token of a next page stays valid for the rest of the day."""
    moment = (end or now()).astimezone(UTC)
    if moment - EPOCH < LOOKS_BACK:
        return EPOCH
    return (moment - LOOKS_BACK).replace(hour=0, minute=0, second=0, microsecond=0)


def _grouping(name: str) -> account_pb2.UsageGrouping:
    if name.startswith(_LABEL):
        return account_pb2.UsageGrouping(label_key=name.removeprefix(_LABEL))
    return account_pb2.UsageGrouping(dimension=account_pb2.UsageDimension.ValueType(_NAMES[name]))


def usage_table(names: Sequence[str], reply: account_pb2.SummarizeUsageResponse) -> Table:
    """Groups, one a row, and the total.

    Each group has a bar: of the amount that the kind paid if kinds are grouped by, else of the cost.
    """
    numbers = ("charges", "credits", "paid", "refunded", "USD")
    goes = ("USD", _BARS, "refunded", "charges", "paid")
    shown = table(*names, *numbers, _BARS, ids=names, right=numbers, bars=(_BARS,), goes=goes)
    if not reply.groups:
        return shown
    most = max((_bar_amount(names, each.totals) for each in reply.groups), default=0)
    for each in reply.groups:
        keys = [_shown_key(name, key) for name, key in zip(names, each.keys, strict=True)]
        shown.add_row(*keys, *_figures(each.totals), Bar(_bar_amount(names, each.totals), most))
    shown.add_section()
    shown.add_row("total", *[""] * (len(names) - 1), *_figures(reply.total), "")
    return shown


def _bar_amount(names: Sequence[str], totals: account_pb2.UsageTotals) -> int:
    return totals.covered_microcredits if _KIND in names else totals.cost_microcredits


def _shown_key(name: str, key: str) -> str:
    return key.removeprefix("GRANT_KIND_").lower().replace("unspecified", "none") if name == _KIND else key or "-"


def _figures(totals: account_pb2.UsageTotals) -> tuple[str, ...]:
    amounts = (totals.cost_microcredits, totals.covered_microcredits, totals.refunded_microcredits)
    return (f"{totals.charge_count:,}", *map(format_credits, amounts), totals.cost_usd)


def _print_csv(names: Sequence[str], reply: account_pb2.SummarizeUsageResponse) -> None:
    """One line a group: its values under the names of what it is grouped by, then its sums."""
    fields = [field.name for field in account_pb2.UsageTotals.DESCRIPTOR.fields]
    totals = ((each.keys, json_of(each.totals)) for each in reply.groups)
    print_cells([*names, *fields], ([*keys, *(sums[name] for name in fields)] for keys, sums in totals))
