"""`creditmeter quote`: the price of work, at one model or at several for comparison."""

from collections.abc import Iterator, Sequence
from typing import Annotated, TypeAlias

import typer

from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import Address, AsCsv, AsJson
from creditmeter.cli.output import json_of, print_csv, print_json
from creditmeter.cli.screen import Table, print_table, table
from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.core.amounts import format_credits
from creditmeter.core.prices.rate_card import IMAGE, TEXT
from creditmeter.v1 import metering_pb2, work_pb2

COMMON_MODELS = (
    "gpt-4o-mini",
    "gpt-4o",
    "gpt-5",
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
    "gemini-2.5-flash",
    "gemini-2.5-pro",
)
"""Models at which text is compared if none is named: small and large ones of well-known providers."""

MAX_MODELS = 50
"""Most works in one Quote."""

MAX_COUNT = 10**9
"""The contract's limit of every count."""

_Quoted: TypeAlias = tuple[work_pb2.Work, metering_pb2.WorkQuote]


_Action = Annotated[str, typer.Option(metavar="ACTION", help="What is to be done: text, image, tool, engagement, …")]
_Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="May be given several times, to compare. Default for text: well-known ones."),
]
_Provider = Annotated[str, typer.Option(metavar="PROVIDER", help="Whose. Default: found by the model's name.")]
_InputTokens = Annotated[
    int | None, typer.Option("--input", min=0, max=MAX_COUNT, metavar="TOKENS", help="Tokens of input. Needed for text.")
]
_OutputTokens = Annotated[
    int | None,
    typer.Option(
        "--output", min=0, max=MAX_COUNT, metavar="TOKENS", help="The most tokens of output. Default: the rate card's."
    ),
]
_CacheWrite = Annotated[
    int,
    typer.Option(
        "--cache-write", min=0, max=MAX_COUNT, metavar="TOKENS", help="Of the input, the most that is written to the cache."
    ),
]
_CacheWrite1h = Annotated[
    int,
    typer.Option(
        "--cache-write-1h", min=0, max=MAX_COUNT, metavar="TOKENS", help="Of these, the most that is kept for an hour."
    ),
]
_AudioInput = Annotated[
    int, typer.Option("--audio-input", min=0, max=MAX_COUNT, metavar="TOKENS", help="Of the input, the most that is audio.")
]
_ImageInput = Annotated[
    int, typer.Option("--image-input", min=0, max=MAX_COUNT, metavar="TOKENS", help="Of the input, the most that is images.")
]
_Units = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        metavar="NAME=COUNT",
        help="The most of a thing with a fee, such as web_searches=3. May be given several times.",
    ),
]
_Tier = Annotated[str, typer.Option("--tier", metavar="TIER", help="The provider's service tier: flex, batch, priority, …")]
_Quantity = Annotated[
    int | None, typer.Option(min=0, max=MAX_COUNT, metavar="COUNT", help="Of images, tool calls or actions. Default: 1.")
]
_Variant = Annotated[str, typer.Option(metavar="VARIANT", help="The image's, as the rate card names it.")]
_Tool = Annotated[str, typer.Option(metavar="TOOL", help="The tool that is called.")]
_Payer = Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Say whether this account can pay for it.")]


def quote(
    action: _Action = TEXT,
    models: _Models = None,
    provider: _Provider = "",
    input_tokens: _InputTokens = None,
    output_tokens: _OutputTokens = None,
    cache_write: _CacheWrite = 0,
    cache_write_1h: _CacheWrite1h = 0,
    audio_input: _AudioInput = 0,
    image_input: _ImageInput = 0,
    units: _Units = None,
    tier: _Tier = "",
    quantity: _Quantity = None,
    variant: _Variant = "",
    tool: _Tool = "",
    account_id: _Payer = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Say what work would cost, at least and at most. Nothing is held.

    Text without --model is compared at well-known models, the cheapest first; one without a price is left out.
    """
    work = work_pb2.Work(
        action=action,
        provider=provider,
        input_tokens=input_tokens,
        max_output_tokens=output_tokens,
        quantity=quantity,
        variant=variant,
        tool=tool,
        service_tier=tier,
    )
    work.MergeFrom(_beside_plain_input((cache_write, cache_write_1h), audio_input, image_input, units or ()))
    _check(work, models or ())
    quoted = ask(address, lambda client: _asked(client, work, models or (), account_id))
    _print_quotes(quoted, account_id, as_json=as_json, as_csv=as_csv)


def _beside_plain_input(written: tuple[int, int], audio: int, images: int, units: Sequence[str]) -> work_pb2.Work:
    """The part of a work that says what may be used beside plain input.

    Raises:
        CommandFailed: one of the units is none.
    """
    return work_pb2.Work(
        cache_creation_input_tokens=written[0],
        cache_creation_1h_input_tokens=written[1],
        audio_input_tokens=audio,
        image_input_tokens=images,
        units=dict(map(_unit, units)),
    )


def _unit(text: str) -> tuple[str, int]:
    """A name and a count, of `NAME=COUNT`.

    Raises:
        CommandFailed: it is none.
    """
    name, _, count = text.partition("=")
    if not (name and count.isascii() and count.isdigit()) or int(count) > MAX_COUNT:
        raise CommandFailed(f"--unit {text}: must be NAME=COUNT, with a count of 0 to {MAX_COUNT:,}", ExitCode.USAGE)
    return name, int(count)


def _check(work: work_pb2.Work, models: Sequence[str]) -> None:
    """Check that the options name what the work's action needs. All else is checked by the sidecar.

    Raises:
        CommandFailed: one is missing, or there are too many models; the message names the option.
    """
    if work.action == TEXT and not work.HasField("input_tokens"):
        raise CommandFailed("text is priced by its tokens: give --input", ExitCode.USAGE)
    if work.action == IMAGE and not (models and all(models)):
        raise CommandFailed("images are priced by model: give --model", ExitCode.USAGE)
    if len(models) > MAX_MODELS:
        raise CommandFailed(f"{len(models)} models are too many: at most {MAX_MODELS} are compared", ExitCode.USAGE)


async def _asked(client: Connection, work: work_pb2.Work, models: Sequence[str], account_id: str) -> list[_Quoted]:
    """Quotes of this work at each of these models, in their order; of text without a model, at well-known ones."""
    if work.action == TEXT and not models:
        return await _compared(client, [_at(work, each) for each in COMMON_MODELS], account_id)
    return await _quoted(client, [_at(work, each) for each in models or [""]], account_id)


def _at(work: work_pb2.Work, model: str) -> work_pb2.Work:
    """This work at a model."""
    made = work_pb2.Work(request_model=model)
    made.MergeFrom(work)
    return made


async def _quoted(client: Connection, works: Sequence[work_pb2.Work], account_id: str) -> list[_Quoted]:
    """Quotes of all of these works, in their order.

    Raises:
        CreditmeterError: one of them has no price, or the sidecar did not answer.
    """
    request = metering_pb2.QuoteRequest(work=works, account_id=account_id)
    reply = await call(client.metering.Quote, request, PATIENCE)
    return list(zip(works, reply.quotes, strict=True))


async def _compared(client: Connection, works: Sequence[work_pb2.Work], account_id: str) -> list[_Quoted]:
    """Quotes of those works that have a price, the cheapest first.

    Raises:
        CreditmeterError: the sidecar refused for another cause, or did not answer.
        CommandFailed: none has a price.
    """
    found = await _quoted_if_priced(client, works, account_id)
    if found is None:
        each_alone = [await _quoted_if_priced(client, [work], account_id) for work in works]
        found = [quoted for alone in each_alone if alone for quoted in alone]
    if not found:
        raise CommandFailed("the rate card in force prices none of the well-known models: give --model")
    return sorted(found, key=lambda quoted: (quoted[1].max_microcredits, quoted[1].min_microcredits))


async def _quoted_if_priced(client: Connection, works: Sequence[work_pb2.Work], account_id: str) -> list[_Quoted] | None:
    """Quotes of all of these works; None if one of them has no price."""
    try:
        return await _quoted(client, works, account_id)
    except CreditmeterError as error:
        if error.reason != "UNPRICED":
            raise
        return None


def _print_quotes(quoted: Sequence[_Quoted], account_id: str, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json({"quotes": [{"work": json_of(work)} | json_of(each) for work, each in quoted]})
    elif as_csv:
        print_csv([work_pb2.Work, metering_pb2.WorkQuote], quoted)
    else:
        print_table(_quotes_table(quoted, account_id), _title(quoted))


def _title(quoted: Sequence[_Quoted]) -> str:
    """The title: the work and the rate card. The works differ in their models only."""
    work, first = quoted[0]
    return f"Credits for {_work_but_model(work)}, by the rate card {first.rate_card_version}"


def _work_but_model(work: work_pb2.Work) -> str:
    if work.action == TEXT:
        most = f"at most {work.max_output_tokens:,}" if work.HasField("max_output_tokens") else "the card's default of"
        said = "".join(f", {each}" for each in _said(work))
        return f"text of {work.input_tokens:,} input and {most} output tokens{said}"
    quantity = f"x{work.quantity:,}" if work.HasField("quantity") else ""
    return " ".join(filter(None, (work.action, work.tool, work.variant, quantity)))


def _said(work: work_pb2.Work) -> Iterator[str]:
    """What the work says beside its input and output, in words."""
    written, kept_1h = work.cache_creation_input_tokens, work.cache_creation_1h_input_tokens
    if written or kept_1h:
        yield f"{written or kept_1h:,} written to the cache" + (f" ({kept_1h:,} for an hour)" if kept_1h else "")
    if work.audio_input_tokens:
        yield f"{work.audio_input_tokens:,} of audio"
    if work.image_input_tokens:
        yield f"{work.image_input_tokens:,} of images"
    yield from (f"{count:,} {name}" for name, count in sorted(work.units.items()))
    if work.service_tier:
        yield f"at {work.service_tier}"


def _quotes_table(quoted: Sequence[_Quoted], account_id: str) -> Table:
    """One row a model. With an account also whether it can pay the highest price, and the output tokens that it can pay for."""
    is_text = quoted[0][0].action == TEXT
    columns = [*(["affordable"] if account_id else ()), *(["output tokens"] if account_id and is_text else ())]
    shown = table("model", "at least", "at most", *columns, ids=("model",), right=("at least", "at most", "output tokens"))
    for work, each in quoted:
        affordable = ("yes" if each.affordable else "no", f"{each.affordable_output_tokens:,}")
        amounts = (format_credits(each.min_microcredits), format_credits(each.max_microcredits))
        shown.add_row(work.request_model or "-", *amounts, *affordable[: len(columns)])
    return shown
