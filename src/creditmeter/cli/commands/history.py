"""`creditmeter history`: the entries of an account's history, newest first."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from creditmeter.cli.commands.grant import Kind, Source
from creditmeter.cli.connection import ask
from creditmeter.cli.options import AccountId, Address, AsCsv, AsJson, Limit, PageToken, read_moment, timestamp
from creditmeter.cli.output import (
    counted,
    draws_of,
    moment,
    print_listing,
    say_more,
    signed,
    subject,
    word,
)
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import Notes, Table, print_table, say, table
from creditmeter.core.amounts import format_credits
from creditmeter.server.enums import number_of
from creditmeter.v1 import account_pb2, charges_pb2, grants_pb2


class EntryType(StrEnum):
    """The type of an entry."""

    GRANTED = "granted"
    CHARGED = "charged"
    REFUNDED = "refunded"
    LAPSED = "lapsed"
    VOIDED = "voided"
    WRITTEN_OFF = "written_off"
    DEBT_REPAID = "debt_repaid"
    PLAN_CHANGED = "plan_changed"
    LOW_BALANCE = "low_balance"


_NOTHING_YET = "Nothing has happened to the credit of {} yet."


def read_label(text: str) -> account_pb2.LabelMatch:
    """A typed label: `job=42`, or `job` with any value. A key that contains an equals sign cannot be typed."""
    key, equals, value = text.partition("=")
    if not key:
        raise typer.BadParameter("a label is KEY=VALUE, or KEY for any value")
    return account_pb2.LabelMatch(key=key, value=value if equals else None)


_Types = Annotated[list[EntryType] | None, typer.Option("--type", help="Only such entries. May be given several times.")]
_Action = Annotated[str, typer.Option(metavar="ACTION", help="Only entries of this action.")]
_Model = Annotated[str, typer.Option(metavar="MODEL", help="Only entries of this model.")]
_Tool = Annotated[str, typer.Option(metavar="TOOL", help="Only entries of this tool.")]
_Kinds = Annotated[
    list[Kind] | None, typer.Option("--kind", help="Only entries about this bucket. May be given several times.")
]
_Source = Annotated[Source | None, typer.Option(help="Only entries about grants that were given for this.")]
_Label = Annotated[
    account_pb2.LabelMatch | None,
    typer.Option(parser=read_label, metavar="KEY[=VALUE]", help="Only entries with this label."),
]
_Start = Annotated[datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="Only entries from then on.")]
_End = Annotated[datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="Only entries before then.")]


def history(
    account_id: AccountId,
    types: _Types = None,
    action: _Action = "",
    model: _Model = "",
    tool: _Tool = "",
    kinds: _Kinds = None,
    source: _Source = None,
    label: _Label = None,
    start: _Start = None,
    end: _End = None,
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what happened to an account's credit, newest first, with the balance after each entry."""
    request = account_pb2.ListHistoryRequest(
        account_id=account_id,
        types=[number_of(account_pb2.HistoryType, each) for each in types or ()],
        kinds=[number_of(grants_pb2.GrantKind, each) for each in kinds or ()],
        source=number_of(grants_pb2.GrantSource, source),
        label=label,
        action=action,
        model=model,
        tool=tool,
        start=timestamp(start),
        end=timestamp(end),
        page_token=page_token,
    )
    reply = ask(address, lambda client: pages(client.account.ListHistory, request, lambda page: len(page.entries), limit))
    if print_listing(reply, account_pb2.HistoryEntry, reply.entries, as_json=as_json, as_csv=as_csv):
        if as_csv and reply.pending:
            say(f"not settled yet and not in the list: {counted(len(reply.pending), 'charge')}")
    else:
        _print_tables(request, reply)


def _print_tables(request: account_pb2.ListHistoryRequest, reply: account_pb2.ListHistoryResponse) -> None:
    """Print the charges that are not settled yet, then the entries."""
    notes = Notes()
    if reply.pending:
        print_table(_pending_table(reply.pending), "Charged, not yet settled", notes)
    is_filtered = len(request.ListFields()) > 1
    empty = "No entry on this page matches." if is_filtered else _NOTHING_YET.format(request.account_id)
    print_table(entries_table(reply.entries), f"History of {request.account_id}, newest first", notes, empty=empty)
    notes.print()
    say_more(reply.next_page_token)


def entries_table(entries: Iterable[account_pb2.HistoryEntry]) -> Table:
    """Entries, one a row, with the balance after each."""
    columns = ("when", "what", "of", "credits", "balance", "by bucket", "note")
    shown = table(*columns, right=("credits", "balance"), times=("when",), goes=("note", "by bucket"))
    for each in entries:
        kind = word(grants_pb2.GrantKind, each.kind)
        shown.add_row(
            moment(each, "occurred_at"),
            word(account_pb2.HistoryType, each.type).replace("_", " "),
            subject(each),
            signed(each.amount_microcredits),
            format_credits(each.balance_after_microcredits),
            draws_of(each.draws) or kind,
            each.note,
        )
    return shown


def _pending_table(charges: Iterable[charges_pb2.Charge]) -> Table:
    shown = table("when", "of", "credits", right=("credits",), times=("when",))
    for each in charges:
        shown.add_row(moment(each, "committed_at"), subject(each), signed(-each.cost_microcredits))
    return shown
