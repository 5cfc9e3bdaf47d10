"""What `creditmeter reconcile` prints: the differences between a bill and the charges, and the entries that correct them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from creditmeter.cli.bill_file import Bill
from creditmeter.cli.corrections import Booked
from creditmeter.cli.output import counted, print_cells, print_json, signed
from creditmeter.cli.screen import Table, print_lines, print_table, table
from creditmeter.core.amounts import format_credits
from creditmeter.core.prices.rounding import EXACTLY
from creditmeter.core.reports.reconciliation import Compared, Correction, Side, Sums, Tolerance, in_microcredits

_SHOWN_PLACES = Decimal("0.000001")
_FEWEST_PLACES = 2
_NAMES_SHOWN = 10
_TO_SHOW = Context(prec=100)
_ON = {Side.BOTH: "both", Side.BILL: "bill", Side.CHARGES: "charges"}


@dataclass(slots=True)
class Report:
    """A comparison, once it is judged by a tolerance.

    `accounts` is how many were looked at, `charges_left_aside` what of their charges is beyond the scope, and `rate` gives the
    credits for a dollar of a model.
    """

    bill: Bill
    accounts: int
    charges_left_aside: Sums
    rate: Callable[[str], Decimal]
    compared: list[Compared] = field(default_factory=list)
    differing: list[Compared] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    booked: Booked | None = None

    def judge(self, tolerance: Tolerance) -> None:
        """Find what differs, and what would correct it."""
        sums = self.bill.reconciliation
        self.compared = sums.compared()
        self.differing = [each for each in self.compared if not sums.agrees(each, tolerance)]
        self.corrections = sums.corrections(self.differing, self.rate)

    @property
    def open_differences(self) -> int:
        """How many differences no booked entry corrects."""
        return len(self.differing) - (self.booked.entries if self.booked is not None else 0)

    def credits(self, each: Compared) -> int | None:
        """A difference in microcredits; None if the bill states no money."""
        usd = self.bill.reconciliation.difference(each)
        return None if usd is None else in_microcredits(usd, self.rate(each.name))

    def shown(self, *, show_all: bool) -> Sequence[Compared]:
        """The rows: all, or those that differ."""
        return self.compared if show_all else self.differing

    def as_json(self, *, show_all: bool) -> dict[str, Any]:
        """Everything, with amounts in microcredits and dollars as decimal strings."""
        bill = self.bill
        total = bill.reconciliation.total()
        credits = [self.credits(each) for each in self.compared]
        return {
            "bill": str(bill.path),
            "sha256": bill.digest,
            "kind": bill.columns.kind,
            "lines": bill.lines,
            "first_day": bill.first_day,
            "last_day": bill.last_day,
            "time_zone": bill.scope.time_zone,
            "accounts": self.accounts,
            "lines_left_aside": bill.lines_left_aside,
            "left_aside_of_the_bill_usd": _text(bill.left_aside.usd),
            "left_aside_of_the_charges_usd": _text(self.charges_left_aside.usd),
            "only_on_the_bill": bill.reconciliation.unmatched(Side.BILL),
            "only_among_the_charges": bill.reconciliation.unmatched(Side.CHARGES),
            "compared": len(self.compared),
            "differing": len(self.differing),
            "rows": [_row(self, each) for each in self.shown(show_all=show_all)],
            "total": _sums(self, total) | {"difference_microcredits": sum(filter(None, credits))},
            "corrections": [_correction(each) for each in self.corrections],
            "booked": None if self.booked is None else {"entries": self.booked.entries, "replayed": self.booked.replayed},
        }


def print_report(report: Report, *, show_all: bool, is_applied: bool) -> None:
    """Print the comparison for people, and the entries that would correct it."""
    bill = report.bill
    print_lines(f"{bill.path.name}: {bill.columns.kind}, {counted(bill.lines, 'line')}")
    print_lines(f"{bill.first_day} to {bill.last_day}, {bill.scope.time_zone}, {counted(report.accounts, 'account')}")
    if bill.lines_left_aside:
        usd = f", {dollars(bill.left_aside.usd)} USD" if bill.left_aside.usd is not None else ""
        print_lines(f"left aside of the bill: {counted(bill.lines_left_aside, 'line')}{usd}")
    if report.charges_left_aside.usd is not None:
        print_lines(f"left aside of the charges: {dollars(report.charges_left_aside.usd)} USD")
    agree = len(report.compared) - len(report.differing)
    print_lines(f"{agree:,} of {counted(len(report.compared), 'day and model', 'days and models')} agree")
    print_lines("")
    if report.shown(show_all=show_all):
        print_table(_table(report, show_all=show_all))
        if not show_all and agree:
            print_lines("The total includes what agrees: --all shows it." + ("\n" if is_applied else ""))
    else:
        print_lines(f"No differences. {_in_total(report)}")
    _print_unmatched(report)
    _print_corrections(report, is_applied=is_applied)


def print_end(report: Report, account_id: str, *, show_all: bool, as_json: bool, as_csv: bool) -> None:
    """Print the whole comparison for programs; for people what was booked, if entries were."""
    if as_json:
        print_json(report.as_json(show_all=show_all))
    elif as_csv:
        _print_csv(report, show_all=show_all)
    elif report.booked is not None:
        before = f", {report.booked.replayed:,} of them before" if report.booked.replayed else ""
        print_lines(f"booked to {account_id}: {counted(report.booked.entries, 'entry', 'entries')}{before}")


def _print_csv(report: Report, *, show_all: bool) -> None:
    """One line for each day and model."""
    rows = [_row(report, each) for each in report.shown(show_all=show_all)]
    header = list(_row(report, Compared("", "", "", None, None)))
    print_cells(header, ([("" if cell is None else cell) for cell in row.values()] for row in rows))


def dollars(usd: Decimal | None) -> str:
    """Dollars for people: to a millionth, without zeros behind the cents. A dash if they are not stated."""
    if usd is None:
        return "-"
    whole, _, places = f"{usd.quantize(_SHOWN_PLACES, context=_TO_SHOW):,f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(_FEWEST_PLACES, '0')}"


def _table(report: Report, *, show_all: bool) -> Table:
    numbers = ("billed USD", "charged USD", "difference", "credits")
    counts = ("billed in", "charged in", "billed out", "charged out")
    shown = table(
        "day", "model", "on", *numbers, *counts, ids=("day", "model"), right=(*numbers, *counts), goes=tuple(reversed(counts))
    )
    for each in report.shown(show_all=show_all):
        shown.add_row(each.day, each.name, _ON[each.side], *_figures(report, each, report.credits(each)))
    shown.add_section()
    credits = [report.credits(each) for each in report.compared]
    total = None if None in credits else sum(filter(None, credits))
    shown.add_row("total", "", "", *_figures(report, report.bill.reconciliation.total(), total))
    return shown


def _figures(report: Report, each: Compared, credits: int | None) -> tuple[str, ...]:
    """The cells of a row behind its day and model. What a side does not state is a dash, or nothing if no line states it."""
    billed, charged = each.billed or Sums(), each.charged or Sums()
    apart = report.bill.reconciliation.difference(each)
    change = "-" if apart is None else f"{'+' if apart > 0 else ''}{dollars(apart)}"
    counts = (
        (billed.input_tokens, charged.input_tokens, report.bill.columns.inputs),
        (billed.output_tokens, charged.output_tokens, report.bill.columns.output),
    )
    tokens = [_count(each) if is_stated else "" for *both, is_stated in counts for each in both]
    return (dollars(billed.usd), dollars(charged.usd), change, "-" if credits is None else signed(credits), *tokens)


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else f"{tokens:,}"


def _print_unmatched(report: Report) -> None:
    """Print the names that are on one side alone, if both sides have such: two of them may mean the same."""
    sums = report.bill.reconciliation
    billed, charged = sums.unmatched(Side.BILL), sums.unmatched(Side.CHARGES)
    if billed and charged:
        print_lines(f"Only on the bill: {_some(billed)}. Only among the charges: {_some(charged)}.")
        print_lines("If two of them are one: --same BILL=CHARGED.")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _print_corrections(report: Report, *, is_applied: bool) -> None:
    if report.corrections and is_applied:
        print_table(_entries(report.corrections), "Entries that correct this")
    elif report.corrections:
        entries = counted(len(report.corrections), "entry", "entries")
        charged, granted = (_amount(report.corrections, is_charge=each) for each in (True, False))
        print_lines(f"{entries} would correct this: {charged} credits charged, {granted} given back.")
        print_lines("Nothing was changed: --apply --account ACCOUNT books them.")
    left = len(report.differing) - len(report.corrections)
    if left:
        print_lines(_UNCORRECTED[report.bill.reconciliation.in_usd].format(counted(left, "difference")))


def _entries(corrections: Sequence[Correction]) -> Table:
    shown = table("day", "model", "entry", "credits", ids=("day", "model"), right=("credits",))
    for each in corrections:
        shown.add_row(each.day, each.model, "charge" if each.is_charge else "goodwill grant", format_credits(each.amount))
    return shown


def _amount(corrections: Sequence[Correction], *, is_charge: bool) -> str:
    return format_credits(sum(each.amount for each in corrections if each.is_charge is is_charge))


_UNCORRECTED = {
    True: "{} without an entry: charges for what the bill names on no day (another provider may bill them), or less than a "
    "microcredit.",
    False: "{} without an entry: this bill states no costs.",
}
"""Why differences have no correcting entry, by whether the bill states money."""


def _in_total(report: Report) -> str:
    total = report.bill.reconciliation.total()
    billed, charged = total.billed or Sums(), total.charged or Sums()
    return f"Billed: {dollars(billed.usd)} USD, charged: {dollars(charged.usd)} USD."


def _row(report: Report, each: Compared) -> dict[str, Any]:
    """A row for programs."""
    named = {"day": each.day, "model": each.name, "key": each.model, "side": each.side.value}
    return named | _sums(report, each) | {"difference_microcredits": report.credits(each)}


def _sums(report: Report, each: Compared) -> dict[str, Any]:
    billed, charged = each.billed or Sums(), each.charged or Sums()
    return {
        "billed_usd": _text(billed.usd),
        "charged_usd": _text(charged.usd),
        "difference_usd": _text(report.bill.reconciliation.difference(each)),
        "billed_input_tokens": billed.input_tokens,
        "charged_input_tokens": charged.input_tokens,
        "billed_output_tokens": billed.output_tokens,
        "charged_output_tokens": charged.output_tokens,
    }


def _correction(each: Correction) -> dict[str, Any]:
    kind = "charge" if each.is_charge else "goodwill"
    return {"day": each.day, "key": each.model, "entry": kind, "amount_microcredits": each.amount}


def _text(usd: Decimal | None) -> str | None:
    """Dollars as an exact decimal string, without an exponent."""
    return None if usd is None else f"{EXACTLY.normalize(usd):f}"
