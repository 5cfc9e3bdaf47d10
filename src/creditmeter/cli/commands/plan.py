"""`creditmeter plan`: what accounts are granted by themselves each day and month."""

from collections.abc import Sequence
from typing import Annotated

import typer

from creditmeter.cli.commands.estimate import estimate
from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.options import Address, AsCsv, AsJson, Limit, PageToken, read_credits
from creditmeter.cli.output import json_of, print_json, print_listing, say_more
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import print_table, table
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import admin_pb2, grants_pb2

commands = typer.Typer(help="Make and list plans: what accounts are granted each day and month.")
commands.command()(estimate)


@commands.command()
def put(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id.", show_default=False)],
    daily: Annotated[int, typer.Option(parser=read_credits, metavar="CREDITS", help="Credits each day.")] = 0,
    monthly: Annotated[int, typer.Option(parser=read_credits, metavar="CREDITS", help="Credits each month.")] = 0,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Make a plan, or change it. May be repeated; accounts get what changed from their next day and month."""
    plan = grants_pb2.Plan(plan_id=plan_id, daily_microcredits=daily, monthly_microcredits=monthly)
    reply = ask(address, lambda client: call(client.admin.PutPlan, admin_pb2.PutPlanRequest(plan=plan), PATIENCE))
    if as_json:
        print_json(json_of(reply))
    else:
        _print_plans([reply.plan])


@commands.command("list")
def list_plans(
    limit: Limit = 50, page_token: PageToken = "", address: Address = None, as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """List plans."""
    request = admin_pb2.ListPlansRequest(page_token=page_token)
    reply = ask(address, lambda client: pages(client.admin.ListPlans, request, lambda page: len(page.plans), limit))
    if not print_listing(reply, grants_pb2.Plan, reply.plans, as_json=as_json, as_csv=as_csv):
        _print_plans(reply.plans)
        say_more(reply.next_page_token)


def _print_plans(plans: Sequence[grants_pb2.Plan]) -> None:
    shown = table("plan", "credits a day", "credits a month", ids=("plan",), right=("credits a day", "credits a month"))
    for each in plans:
        shown.add_row(each.plan_id, format_credits(each.daily_microcredits), format_credits(each.monthly_microcredits))
    print_table(shown, empty="No plans yet: `creditmeter plan put` makes one.")
