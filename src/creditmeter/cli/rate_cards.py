"""Rate cards: read from a file, or got from a sidecar."""

from pathlib import Path

from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.client import Client, call
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.v1 import admin_pb2

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The largest document that a sidecar takes."""


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
    from creditmeter.catalog.bundled import bundled_price_list  # noqa: PLC0415 - most commands need no prices
    from creditmeter.forms.rate_cards import load  # noqa: PLC0415 - most commands need no prices

    return load(document, bundled_price_list).card


async def published_card(client: Client, version: str = "") -> admin_pb2.RateCard:
    """A published card; without a version the one in force.

    Raises:
        CallError: there is none of this version, or the sidecar did not answer.
    """
    return (await call(client.admin.GetRateCard, admin_pb2.GetRateCardRequest(version=version), PATIENCE)).rate_card
