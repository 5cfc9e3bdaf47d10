"""`creditmeter balance`: what an account may spend now."""

from rich.table import Table

from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.grant import grants_table
from creditmeter.cli.options import AccountId, Address, AsJson
from creditmeter.cli.output import json_of, moment, print_json, print_table, table, word
from creditmeter.client import call
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import account_pb2, grants_pb2


def balance(account_id: AccountId, address: Address = None, as_json: AsJson = False) -> None:
    """Show what an account may spend now, by bucket and by grant."""
    request = account_pb2.GetBalanceRequest(account_id=account_id)
    reply = ask(address, lambda client: call(client.account.GetBalance, request, PATIENCE))
    if as_json:
        print_json(json_of(reply))
        return
    print_table(_figures(reply), f"Account {account_id}, plan {reply.plan_id or '-'}, as of {moment(reply, 'as_of')}")
    print_table(buckets_table(reply), "Buckets, in the order they are drawn on")
    print_table(grants_table(reply.grants), "Grants usable now, in the order they are drawn on")
    if reply.stale:
        print("The central store could not be asked: these are the last figures heard from it.")


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
    shown = table("bucket", "granted", "left", "next reset", right=("granted", "left"))
    for each in reply.buckets:
        shown.add_row(
            word(grants_pb2.GrantKind, each.kind),
            format_credits(each.granted_microcredits),
            format_credits(each.remaining_microcredits),
            moment(each, "next_reset_at"),
        )
    return shown
