"""A bill, read line by line from a CSV file into one side of a comparison."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, NoReturn

import typer

from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.output import counted
from creditmeter.cli.screen import say
from creditmeter.core.reports.bills import Columns, EmptyLine, Line, WrongLine, currency_column, read_line, recognised
from creditmeter.core.reports.reconciliation import MAX_GROUPS, Reconciliation, Sums, model_key

MOST_COMPLAINTS = 20
"""Wrong cells that are complained about one by one; of the rest only the number is printed."""

LONG = 25_000
"""Lines after which a line of progress is printed, again and again."""

_COLUMNS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: days (ISO, both included; empty: those of the bill) of a time zone, and models.

    `patterns` are globs that a model's key matches one of; empty: any. `same` has the names that charges have for what a bill
    names otherwise, by the keys of the bill's names.
    """

    time_zone: str = "UTC"
    first_day: str = ""
    last_day: str = ""
    patterns: tuple[str, ...] = ()
    same: Mapping[str, str] = field(default_factory=dict)

    def charged_name(self, name: str) -> str:
        """The name that charges have for what a bill names."""
        return self.same.get(model_key(name), name)

    def has_day(self, day: str) -> bool:
        """Whether a day is compared."""
        return self.first_day <= day and (not self.last_day or day <= self.last_day)

    def has_model(self, name: str) -> bool:
        """Whether a model is compared, by any of its names."""
        key = model_key(name)
        return not self.patterns or any(fnmatchcase(key, each.lower().replace(".", "-")) for each in self.patterns)


@dataclass(slots=True)
class Bill:
    """A bill that was read. `digest` is the SHA-256 of its bytes, in hexadecimal; days are ISO, empty if there is none.

    `left_aside` are the sums of the lines beyond the scope.
    """

    path: Path
    columns: Columns
    scope: Scope
    reconciliation: Reconciliation
    digest: str = ""
    lines: int = 0
    first_day: str = ""
    last_day: str = ""
    lines_left_aside: int = 0
    left_aside: Sums = field(default_factory=Sums)

    def add(self, line: Line) -> None:
        """Add a line to the comparison, or leave it aside."""
        name = self.scope.charged_name(line.name)
        if self.scope.has_day(line.day) and self.scope.has_model(name):
            self.reconciliation.add_billed(line.day, name, line.sums)
        else:
            self.lines_left_aside += 1
            self.left_aside = self.left_aside.plus(line.sums)

    def cover(self, day: str) -> None:
        """Extend the bill's days to this one."""
        if self.scope.has_day(day):
            self.first_day = min(self.first_day or day, day)
            self.last_day = max(self.last_day, day)


def read_bill(path: Path, given: Mapping[str, str], scope: Scope) -> Bill:
    """A bill, read as a whole. `given` are the columns that the operator names, by their use.

    Raises:
        CommandFailed: it cannot be read, or is not what can be compared.
        typer.Exit: cells are wrong. Each was complained about in a line of its own.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            rows = csv.DictReader(_lines(file, digest.update), strict=True)
            columns = _columns(path, rows.fieldnames or (), given, scope)
            bill = Bill(path, columns, scope, Reconciliation(in_usd=bool(columns.cost)))
            _read(bill, rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"the bill {path} cannot be read: {error}", ExitCode.USAGE) from error
    bill.digest = digest.hexdigest()
    bill.first_day, bill.last_day = scope.first_day or bill.first_day, scope.last_day or bill.last_day
    if not bill.first_day or not bill.last_day:
        raise CommandFailed(f"the bill {path} has no lines in these days", ExitCode.USAGE)
    return bill


def _lines(file: BinaryIO, update: Callable[[bytes], object]) -> Iterator[str]:
    """The lines of a file as text, each counted into its digest."""
    for number, line in enumerate(file):
        update(line)
        yield line.decode("utf-8" if number else "utf-8-sig")


def _read(bill: Bill, rows: "csv.DictReader[str]") -> None:
    wrong = 0
    for count, row in enumerate(rows, 1):
        if count % LONG == 0:
            say(f"read {count:,} lines of the bill")
        found = WrongLine((("", "has more cells than there are columns"),)) if None in row else _line(bill, row)
        if isinstance(found, WrongLine):
            wrong += _complain(rows.line_num, found, wrong)
            continue
        bill.lines += 1
        bill.cover(found.day)
        if isinstance(found, Line):
            bill.add(found)
        if bill.reconciliation.is_full:
            raise CommandFailed(f"the bill {bill.path} has more than {MAX_GROUPS:,} days and models", ExitCode.USAGE)
    if wrong:
        _refuse(wrong)


def _line(bill: Bill, row: Mapping[str, str | None]) -> Line | EmptyLine | WrongLine:
    return read_line(bill.columns, row, bill.scope.time_zone)


def _complain(number: int, found: WrongLine, before: int) -> int:
    """Complain about the cells of a line, `before` having been wrong before it. Returns how many are wrong in it."""
    for column, why in found.problems[: max(0, MOST_COMPLAINTS - before)]:
        say(f"creditmeter: line {number}{f', column {column}' if column else ''}: {why}")
    return len(found.problems)


def _refuse(wrong: int) -> NoReturn:
    if wrong > MOST_COMPLAINTS:
        say(f"creditmeter: and {counted(wrong - MOST_COMPLAINTS, 'cell')} more")
    raise typer.Exit(ExitCode.USAGE)


def _columns(path: Path, header: Sequence[str], given: Mapping[str, str], scope: Scope) -> Columns:
    """The columns of a bill: those that are given, else those of a known export.

    Raises:
        CommandFailed: they are not there, or not known.
    """
    known = recognised(header)
    columns = _plain(header, given) if known is None else _changed(known, given)
    has = f"it has: {', '.join(header[:_COLUMNS_SHOWN]) or 'none'}"
    if columns is None:
        options = "--date-column, --model-column and --cost-column (or --input-column and --output-column)"
        raise CommandFailed(
            f"line 1 of the bill {path} is no known header: name its columns with {options}; {has}", ExitCode.USAGE
        )
    missing = [name for name in columns.names if name not in header]
    if missing:
        raise CommandFailed(f"line 1 of the bill {path} has no column {', '.join(missing)}; {has}", ExitCode.USAGE)
    twice = [name for name in columns.names if header.count(name) > 1]
    if twice:
        raise CommandFailed(f"line 1 of the bill {path} has the column {', '.join(twice)} twice", ExitCode.USAGE)
    if columns.in_utc and scope.time_zone != "UTC":
        raise CommandFailed(f"the days of this bill ({columns.kind}) are days in UTC: leave --time-zone out", ExitCode.USAGE)
    return columns


def _plain(header: Sequence[str], given: Mapping[str, str]) -> Columns | None:
    """The columns of an unknown bill; None if too few are given."""
    counts = given["input"], given["output"]
    if not given["date"] or not given["model"] or not (given["cost"] or all(counts)):
        return None
    inputs = (given["input"],) if given["input"] else ()
    return Columns(given["date"], given["model"], given["cost"], inputs, given["output"], currency_column(header))


def _changed(known: Columns, given: Mapping[str, str]) -> Columns:
    """The columns of a known export, of which some are given otherwise."""
    return replace(
        known,
        date=given["date"] or known.date,
        model=given["model"] or known.model,
        cost=given["cost"] or known.cost,
        inputs=(given["input"],) if given["input"] else known.inputs,
        output=given["output"] or known.output,
        is_line_item=known.is_line_item and given["model"] in ("", known.model),
        in_utc=known.in_utc and given["date"] in ("", known.date),
    )
