"""Rate cards: read from a file, or got from a sidecar."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.client.stubs import Connection, call
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.v1 import admin_pb2

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The largest document that a sidecar takes."""

RateCardFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The rate card to price by. Default: the one that comes with the program.", dir_okay=False
    ),
]


def read_document(file: Path) -> str:
    """The document in a file, without any change: only the same bytes are the same publication.

    Raises:
        CommandFailed: it cannot be read, or no sidecar would take it.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            raise CommandFailed(f"the rate card {file} has more than {MAX_DOCUMENT_BYTES:,} bytes", ExitCode.USAGE)
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"the rate card {file} cannot be read: {error}", ExitCode.USAGE) from error


def card_of(document: str) -> RateCard:
    """The card in a document, with the price list that is installed here.

    Raises:
        RateCardError: the document is no usable card.
    """
    from creditmeter.catalog.installed import load_card  # noqa: PLC0415 - most commands need no prices

    return load_card(document).card


def card_in(file: Path | None) -> RateCard:
    """The card in a file, or the one that comes with the program.

    Raises:
        CommandFailed: the file cannot be read, or has no usable card.
    """
    source = files("creditmeter.core.prices").joinpath("default_rate_card.toml") if file is None else file
    try:
        return card_of(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"the rate card {file} cannot be read: {error}", ExitCode.USAGE) from error
    except RateCardError as error:
        raise CommandFailed(f"the rate card {file} is not usable: {error}", ExitCode.USAGE) from error


async def published_card(client: Connection, version: str = "") -> admin_pb2.RateCard:
    """A published card; without a version the one in force.

    Raises:
        CreditmeterError: there is none of this version, or the sidecar did not answer.
    """
    return (await call(client.admin.GetRateCard, admin_pb2.GetRateCardRequest(version=version), PATIENCE)).rate_card
