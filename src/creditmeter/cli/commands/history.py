"""`creditmeter history`: what happened to an account's credit."""

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
from creditmeter.client import Client
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import account_pb2, charges_pb2, grants_pb2


class EntryType(StrEnum):
    """What an entry tells."""

    GRANTED = "granted"
    CHARGED = "charged"
    REFUNDED = "refunded"
    LAPSED = "lapsed"
    VOIDED = "voided"
    WRITTEN_OFF = "written_off"
    DEBT_REPAID = "debt_repaid"
    PLAN_CHANGED = "plan_changed"
    LOW_BALANCE = "low_balance"


def read_label(text: str) -> account_pb2.LabelMatch:
    """A label as it is typed: `job=42`, or `job` with any value. A key with an equals sign cannot be typed."""
    key, equals, value = text.partition("=")
    if not key:
        raise typer.BadParameter("a label is KEY=VALUE, or KEY for any value")
    return account_pb2.LabelMatch(key=key, value=value if equals else None)


def history(
    account_id: AccountId,
    types: Annotated[
        list[EntryType] | None, typer.Option("--type", help="Only such entries. May be given several times.")
    ] = None,
    action: Annotated[str, typer.Option(metavar="ACTION", help="Only entries of this action.")] = "",
    model: Annotated[str, typer.Option(metavar="MODEL", help="Only entries of this model.")] = "",
    tool: Annotated[str, typer.Option(metavar="TOOL", help="Only entries of this tool.")] = "",
    kinds: Annotated[
        list[Kind] | None, typer.Option("--kind", help="Only entries about this bucket. May be given several times.")
    ] = None,
    source: Annotated[Source | None, typer.Option(help="Only entries about grants that were given for this.")] = None,
    label: Annotated[
        account_pb2.LabelMatch | None,
        typer.Option(parser=read_label, metavar="KEY[=VALUE]", help="Only entries with this label."),
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="Only entries from then on.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="Only entries before then.")] = None,
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what happened to an account's credit, newest first, with the balance after each entry."""
    request = account_pb2.ListHistoryRequest(
        account_id=account_id,
        types=[account_pb2.HistoryType.Value(f"HISTORY_TYPE_{each.name}") for each in types or ()],
        kinds=[grants_pb2.GrantKind.Value(f"GRANT_KIND_{each.name}") for each in kinds or ()],
        source=grants_pb2.GrantSource.Value(f"GRANT_SOURCE_{source.name if source else 'UNSPECIFIED'}"),
        label=label,
        action=action,
        model=model,
        tool=tool,
        start=timestamp(start),
        end=timestamp(end),
        page_token=page_token,
    )

    async def read(client: Client) -> account_pb2.ListHistoryResponse:
        return await pages(client.account.ListHistory, request, lambda page: len(page.entries), limit)

    reply = ask(address, read)
    if print_listing(reply, account_pb2.HistoryEntry, reply.entries, as_json=as_json, as_csv=as_csv):
        if as_csv and reply.pending:
            say(f"not settled yet and not in the list: {counted(len(reply.pending), 'charge')}")
        return
    notes = Notes()
    if reply.pending:
        print_table(_pending_table(reply.pending), "Charged, not yet settled", notes)
    is_all = not (types or kinds or source or label or action or model or tool or start or end or page_token)
    empty = f"Nothing has happened to the credit of {account_id} yet." if is_all else "No entry on this page matches."
    print_table(entries_table(reply.entries), f"History of {account_id}, newest first", notes, empty=empty)
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
