"""`creditmeter forecast`: how long an account's credit lasts, and the smallest plan that would have been enough."""

from google.protobuf.duration_pb2 import Duration

from creditmeter.cli.connection import LONG_READ, ask
from creditmeter.cli.options import AccountId, Address, AsCsv, AsJson
from creditmeter.cli.output import counted, json_of, moment, print_csv, print_json, word
from creditmeter.cli.screen import Notes, Table, print_lines, print_table, table
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import account_pb2, grants_pb2

_REASONS = {
    account_pb2.FORECAST_REASON_MONTHLY_RUNS_OUT_EARLY: "monthly credits run out {} days before the month ends",
    account_pb2.FORECAST_REASON_LONG_SESSIONS: "long sessions: text calls have {} input tokens on average",
    account_pb2.FORECAST_REASON_IMAGE_HEAVY: "image heavy: {} % of the cost is for images",
    account_pb2.FORECAST_REASON_SEARCH_HEAVY: "search heavy: {} % of the cost is for searches and other tools",
    account_pb2.FORECAST_REASON_PARALLEL_WORKFLOWS: "parallel workflows: {} reservations were open at one moment",
}


def forecast(account_id: AccountId, address: Address = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Show how long an account's credit lasts, which plan would have been enough, and why more may be needed."""
    request = account_pb2.ForecastUsageRequest(account_id=account_id)
    reply = ask(address, lambda client: call(client.account.ForecastUsage, request, LONG_READ), patience=LONG_READ)
    if as_json:
        print_json(json_of(reply))
        return
    if as_csv:
        print_csv([account_pb2.BucketForecast], ([each] for each in reply.buckets))
        return
    title = f"Account {account_id}, by what was used from {moment(reply, 'start')} to {moment(reply, 'end')}"
    notes = Notes(with_times=True)
    print_table(forecast_table(reply), title, notes)
    for line in conclusions(reply):
        print_lines(line, hang=2)
    notes.print()


def forecast_table(reply: account_pb2.ForecastUsageResponse) -> Table:
    """One row for each bucket."""
    numbers = ("left", "a day", "lapsed", "days used up")
    columns = ("bucket", "left", "a day", "lasts", "runs out", "lapsed", "days used up")
    shown = table(*columns, right=numbers, times=("runs out",), goes=("lapsed", "days used up"))
    for each in reply.buckets:
        shown.add_row(
            word(grants_pb2.GrantKind, each.kind),
            format_credits(each.remaining_microcredits),
            format_credits(each.spent_per_day_microcredits),
            _span(each.lasts),
            moment(each, "runs_out_at"),
            format_credits(each.lapsed_microcredits),
            f"{each.exhausted_days}",
        )
    return shown


def conclusions(reply: account_pb2.ForecastUsageResponse) -> list[str]:
    """The conclusions for the account as a whole, one a line."""
    if reply.HasField("runs_out_at"):
        lines = [f"At this rate all credit is used up at {moment(reply, 'runs_out_at')}."]
    else:
        lines = ["At this rate the credit lasts to the end of the running month."]
    if reply.refused_count:
        were = "was" if reply.refused_count == 1 else "were"
        lines.append(f"{counted(reply.refused_count, 'call')} {were} refused for lack of credit.")
    if reply.HasField("smallest_plan"):
        plan = reply.smallest_plan
        daily, monthly = format_credits(plan.daily_microcredits), format_credits(plan.monthly_microcredits)
        lines.append(f"The smallest plan that would have been enough: {plan.plan_id} ({daily} a day, {monthly} a month).")
    else:
        lines.append("No plan would have been enough.")
    for each in reply.findings:
        reason = _REASONS[each.reason].format(f"{each.observed:,}")
        lines.append(f"Why more may be needed: {reason} (reported from {each.threshold:,} on).")
    return lines


def _span(span: Duration) -> str:
    """A length of time in its two largest units."""
    minutes = span.seconds // 60
    days, hours = minutes // 1_440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
