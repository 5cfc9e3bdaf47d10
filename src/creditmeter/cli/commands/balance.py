"""`creditmeter balance`: the balance of an account, now or at a moment in the past."""

from datetime import datetime
from typing import Annotated

import typer

from creditmeter.cli.commands.grant import grants_table
from creditmeter.cli.commands.past_balance import KINDS, PastBalance, read_past_balance
from creditmeter.cli.connection import LONG_READ, PATIENCE, ask
from creditmeter.cli.options import AccountId, Address, AsCsv, AsJson, read_moment
from creditmeter.cli.output import (
    json_of,
    moment,
    moment_of,
    print_cells,
    print_csv,
    print_json,
    word,
)
from creditmeter.cli.screen import Notes, Table, print_lines, print_table, table
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import account_pb2, grants_pb2


def balance(
    account_id: AccountId,
    at: Annotated[
        datetime | None,
        typer.Option(parser=read_moment, metavar="TIME", help="What the balance was then, by the account's history."),
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what an account may spend now, by bucket and by grant; or with --at what was left of its grants at a moment."""
    if at is not None:
        then = ask(address, lambda client: read_past_balance(client, account_id, at), patience=LONG_READ)
        _print_past(account_id, then, as_json=as_json, as_csv=as_csv)
        return
    request = account_pb2.GetBalanceRequest(account_id=account_id)
    reply = ask(address, lambda client: call(client.account.GetBalance, request, PATIENCE))
    if as_json:
        print_json(json_of(reply))
    elif as_csv:
        print_csv([account_pb2.GetBalanceResponse], [[reply]])
    else:
        _print_present(account_id, reply)


def _print_past(account_id: str, then: PastBalance, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json({"account_id": account_id} | then.as_json())
        return
    if as_csv:
        print_cells(
            ("account_id", "at", "kind", "remaining_microcredits"),
            ((account_id, then.at.ToJsonString(), grants_pb2.GrantKind.Name(kind), then.by_kind[kind]) for kind in KINDS),
        )
        return
    shown = table("bucket", "left", right=("left",))
    for kind in KINDS:
        shown.add_row(word(grants_pb2.GrantKind, kind), format_credits(then.by_kind[kind]))
    shown.add_row("balance", format_credits(then.balance))
    print_table(shown, f"Account {account_id} at {moment_of(then.at)}, by its history", with_times=True)


def _print_present(account_id: str, reply: account_pb2.GetBalanceResponse) -> None:
    notes = Notes(with_times=True)
    print_table(_figures(reply), f"Account {account_id}, plan {reply.plan_id or '-'}, as of {moment(reply, 'as_of')}", notes)
    print_table(buckets_table(reply), "Buckets, in the order they are drawn on", notes)
    title = "Grants usable now, in the order they are drawn on"
    print_table(grants_table(reply.grants, with_ids=False), title, notes, empty="No grant is usable now.")
    notes.print()
    if reply.stale:
        print_lines("The central store could not be asked: these are the last figures received from it.")


def _figures(reply: account_pb2.GetBalanceResponse) -> Table:
    shown = table("", "credits", right=("credits",))
    shown.add_row("available", format_credits(reply.available_microcredits))
    shown.add_row("held by open reservations", format_credits(reply.held_microcredits))
    shown.add_row("charged, not yet settled", format_credits(reply.unposted_microcredits))
    shown.add_row("owed", format_credits(reply.debt_microcredits))
    shown.add_row("out on leases to sidecars", format_credits(reply.leased_microcredits))
    return shown


def buckets_table(reply: account_pb2.GetBalanceResponse) -> Table:
    """One row for each kind of credit."""
    shown = table("bucket", "granted", "left", "next reset", right=("granted", "left"), times=("next reset",))
    for each in reply.buckets:
        shown.add_row(
            word(grants_pb2.GrantKind, each.kind),
            format_credits(each.granted_microcredits),
            format_credits(each.remaining_microcredits),
            moment(each, "next_reset_at"),
        )
    return shown
