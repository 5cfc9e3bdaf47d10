"""Bills: what the lines of a provider's export say, by their columns.

Four exports are recognised by their columns. The days of all four are days in UTC.

* OpenAI's costs, grouped by line item: `amount_value` in `amount_currency` for a `line_item` such as
  `gpt-4o-2024-08-06, input`, per `start_time` (seconds since 1970; `start_time_iso` is the same in words). A day on which
  nothing was used has a line whose other cells are empty. https://help.openai.com/en/articles/8554956 says how it is exported
  and that all times are in UTC; https://docs.pelanor.io/integrations/services/openai.md lists the columns.
* OpenAI's activity of completions: `model`, `num_model_requests`, `input_tokens` (cached ones included), `output_tokens`. The
  fields are those of https://developers.openai.com/api/reference/resources/admin; no money is stated.
* Anthropic's costs: `cost_usd` per `usage_date_utc`, `model` (as it is shown to people: `Claude Sonnet 4.5`) and `token_type`.
  What is no model's (web search, code execution) has a `cost_type`.
* Anthropic's usage: `usage_input_tokens_no_cache`, `usage_input_tokens_cache_read` and further kinds of input beside each
  other, and `usage_output_tokens`, per `usage_date_utc` and `model_version`; no money is stated.
  https://support.claude.com/en/articles/9534590 describes both of Anthropic's.

Any other bill is read by the names of its columns.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache

from creditmeter.core.credit.calendar import Calendar, Period, day_of
from creditmeter.core.instants import DAY, Instant, from_datetime
from creditmeter.core.reports.reconciliation import Sums

CURRENCY = "USD"
"""The only currency that charges are compared in."""

_CURRENCIES = ("amount_currency", "currency")
_INPUT_OF_ANTHROPIC = "usage_input_tokens_"
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_COUNT = re.compile(r"([0-9]{1,15})(?:\.0+)?")
_SECONDS = re.compile(r"[0-9]{9,11}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].+)?")
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_DAYS_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a bill, by their names. Empty: the bill has no such column.

    `inputs` are added up. `otherwise` names what a line is for if its model is empty. With `is_line_item` the model is what
    stands before the first comma. With `in_utc` the days are known to be days in UTC. `kind` says whose bill it is.
    """

    date: str
    model: str
    cost: str = ""
    inputs: tuple[str, ...] = ()
    output: str = ""
    currency: str = ""
    otherwise: str = ""
    kind: str = "columns by name"
    is_line_item: bool = False
    in_utc: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        every = (self.date, self.model, self.cost, *self.inputs, self.output, self.currency, self.otherwise)
        return tuple(filter(None, every))


@dataclass(frozen=True, slots=True)
class Line:
    """What a line bills: a day (ISO), the model or another item, and its sums."""

    day: str
    name: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class EmptyLine:
    """A line that says only that nothing was used on a day."""

    day: str


@dataclass(frozen=True, slots=True)
class WrongLine:
    """A line that cannot be read: the columns that are wrong, and why."""

    problems: tuple[tuple[str, str], ...]


def recognised(header: Sequence[str]) -> Columns | None:
    """The columns of a known export; None if it is none."""
    has = frozenset(header)
    start = "start_time_iso" if "start_time_iso" in has else "start_time"
    if has >= {"amount_value", "line_item", start}:
        currency, kind = currency_column(header), "costs of OpenAI"
        return Columns(start, "line_item", "amount_value", currency=currency, kind=kind, is_line_item=True, in_utc=True)
    if has >= {"num_model_requests", "model", "input_tokens", "output_tokens", start}:
        return Columns(start, "model", "", ("input_tokens",), "output_tokens", kind="activity of OpenAI", in_utc=True)
    if has >= {"usage_date_utc", "model", "cost_usd"}:
        otherwise = "cost_type" if "cost_type" in has else ""
        return Columns("usage_date_utc", "model", "cost_usd", otherwise=otherwise, kind="costs of Anthropic", in_utc=True)
    if has >= {"usage_date_utc", "model_version", "usage_output_tokens", "usage_input_tokens_no_cache"}:
        inputs, kind = tuple(name for name in header if name.startswith(_INPUT_OF_ANTHROPIC)), "usage of Anthropic"
        return Columns("usage_date_utc", "model_version", "", inputs, "usage_output_tokens", kind=kind, in_utc=True)
    return None


def currency_column(header: Sequence[str]) -> str:
    """The column that names each line's currency; empty if there is none."""
    return next((name for name in _CURRENCIES if name in header), "")


def read_line(columns: Columns, row: Mapping[str, str | None], time_zone: str) -> Line | EmptyLine | WrongLine:
    """What a line says. `row` has its cells by column; a cell that is missing is None."""
    cells = {name: (row.get(name) or "").strip() for name in columns.names}
    wrong: list[tuple[str, str]] = []
    day = read_day(cells[columns.date], time_zone)
    if day is None:
        wrong.append((columns.date, f"{_shown(cells[columns.date])} is not a date: 2026-12-31, a time or seconds since 1970"))
    elif not any(cells[name] for name in (columns.model, columns.cost, *columns.inputs, columns.output) if name):
        return EmptyLine(day)
    if columns.currency and cells[columns.currency].upper() != CURRENCY:
        wrong.append((columns.currency, f"{_shown(cells[columns.currency])} is not {CURRENCY}"))
    name = _name(columns, cells)
    if not name:
        wrong.append((columns.model, "is empty: export the bill by model, at OpenAI grouped by line item"))
    sums = _sums(columns, cells, wrong)
    if wrong:
        return WrongLine(tuple(wrong))
    assert day is not None, "a date that cannot be read is wrong"
    return Line(day, name, sums)


@lru_cache(maxsize=_DAYS_KEPT)
def read_day(text: str, time_zone: str) -> str | None:
    """The day (ISO) of a date, of an ISO 8601 time or of seconds since 1970; None if it is none of these.

    A date, and a time without an offset, are of the bill's time zone; any other moment belongs to its local day there.
    """
    moment = _moment(text)
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return moment.date().isoformat() if moment.tzinfo is None else day_of(Calendar(time_zone), from_datetime(moment)).key


def days_between(time_zone: str, first: str, last: str) -> list[Period]:
    """The days of a time zone from the first to the last (ISO), both included. A date that the zone skipped is none."""
    calendar = Calendar(time_zone)
    moment = Instant(from_datetime(datetime.combine(date.fromisoformat(first), time(), UTC)) - DAY)
    found: list[Period] = []
    while (day := day_of(calendar, moment)).key <= last:
        if day.key >= first:
            found.append(day)
        moment = day.ends_at
    return found


def _moment(text: str) -> datetime | date | None:
    if _SECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(text) if found[1] else date.fromisoformat(text)
    except ValueError:
        return None


def _name(columns: Columns, cells: Mapping[str, str]) -> str:
    model = cells[columns.model]
    if columns.is_line_item:
        model = model.partition(",")[0].strip()
    return model or (cells[columns.otherwise] if columns.otherwise else "")


def _sums(columns: Columns, cells: Mapping[str, str], wrong: list[tuple[str, str]]) -> Sums:
    """The sums of a line. Notes in `wrong` what is no number."""
    usd: Decimal | None = None
    if columns.cost:
        text = cells[columns.cost]
        usd = Decimal(text) if _NUMBER.fullmatch(text) else None
        if usd is None:
            wrong.append((columns.cost, f"{_shown(text)} is not an amount"))
    inputs = [_count(name, cells, wrong, needed=not columns.cost) for name in columns.inputs]
    known = [each for each in inputs if each is not None]
    output = _count(columns.output, cells, wrong, needed=not columns.cost) if columns.output else None
    return Sums(usd, sum(known) if known else None, output)


def _count(name: str, cells: Mapping[str, str], wrong: list[tuple[str, str]], *, needed: bool) -> int | None:
    text = cells[name]
    if not text and not needed:
        return None
    found = _COUNT.fullmatch(text)
    if found is None:
        wrong.append((name, f"{_shown(text)} is not a count"))
        return None
    return int(found[1])


_LONGEST_SHOWN = 40


def _shown(text: str) -> str:
    """A cell as a complaint shows it."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")
