"""Output of commands: JSON and CSV for programs, words for people.

In JSON and CSV a message has its fields' names, amounts are integers and enums are names. In tables amounts are credits.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.screen import print_document, print_lines, say
from creditmeter.cli.times import short_time
from creditmeter.core.amounts import format_credits
from creditmeter.v1.account_pb2 import HistoryEntry
from creditmeter.v1.charges_pb2 import Charge, Draw
from creditmeter.v1.grants_pb2 import GrantKind

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_INT64 = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def json_of(message: Message) -> dict[str, Any]:
    """A message as JSON: names as in the contract, and 64-bit integers as numbers, not as the mapping's strings."""
    plain = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return _with_integers(message.DESCRIPTOR, plain)


def _with_integers(descriptor: Any, plain: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(descriptor.fields_by_name[name], value) for name, value in plain.items()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, list):
        return [_value(field, each) for each in value]
    if field.cpp_type in _INT64:
        return int(value)
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if isinstance(value, dict) and not is_map:
        return _with_integers(field.message_type, value)
    return value


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2))


APOSTROPHE = "'"
FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"
"""The wide forms of = + - @ in East Asian text."""

FORMULA = (*"=+-@", *FULL_WIDTH, "\t", "\r", "\n", APOSTROPHE)
"""Beginnings of texts that a spreadsheet may run as a formula. Users choose texts.

The apostrophe is among them so that removing one apostrophe always gives the original text.
"""

_CRLF = "\r\n"


class _Lines:
    """The output of the CSV writer.

    The writer ends lines with CRLF, because it quotes a cell that has a character of its line ending, and a bare carriage
    return must be quoted. Here each CRLF becomes a newline.
    """

    def write(self, line: str) -> None:
        """Print a line, which ends in a newline."""
        print_document(f"{line.removesuffix(_CRLF)}\n")


def print_csv(kinds: Sequence[Any], rows: Iterable[Sequence[Message]]) -> None:
    """Print one line a row and a header of its fields' names. A row is one message of each of these kinds, side by side.

    Lists, maps and messages within a message are JSON in their cell.
    """
    fields = [list(kind.DESCRIPTOR.fields) for kind in kinds]
    print_cells(
        [field.name for each in fields for field in each],
        ([cell for message, each in zip(row, fields, strict=True) for cell in _cells(message, each)] for row in rows),
    )


def print_cells(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print CSV (RFC 4180, lines end in a newline). Text that a spreadsheet would run is quoted with an apostrophe."""
    lines = csv.writer(_Lines(), lineterminator=_CRLF)
    lines.writerow([_harmless(name) for name in header])
    for row in rows:
        lines.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])


def _cells(message: Message, fields: Iterable[FieldDescriptor]) -> list[Any]:
    found = json_of(message)
    values = [found.get(field.name, "") for field in fields]
    return [json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value for value in values]


def _harmless(text: str) -> str:
    return APOSTROPHE + text if text.startswith(FORMULA) else text


def signed(amount: int) -> str:
    """Credits with their sign."""
    return f"+{format_credits(amount)}" if amount > 0 else format_credits(amount)


def moment(message: Message, field: str) -> str:
    """A timestamp of a message in local time; a dash if it is unset."""
    if not message.HasField(field):
        return "-"
    return moment_of(getattr(message, field))


def moment_of(timestamp: Timestamp) -> str:
    """A timestamp in local time."""
    return short_time(timestamp.ToDatetime(tzinfo=UTC))


def ago(message: Message, field: str, now: datetime) -> str:
    """The time since a timestamp of a message, in its largest unit; a dash if it is unset."""
    if not message.HasField(field):
        return "-"
    timestamp: Timestamp = getattr(message, field)
    seconds = int((now - timestamp.ToDatetime(tzinfo=UTC)).total_seconds())
    return f"{in_largest_unit(seconds)} ago" if seconds > 0 else "now"


def in_largest_unit(seconds: int) -> str:
    """A length of time, rounded down in its largest unit: `2 d`, `3 h`, `4 min`, `5 s`."""
    length, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[-1])
    return f"{seconds // length} {unit}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 account`, `2 accounts`, `0 entries`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def word(enum: Any, value: int) -> str:
    """An enum's value in lower case without its prefix: GRANT_KIND_DAILY is `daily`."""
    values = enum.DESCRIPTOR.values
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    name: str = enum.Name(value)
    return "" if value == 0 else name.removeprefix(prefix).lower()


def subject(item: HistoryEntry | Charge) -> str:
    """What an item is about: its action, tool, quantity and model.

    The model is last, because on a narrow terminal the end of a model's name is missed least.
    """
    if isinstance(item, Charge):
        model, tool = item.usage.response_model or item.usage.request_model, item.usage.tool
        quantity = item.usage.quantity if item.usage.HasField("quantity") else 1
    else:
        model, tool, quantity = item.model, item.tool, item.quantity
    words = (item.action, tool, f"x{quantity:,}" if quantity > 1 else "", model)
    return " ".join(filter(None, words))


def draws_of(draws: "list[Draw] | Any") -> str:
    """The credits drawn from each bucket, in the order drawn."""
    taken: dict[str, int] = {}
    for draw in draws:
        kind = word(GrantKind, draw.kind)
        taken[kind] = taken.get(kind, 0) + draw.amount_microcredits
    return ", ".join(f"{format_credits(amount)} {kind}" for kind, amount in taken.items())


def print_listing(reply: Any, kind: Any, items: Iterable[Message], *, as_json: bool, as_csv: bool) -> bool:
    """Print a listing as JSON or CSV. Returns whether it did; if not, the caller prints a table.

    CSV has no place for the next page's token, so that is printed on stderr.
    """
    if as_json:
        print_json(json_of(reply))
    elif as_csv:
        print_csv([kind], ([each] for each in items))
        say_more(reply.next_page_token, aside=True)
    return as_json or as_csv


def say_more(next_page_token: str, *, aside: bool = False) -> None:
    """Print how to go on if a listing has more items; with `aside` on stderr."""
    if next_page_token:
        out = say if aside else print_lines
        out(f"There is more: raise --limit, or go on with --page-token {next_page_token}")


def print_request_id(request_id: str, *, replayed: bool) -> None:
    """Show the id with which a change may be repeated."""
    print_lines(f"request id: {request_id}" + (" (done before; nothing changed now)" if replayed else ""))
