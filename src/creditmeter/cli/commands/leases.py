"""`creditmeter leases`: the open leases, each with its account, its sidecar, its amounts and its times."""

from collections.abc import Sequence
from typing import Annotated

import typer

from creditmeter.cli.connection import ask
from creditmeter.cli.options import Address, AsCsv, AsJson, Limit, PageToken
from creditmeter.cli.output import moment, print_listing, say_more
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import print_table, table
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import admin_pb2


def leases(
    account_id: Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Only those of this account.")] = "",
    sidecar_id: Annotated[str, typer.Option("--sidecar", metavar="SIDECAR", help="Only those of this sidecar.")] = "",
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the leases that are not closed, the last opened first.

    Idle credit is what is out and was neither held nor charged at the sidecar's last report, which is when it last renewed.
    """
    request = admin_pb2.ListLeasesRequest(account_id=account_id, sidecar_id=sidecar_id, page_token=page_token)
    reply = ask(address, lambda client: pages(client.admin.ListLeases, request, lambda page: len(page.leases), limit))
    if not print_listing(reply, admin_pb2.Lease, reply.leases, as_json=as_json, as_csv=as_csv):
        _print_leases(reply.leases, "No open lease matches." if account_id or sidecar_id else "No leases are open.")
        say_more(reply.next_page_token)


def _print_leases(found: Sequence[admin_pb2.Lease], empty: str = "No leases are open.") -> None:
    numbers = ("out", "held", "unposted", "idle")
    moments = ("opened_at", "renewed_at", "ttl_ends_at", "ends_at", "reclaim_at")
    columns = ("opened", "renewed", "TTL ends", "day ends", "reclaimed")
    goes = ("reclaimed", "opened", "day ends", "renewed", "unposted", "TTL ends")
    shown = table("account", "sidecar", *numbers, *columns, ids=("account", "sidecar"), right=numbers, times=columns, goes=goes)
    for each in found:
        amounts = (each.out_microcredits, each.held_microcredits, each.unposted_microcredits, _idle(each))
        shown.add_row(
            each.account_id, each.sidecar_id, *map(format_credits, amounts), *(moment(each, field) for field in moments)
        )
    print_table(shown, empty=empty)


def _idle(lease: admin_pb2.Lease) -> int:
    return max(0, lease.out_microcredits - lease.held_microcredits - lease.unposted_microcredits)
