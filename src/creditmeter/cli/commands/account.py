"""`creditmeter account`: makes accounts, and shows and changes their terms."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

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
    read_alert,
    read_credits,
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
from creditmeter.cli.screen import print_table, table
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.server.enums import number_of
from creditmeter.v1 import admin_pb2

commands = typer.Typer(help="Make accounts and change what is agreed with them.", no_args_is_help=False)


class State(StrEnum):
    """Whether an account may start new work."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


PlanId = Annotated[str | None, typer.Option("--plan", metavar="PLAN", help="The plan. Empty: none.")]
TimeZone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Where its days begin, such as Europe/Berlin. Default: UTC.")
]
NewTimeZone = Annotated[str | None, typer.Option(metavar="ZONE", help="Where its days begin, such as Europe/Berlin.")]
AnchorDay = Annotated[
    int | None, typer.Option(min=0, max=31, metavar="DAY", help="The day its months begin. Default, and 0: the day it is made.")
]
NewAnchorDay = Annotated[
    int | None, typer.Option(min=0, max=31, metavar="DAY", help="The day its months begin. 0: the day it was made.")
]
Overdraft = Annotated[int | None, typer.Option(parser=read_credits, metavar="CREDITS", help="How much debt it may run into.")]
MaxOpen = Annotated[
    int | None, typer.Option(min=0, metavar="COUNT", help="The most open reservations a sidecar. 0: the default.")
]
MaxReservation = Annotated[
    int | None, typer.Option(parser=read_credits, metavar="CREDITS", help="The most for one call. 0: the default.")
]

OfflineAllowance = Annotated[
    int | None,
    typer.Option(parser=read_credits, metavar="CREDITS", help="What a sidecar may use while the central store is away."),
]

Alerts = Annotated[
    list[admin_pb2.Alert] | None,
    typer.Option(
        "--alert",
        parser=read_alert,
        metavar="CREDITS|PERCENT%",
        help="Alert when no more than this is left: 50, or 10% of what was granted. May be given several times.",
    ),
]


NewState = Annotated[State | None, typer.Option(help="Whether it may start new work.")]
NoAlerts = Annotated[bool, typer.Option("--no-alerts", help="Take all alerts away.")]


@commands.command()
def create(
    account_id: AccountId,
    plan: PlanId = None,
    time_zone: TimeZone = None,
    anchor_day: AnchorDay = None,
    overdraft_limit: Overdraft = None,
    max_open_reservations: MaxOpen = None,
    max_reservation: MaxReservation = None,
    offline_allowance: OfflineAllowance = None,
    alerts: Alerts = None,
    request_id: RequestIdOption = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Make an account."""
    account = admin_pb2.Account(
        account_id=account_id,
        plan_id=plan,
        time_zone=time_zone,
        anchor_day=anchor_day,
        overdraft_limit_microcredits=overdraft_limit,
        max_open_reservations=max_open_reservations,
        max_reservation_microcredits=max_reservation,
        offline_allowance_microcredits=offline_allowance,
        alerts=alerts,
    )
    request = admin_pb2.CreateAccountRequest(request_id=request_id or new_request_id(), account=account)
    reply = ask(address, lambda client: call(client.admin.CreateAccount, request, PATIENCE), request.request_id)
    _print_changed(reply, request.request_id, as_json=as_json)


@commands.command()
def show(account_id: AccountId, address: Address = None, as_json: AsJson = False) -> None:
    """Show what is agreed with an account."""
    request = admin_pb2.GetAccountRequest(account_id=account_id)
    reply = ask(address, lambda client: call(client.admin.GetAccount, request, PATIENCE))
    if as_json:
        print_json(json_of(reply))
    else:
        _print_account(reply.account)


@commands.command()
def update(
    account_id: AccountId,
    plan: PlanId = None,
    time_zone: NewTimeZone = None,
    anchor_day: NewAnchorDay = None,
    state: NewState = None,
    overdraft_limit: Overdraft = None,
    max_open_reservations: MaxOpen = None,
    max_reservation: MaxReservation = None,
    offline_allowance: OfflineAllowance = None,
    alerts: Alerts = None,
    no_alerts: NoAlerts = False,
    request_id: RequestIdOption = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Change what is agreed with an account: only what is named changes. Alerts are replaced as a whole.

    Its time zone and anchor day may change once in 30 days. The running day and month then last until the new calendar's
    first boundary at or after their old end.
    """
    if alerts and no_alerts:
        raise typer.BadParameter("--alert and --no-alerts contradict each other")
    account = admin_pb2.Account(
        account_id=account_id,
        plan_id=plan,
        time_zone=time_zone,
        anchor_day=anchor_day,
        state=number_of(admin_pb2.AccountState, state),
        overdraft_limit_microcredits=overdraft_limit,
        max_open_reservations=max_open_reservations,
        max_reservation_microcredits=max_reservation,
        offline_allowance_microcredits=offline_allowance,
        alerts=alerts,
    )
    mask = FieldMask(paths=["alerts", *_set_terms(account)]) if no_alerts else None
    request = admin_pb2.UpdateAccountRequest(request_id=request_id or new_request_id(), account=account, update_mask=mask)
    reply = ask(address, lambda client: call(client.admin.UpdateAccount, request, PATIENCE), request.request_id)
    _print_changed(reply, request.request_id, as_json=as_json)


@commands.command("list")
def list_accounts(
    limit: Limit = 50, page_token: PageToken = "", address: Address = None, as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """List accounts, newest first."""
    request = admin_pb2.ListAccountsRequest(page_token=page_token)
    reply = ask(address, lambda client: pages(client.admin.ListAccounts, request, lambda page: len(page.accounts), limit))
    if not print_listing(reply, admin_pb2.Account, reply.accounts, as_json=as_json, as_csv=as_csv):
        _print_accounts(reply.accounts)
        say_more(reply.next_page_token)


def _set_terms(account: admin_pb2.Account) -> list[str]:
    """The names of the fields that are set, without the id."""
    return [field.name for field, _ in account.ListFields() if field.name != "account_id"]


def _print_changed(
    reply: admin_pb2.CreateAccountResponse | admin_pb2.UpdateAccountResponse, request_id: str, *, as_json: bool
) -> None:
    if as_json:
        print_json(json_of(reply) | {"request_id": request_id})
        return
    _print_account(reply.account)
    print_request_id(request_id, replayed=reply.replayed)


_COLUMNS = ("account", "plan", "time zone", "state", "created", "alerts at")
_LIMITS = ("month begins on", "overdraft", "open at most", "a call at most", "in outages")


def _print_accounts(accounts: Sequence[admin_pb2.Account]) -> None:
    goes = (*reversed(_LIMITS), "created", "alerts at", "time zone")
    shown = table(*_COLUMNS, *_LIMITS, ids=("account", "plan"), times=("created",), right=_LIMITS, goes=goes)
    for each in accounts:
        shown.add_row(*_terms(each))
    print_table(shown, empty="No accounts yet: `creditmeter account create` makes one.")


def _print_account(account: admin_pb2.Account) -> None:
    """One account: a line for each of its terms."""
    names, (account_id, *terms) = (*_COLUMNS, *_LIMITS), _terms(account)
    shown = table("account", account_id)
    for name, value in zip(names[1:], terms, strict=True):
        shown.add_row(name, value)
    print_table(shown, with_times=True)


def _terms(account: admin_pb2.Account) -> tuple[str, ...]:
    return (
        account.account_id,
        account.plan_id or "-",
        account.time_zone,
        word(admin_pb2.AccountState, account.state),
        moment(account, "created_at"),
        ", ".join(map(_alert, account.alerts)) or "-",
        str(account.anchor_day),
        format_credits(account.overdraft_limit_microcredits),
        str(account.max_open_reservations or "default"),
        format_credits(account.max_reservation_microcredits) if account.max_reservation_microcredits else "default",
        format_credits(account.offline_allowance_microcredits),
    )


def _alert(alert: admin_pb2.Alert) -> str:
    return f"{alert.percent}%" if alert.percent else format_credits(alert.amount_microcredits)
