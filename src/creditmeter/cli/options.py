"""The options that commands share, and the parsers of their values."""

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.core.amounts import MAX_AMOUNT, format_credits, from_credits
from creditmeter.server.durations import read_seconds
from creditmeter.v1.admin_pb2 import Alert

MAX_PERCENT = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
_SHARE = re.compile(r"([0-9]{1,3})%")
_CREDITS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")


def read_credits(text: str | int) -> int:
    """Microcredits from typed credits: `100`, `6.5`. A default is already in microcredits and is returned unchanged."""
    if isinstance(text, int):
        return text
    amount = from_credits(text) if _CREDITS.fullmatch(text) else None
    if amount is None or amount > MAX_AMOUNT:
        raise typer.BadParameter(
            f"{text!r} is not a number of credits: 0 to {format_credits(MAX_AMOUNT)}, with at most six decimal places"
        )
    return amount


def read_some_credits(text: str | int) -> int:
    """Microcredits from typed credits, as `read_credits`; 0 is refused."""
    amount = read_credits(text)
    if not amount:
        raise typer.BadParameter("0 credits are none: the least is 0.000001")
    return amount


def read_alert(text: str | Alert) -> Alert:
    """The threshold of an alert: credits, `50`, or a share of the granted credit, `10%`."""
    if isinstance(text, Alert):
        return text
    share = _SHARE.fullmatch(text)
    if share is None:
        return Alert(amount_microcredits=read_some_credits(text))
    if not 1 <= int(share[1]) <= MAX_PERCENT:
        raise typer.BadParameter(f"{text!r} is no share: 1% to {MAX_PERCENT}%, without decimal places")
    return Alert(percent=int(share[1]))


def read_duration(text: str | float) -> float:
    """Seconds from `30`, `500ms`, `2m`. A default is already in seconds and is returned unchanged."""
    if isinstance(text, int | float):
        return text
    try:
        return read_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def read_moment(text: str) -> datetime:
    """A moment from ISO 8601, in UTC if it names no time zone. A date alone is its midnight."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time: write 2026-12-31 or 2026-12-31T18:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not EPOCH <= moment <= LAST_MOMENT:  # compared in UTC, where the year may be out of range
        raise typer.BadParameter(f"{text!r} is not a time between 1970 and 9999, in UTC")
    return moment


def timestamp(at: datetime | None) -> Timestamp | None:
    """A moment as a Timestamp; None stays unset."""
    if at is None:
        return None
    made = Timestamp()
    made.FromDatetime(at)
    return made


def new_request_id() -> str:
    """A new, random request id."""
    return f"cli-{uuid.uuid4()}"


Address = Annotated[
    str | None,
    typer.Option(
        envvar="CREDITMETER_ADDRESS",
        metavar="ADDR",
        help="The sidecar: host:port or unix:/path. Default: the socket in the data directory.",
    ),
]


def _one_form(context: typer.Context, value: bool) -> bool:
    """Refuse --json together with --csv, in either order."""
    if value and (context.params.get("as_json") or context.params.get("as_csv")):
        raise typer.BadParameter("--json and --csv are two forms: choose one")
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; amounts are integers, in microcredits.", callback=_one_form)]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV; amounts are integers, in microcredits.", callback=_one_form)]
RequestIdOption = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Makes the command safe to repeat. Made, and shown, when none is given."),
]
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
Limit = Annotated[int, typer.Option(min=1, max=100_000, metavar="COUNT", help="How many to show at most.")]
PageToken = Annotated[str, typer.Option(metavar="TOKEN", help="Go on where an earlier listing ended.")]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the sidecar keeps its files.", file_okay=False, show_default=False),
]
Central = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The central store: sqlite:///PATH or postgresql://USER@HOST/NAME."),
]
