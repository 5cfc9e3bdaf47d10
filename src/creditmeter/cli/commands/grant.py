"""`creditmeter grant`: give credits, take back what is left of a grant, and list grants."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.options import (
    AccountId,
    Address,
    AsCsv,
    AsJson,
    Limit,
    PageToken,
    RequestIdOption,
    new_request_id,
    read_moment,
    read_some_credits,
    timestamp,
)
from creditmeter.cli.output import (
    json_of,
    moment,
    print_json,
    print_listing,
    print_request_id,
    say_more,
    word,
)
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import Table, print_lines, print_table, table
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.server.enums import number_of
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2

commands = typer.Typer(help="Give credits, take back what is left of a grant, and list grants.")


class Kind(StrEnum):
    """The bucket that a grant belongs to."""

    DAILY = "daily"
    MONTHLY = "monthly"
    PERMANENT = "permanent"


class Source(StrEnum):
    """Why credit is given."""

    PLAN = "plan"
    REFERRAL = "referral"
    PROMOTION = "promotion"
    BONUS = "bonus"
    PURCHASE = "purchase"
    GOODWILL = "goodwill"


@commands.command()
def add(
    account_id: AccountId,
    amount: Annotated[
        int, typer.Argument(parser=read_some_credits, metavar="CREDITS", help="How much, such as 6.5.", show_default=False)
    ],
    kind: Annotated[Kind, typer.Option(help="The bucket.")] = Kind.PERMANENT,
    source: Annotated[Source, typer.Option(help="Why it is given.")] = Source.PROMOTION,
    effective_at: Annotated[
        datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="When it begins. Default: now.")
    ] = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option(parser=read_moment, metavar="TIME", help="When it ends, moved to the end of that day."),
    ] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="A note for the account's history.")] = "",
    request_id: RequestIdOption = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Give credits to an account."""
    request = admin_pb2.GrantCreditsRequest(
        request_id=request_id or new_request_id(),
        account_id=account_id,
        kind=number_of(grants_pb2.GrantKind, kind),
        amount_microcredits=amount,
        effective_at=timestamp(effective_at),
        expires_at=timestamp(expires_at),
        source=number_of(grants_pb2.GrantSource, source),
        note=note,
    )
    reply = ask(address, lambda client: call(client.admin.GrantCredits, request, PATIENCE), request.request_id)
    if as_json:
        print_json(json_of(reply) | {"request_id": request.request_id})
        return
    print_table(grants_table([reply.grant]))
    print_request_id(request.request_id, replayed=reply.replayed)


@commands.command()
def void(
    account_id: AccountId,
    grant_id: Annotated[str, typer.Argument(metavar="GRANT", help="The grant's id.", show_default=False)],
    request_id: RequestIdOption = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Take a grant back: what is left at once, what is out on leases when it returns. What was spent of it stays charged."""
    request = admin_pb2.VoidGrantRequest(request_id=request_id or new_request_id(), account_id=account_id, grant_id=grant_id)
    reply = ask(address, lambda client: call(client.admin.VoidGrant, request, PATIENCE), request.request_id)
    if as_json:
        print_json(json_of(reply) | {"request_id": request.request_id})
        return
    print_lines(f"taken back: {format_credits(reply.voided_microcredits)} credits")
    if reply.grant.remaining_microcredits:
        print_lines(f"out on leases: {format_credits(reply.grant.remaining_microcredits)} credits, taken back when they return")
    print_table(grants_table([reply.grant]))
    print_request_id(request.request_id, replayed=reply.replayed)


@commands.command("list")
def list_grants(
    account_id: AccountId,
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List all grants of an account, ended ones too, newest first. Needs no sidecar that administers."""
    request = account_pb2.ListGrantsRequest(account_id=account_id, page_token=page_token)
    reply = ask(address, lambda client: pages(client.account.ListGrants, request, lambda page: len(page.grants), limit))
    if not print_listing(reply, grants_pb2.Grant, reply.grants, as_json=as_json, as_csv=as_csv):
        title = f"Grants of {account_id}, newest first"
        print_table(
            grants_table(reply.grants), title, empty=f"{account_id} has no grants yet: `creditmeter grant add` makes one."
        )
        say_more(reply.next_page_token)


_LESS_THAN_IDS = ("from", "source", "note")
_LESS_THAN_NOTES = ("from", "grant", "source", "note")


def grants_table(grants: Iterable[grants_pb2.Grant], *, with_ids: bool = True) -> Table:
    """Grants, one a row. A narrow terminal keeps the ids, which `grant void` takes; without `with_ids` it keeps the notes."""
    shown = table(
        *("kind", "granted", "left", "from", "until", "source", "grant", "note"),
        right=("granted", "left"),
        ids=("grant",),
        times=("from", "until"),
        goes=_LESS_THAN_IDS if with_ids else _LESS_THAN_NOTES,
    )
    for each in grants:
        shown.add_row(
            word(grants_pb2.GrantKind, each.kind),
            format_credits(each.amount_microcredits),
            format_credits(each.remaining_microcredits),
            moment(each, "effective_at"),
            moment(each, "expires_at"),
            word(grants_pb2.GrantSource, each.source),
            each.grant_id,
            each.note,
        )
    return shown
