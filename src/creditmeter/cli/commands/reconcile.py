"""`creditmeter reconcile`: a provider's bill beside the charges, and entries that correct the differences."""

import sys
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.bill_file import Bill, Scope, read_bill
from creditmeter.cli.charged_costs import add_charges
from creditmeter.cli.connection import LONG_READ, ask
from creditmeter.cli.corrections import book
from creditmeter.cli.differences import Report, print_end, print_report
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import Address, AsCsv, AsJson
from creditmeter.cli.output import counted
from creditmeter.cli.rate_cards import card_of, published_card
from creditmeter.cli.screen import say
from creditmeter.cli.times import now
from creditmeter.client.stubs import Connection
from creditmeter.core.credit.calendar import Period, valid_time_zone
from creditmeter.core.instants import from_datetime
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.reports.bills import CURRENCY, days_between, read_day
from creditmeter.core.reports.reconciliation import Tolerance, credits_per_usd, model_key

MAX_DAYS = 400
"""Most days of one comparison."""

CENT = "0.01"
_PERCENT = "%"
_SAME = "="
_MOST = Decimal(10**9)


def read_tolerance(text: str | Tolerance) -> Tolerance:
    """A tolerance: USD, `0.05`, or percent of the bill, `1%`."""
    if isinstance(text, Tolerance):
        return text
    try:
        number = Decimal(text.removesuffix(_PERCENT))
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or not 0 <= number <= _MOST:
        raise typer.BadParameter(f"{text!r} is neither an amount of USD, such as 0.05, nor a share, such as 1%")
    return Tolerance(percent=number) if text.endswith(_PERCENT) else Tolerance(usd=number)


def read_zone(text: str) -> str:
    """The IANA name of a time zone."""
    if not valid_time_zone(text):
        raise typer.BadParameter(f"{text!r} is not the name of a time zone, such as Europe/Berlin")
    return text


def read_iso_day(text: str) -> str:
    """A day, as ISO 8601 writes it."""
    if not text:
        return text
    if read_day(text, "UTC") != text:
        raise typer.BadParameter(f"{text!r} is not a day: write 2026-12-31")
    return text


def read_same(text: str) -> str:
    """Two names for one thing, on the bill and on charges."""
    billed, _, charged = text.partition(_SAME)
    if not billed.strip() or not charged.strip():
        raise typer.BadParameter(f"{text!r} are no two names: write BILL=CHARGED")
    return text


def read_currency(text: str) -> str:
    """The currency of the bill, which must be that of the charges."""
    if text.upper() != CURRENCY:
        raise typer.BadParameter(f"{text!r} cannot be compared: the cost on charges is in {CURRENCY}")
    return CURRENCY


File = Annotated[Path, typer.Argument(metavar="FILE.csv", help="The bill.", show_default=False)]
DateColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of the day: a date, a time or seconds since 1970.")]
ModelColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of the model.")]
CostColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of the cost, in USD.")]
InputColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of the input tokens, cached ones included.")]
OutputColumn = Annotated[str, typer.Option(metavar="NAME", help="The column of the output tokens.")]
Currency = Annotated[str, typer.Option(parser=read_currency, metavar="CODE", help="The bill's currency: only USD.")]
TimeZone = Annotated[str, typer.Option(parser=read_zone, metavar="ZONE", help="Where the bill's days begin.")]
FirstDay = Annotated[
    str, typer.Option(parser=read_iso_day, metavar="DAY", help="Compare from this day on. Default: the bill's first.")
]
LastDay = Annotated[
    str, typer.Option(parser=read_iso_day, metavar="DAY", help="Compare up to this day. Default: the bill's last.")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="PATTERN", help="Compare only such models: gpt-*. May be given several times."),
]
Same = Annotated[
    list[str] | None,
    typer.Option(
        "--same",
        parser=read_same,
        metavar="BILL=CHARGED",
        help="What the bill calls BILL is CHARGED on charges: 'web search tool calls=web_search'. May be given several times.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="ACCOUNT", help="Compare only this account's charges. May be given several times."),
]
Tolerances = Annotated[
    list[Tolerance] | None,
    typer.Option(
        "--tolerance",
        parser=read_tolerance,
        metavar="USD|PERCENT%",
        help="What is no difference: up to so many USD, or percent of the bill. May be given twice. Default: 0.01.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Show what agrees, too.")]
Apply = Annotated[bool, typer.Option("--apply", help="Book correcting entries, after showing them and asking.")]
Payer = Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="The account that correcting entries are booked to.")]
Yes = Annotated[bool, typer.Option("--yes", help="Book without asking.")]


def reconcile(
    file: File,
    date_column: DateColumn = "",
    model_column: ModelColumn = "",
    cost_column: CostColumn = "",
    input_column: InputColumn = "",
    output_column: OutputColumn = "",
    currency: Currency = CURRENCY,  # noqa: ARG001 - its parser checks it
    time_zone: TimeZone = "UTC",
    first_day: FirstDay = "",
    last_day: LastDay = "",
    models: Models = None,
    same: Same = None,
    only: Only = None,
    tolerance: Tolerances = None,
    show_all: All = False,
    apply: Apply = False,
    account: Payer = "",
    yes: Yes = False,
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Compare a provider's bill with the charges, by day and model, and show the differences.

    Exports of OpenAI and Anthropic are recognised; of any other bill, name the columns. Nothing is changed without --apply.
    """
    _check_apply(account, apply=apply, yes=yes, for_people=not (as_json or as_csv))
    given = {"date": date_column, "model": model_column, "cost": cost_column, "input": input_column, "output": output_column}
    bill = read_bill(file, given, Scope(time_zone, first_day, last_day, tuple(models or ()), _names(same or ())))
    days = _days(bill)
    report = ask(address, lambda client: _compared(client, bill, days, only or ()), patience=LONG_READ)
    report.judge(_tolerance(tolerance or ()))
    if not (as_json or as_csv):
        print_report(report, show_all=show_all, is_applied=apply)
    if apply and report.corrections and (yes or _is_wanted(account, report)):
        report.booked = ask(address, lambda client: book(client, account, bill, days, report.corrections), patience=LONG_READ)
    print_end(report, account, show_all=show_all, as_json=as_json, as_csv=as_csv)
    if report.open_differences:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _check_apply(account: str, *, apply: bool, yes: bool, for_people: bool) -> None:
    """Check that entries can be booked, if they are to be.

    Raises:
        CommandFailed: it is not known to whom, or nobody can be asked.
    """
    if not apply:
        return
    if not account:
        why = "a bill does not say whose calls it is for; name the account with --account"
    elif not yes and not for_people:
        why = "with --json and --csv there is no place for a question; --yes books without asking"
    elif not yes and not sys.stdin.isatty():
        why = "there is no terminal to ask on; --yes books without asking"
    else:
        return
    raise CommandFailed(f"nothing can be booked: {why}", ExitCode.USAGE)


def _days(bill: Bill) -> list[Period]:
    count = (date.fromisoformat(bill.last_day) - date.fromisoformat(bill.first_day)).days + 1
    if not 1 <= count <= MAX_DAYS:
        between = f"{bill.first_day} to {bill.last_day}"
        raise CommandFailed(f"{between} are {max(count, 0):,} days: one comparison has 1 to {MAX_DAYS}", ExitCode.USAGE)
    days = days_between(bill.scope.time_zone, bill.first_day, bill.last_day)
    if not days:
        raise CommandFailed(f"{bill.first_day} is no day in {bill.scope.time_zone}", ExitCode.USAGE)
    if days[-1].ends_at > from_datetime(now()):
        say(f"{bill.last_day} is not over: neither its bill nor its charges are complete")
    return days


async def _compared(client: Connection, bill: Bill, days: Sequence[Period], only: Sequence[str]) -> Report:
    """The bill beside the charges, not judged yet."""
    card = _card((await published_card(client)).document)
    accounts, left_aside = await add_charges(client, only, days, bill.scope, bill.reconciliation)
    return Report(bill, accounts, left_aside, lambda model: credits_per_usd(card, model))


def _card(document: str) -> RateCard:
    try:
        return card_of(document)
    except RateCardError as error:
        raise CommandFailed(f"the rate card in force cannot be read: {'; '.join(error.problems)}") from error


def _tolerance(given: Sequence[Tolerance]) -> Tolerance:
    """All tolerances as one; a cent if there is none."""
    if not given:
        return Tolerance(usd=Decimal(CENT))
    return Tolerance(max(each.usd for each in given), max(each.percent for each in given))


def _names(same: Sequence[str]) -> dict[str, str]:
    """The names on charges, by the keys of those on the bill."""
    pairs = (each.partition(_SAME) for each in same)
    return {model_key(billed): charged.strip() for billed, _, charged in pairs}


def _is_wanted(account: str, report: Report) -> bool:
    """Whether the operator says yes."""
    return typer.confirm(f"Book {counted(len(report.corrections), 'entry', 'entries')} to {account}?", err=True)
