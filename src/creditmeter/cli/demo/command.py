"""The command: starts a sidecar, meters the calls of a day, and shows where the credits went."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from creditmeter.cli.commands.balance import buckets_table
from creditmeter.cli.commands.history import entries_table
from creditmeter.cli.commands.verify import report_text, verified
from creditmeter.cli.connection import PATIENCE, failed_call
from creditmeter.cli.demo.day import Job, draw_day
from creditmeter.cli.demo.user import Spent, User
from creditmeter.cli.ending import run_to_its_end
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.output import counted
from creditmeter.cli.own_sidecar import OwnSidecar, temporary_place
from creditmeter.cli.screen import Notes, print_lines, print_table, table
from creditmeter.cli.settling import settled_balance
from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.core.amounts import format_credits, from_credits
from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, work_pb2

if TYPE_CHECKING:
    from creditmeter.central.verification.verification import Report

ACCOUNT = "ada"
PLAN = grants_pb2.Plan(plan_id="pro", daily_microcredits=from_credits(100), monthly_microcredits=from_credits(3000))
SETTLE_SECONDS = 20
LAST_LINES = 10
NOON = 12


def demo(seed: Annotated[int, typer.Option(metavar="SEED", help="Draws the day; the same seed, the same day.")] = 1) -> None:
    """Run a sidecar on a temporary directory, live through a day of AI calls, and show where the credits went."""
    balances, report = run_to_its_end(_demo(seed))
    print_lines(report_text(report))
    if report.problems or not balances:
        raise typer.Exit(ExitCode.NOT_CLEAN)


async def _demo(seed: int) -> tuple[bool, "Report"]:
    with temporary_place() as place:
        print_lines("Starting a sidecar of its own, with its files in a temporary directory …\n")
        async with OwnSidecar.running(place) as sidecar:
            balances = await sidecar.while_running(_show(place.address, seed))
            code = await sidecar.stop()
        print_lines(f"The sidecar has settled everything and stopped (exit code {code}).")
        return balances and code == ExitCode.OK, await verified(place.central)


async def _show(address: str, seed: int) -> bool:
    """Meter the day and print it. Returns whether the user's own sums agree with the sidecar's balance."""
    try:
        async with Connection(address) as client:
            await _open_account(client)
            before = await _balance(client)
            notes = Notes(forms=())
            print_table(buckets_table(before), "The account in the morning; 1 credit is about $0.01", notes)
            user = User(client, ACCOUNT)
            await _step_by_step(user)
            await _rest_of_the_day(user, draw_day(seed), notes)
            after = await _balance(client)
            await _print_history(client, notes)
            print_table(buckets_table(after), "The account in the evening", notes)
            notes.print()
            return _is_balanced(user, before, after)
    except CreditmeterError as error:
        raise failed_call(address, error) from error


async def _open_account(client: Connection) -> None:
    """Open the account in a time zone where it is about noon, so that no midnight falls into the demo."""
    await call(client.admin.PutPlan, admin_pb2.PutPlanRequest(plan=PLAN))
    hours_ahead = NOON - datetime.now(UTC).hour
    account = admin_pb2.Account(account_id=ACCOUNT, plan_id=PLAN.plan_id, time_zone=f"Etc/GMT{-hours_ahead:+d}")
    await call(client.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="demo/account", account=account))


async def _balance(client: Connection) -> account_pb2.GetBalanceResponse:
    return await settled_balance(client, ACCOUNT, time.monotonic() + SETTLE_SECONDS, PATIENCE)


async def _step_by_step(user: User) -> None:
    """One call of each kind, explained."""
    print_lines("Three calls, step by step")
    work = work_pb2.Work(action="text", request_model="claude-sonnet-4-5", input_tokens=9_400, max_output_tokens=4_000)
    held = await user.reserve("text", work)
    _print_step(
        "Reserve",
        f"A text by {work.request_model} from {work.input_tokens:,} tokens, {work.max_output_tokens:,} more at most, may cost"
        f" {format_credits(held.held_microcredits)} credits: they are held before the call, so that no other call"
        " can spend them.",
    )
    usage = work_pb2.Usage(output_tokens=1_150)
    charge = await user.commit("text", held, usage)
    back = held.held_microcredits - charge.cost_microcredits
    _print_step(
        "Commit",
        f"It wrote {usage.output_tokens:,} tokens: {format_credits(charge.cost_microcredits)} credits are charged, and the"
        f" other {format_credits(back)} are free again at once.",
    )
    held = await user.reserve("text", work)
    await user.release("text", held)
    _print_step("Release", f"The next one fails: all {format_credits(held.held_microcredits)} credits held for it go back.")
    await _refunded_image(user)


async def _refunded_image(user: User) -> None:
    held = await user.reserve("image", work_pb2.Work(action="image", request_model="gpt-image-1", variant="high"))
    charge = await user.commit("image", held, work_pb2.Usage(quantity=1))
    refund = await user.refund("image", charge)
    _print_step(
        "Refund",
        f"An image is charged with {format_credits(charge.cost_microcredits)} credits, and the user does not like it:"
        f" {format_credits(refund.amount_microcredits)} credits return to the buckets that they came from.",
    )


def _print_step(name: str, text: str) -> None:
    """Print the name of a step, and what it did."""
    print_lines(f"  {name:<8} {text}", hang=11)


async def _rest_of_the_day(user: User, jobs: list[Job], notes: Notes) -> None:
    for job in jobs:
        await user.do(job)
    calls = counted(len(jobs), "more call")
    print_lines(f"\nThen the day goes on with {calls}. What has a fixed price is charged in one step.\n")
    numbers = ("calls", "failed", "held", "charged", "refunded")
    shown = table("action", *numbers, right=numbers)
    for name, spent in sorted(user.spent.items(), key=lambda item: -item[1].charged):
        shown.add_row(name, *_columns(spent))
    shown.add_section()
    shown.add_row("all", *_columns(_total(user)))
    print_table(shown, "Where the credits went", notes)


def _columns(spent: Spent) -> list[str]:
    amounts = (spent.held, spent.charged, spent.refunded)
    return [str(spent.jobs), str(spent.failed), *(format_credits(each) for each in amounts)]


def _total(user: User) -> Spent:
    total = Spent()
    for each in user.spent.values():
        total.jobs += each.jobs
        total.failed += each.failed
        total.held += each.held
        total.charged += each.charged
        total.refunded += each.refunded
    return total


async def _print_history(client: Connection, notes: Notes) -> None:
    request = account_pb2.ListHistoryRequest(account_id=ACCOUNT, page_size=LAST_LINES)
    reply = await call(client.account.ListHistory, request)
    print_table(entries_table(reply.entries), f"The last {LAST_LINES} lines of the account's history, newest first", notes)


def _is_balanced(user: User, before: account_pb2.GetBalanceResponse, after: account_pb2.GetBalanceResponse) -> bool:
    total = _total(user)
    expected = before.available_microcredits - total.charged + total.refunded
    is_right = expected == after.available_microcredits
    print_lines(
        f"{format_credits(before.available_microcredits)} credits - {format_credits(total.charged)} charged"
        f" + {format_credits(total.refunded)} refunded = {format_credits(expected)};"
        f" the account has {format_credits(after.available_microcredits)}: {'right' if is_right else 'WRONG'}."
    )
    return is_right
