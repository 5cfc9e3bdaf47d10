"""`creditmeter sidecars`: the sidecars that ever registered, whether they are active, and what they hold."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from creditmeter.cli.connection import ask
from creditmeter.cli.options import Address, AsCsv, AsJson, Limit, PageToken
from creditmeter.cli.output import ago, print_listing, say_more, word
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import print_table, table
from creditmeter.cli.times import now
from creditmeter.core.amounts import format_credits
from creditmeter.server.enums import number_of
from creditmeter.v1 import admin_pb2


class State(StrEnum):
    """How the central store sees a sidecar."""

    ACTIVE = "active"
    SILENT = "silent"
    GONE = "gone"


def sidecars(
    state: Annotated[
        State | None,
        typer.Option(
            help="Only those that report, that are silent while credit is out to them, or that are silent without any."
        ),
    ] = None,
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the sidecars that ever registered, the last seen first, and what is out to them as of their last report."""
    wanted = number_of(admin_pb2.SidecarState, state)
    request = admin_pb2.ListSidecarsRequest(state=wanted, page_token=page_token)
    reply = ask(address, lambda client: pages(client.admin.ListSidecars, request, lambda page: len(page.sidecars), limit))
    if not print_listing(reply, admin_pb2.Sidecar, reply.sidecars, as_json=as_json, as_csv=as_csv):
        _print_sidecars(reply.sidecars, now(), in_state=state is not None)
        say_more(reply.next_page_token)


def _print_sidecars(found: Sequence[admin_pb2.Sidecar], at: datetime, *, in_state: bool = False) -> None:
    numbers = ("epoch", "leases", "leased", "held", "unposted")
    goes = ("epoch", "registered", "leases")
    shown = table("sidecar", "state", "last seen", "registered", *numbers, ids=("sidecar",), right=numbers, goes=goes)
    for each in found:
        shown.add_row(
            each.sidecar_id,
            word(admin_pb2.SidecarState, each.state),
            ago(each, "last_seen_at", at),
            ago(each, "registered_at", at),
            str(each.epoch),
            str(each.lease_count),
            format_credits(each.leased_microcredits),
            format_credits(each.held_microcredits),
            format_credits(each.unposted_microcredits),
        )
    print_table(shown, empty="No sidecar is in this state." if in_state else "No sidecar has registered yet.")
