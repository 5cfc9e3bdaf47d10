"""What of the settings is found out only when a sidecar starts, told beforehand: nothing is connected to or changed."""

from collections.abc import Iterator

from creditmeter.central.engine.database import parse_url
from creditmeter.central.engine.faults import CentralMisconfigured
from creditmeter.server.app import StartupError, load_rate_card, open_webhook
from creditmeter.server.config import Settings


def misused(settings: Settings) -> list[str]:
    """A line for each setting that can be read and not used: the central store's address, the webhook, the rate card."""
    return [*_central(settings), *_webhook(settings), *_rate_card(settings)]


def _central(settings: Settings) -> Iterator[str]:
    try:
        parse_url(settings.central_url)
    except CentralMisconfigured as error:
        yield settings.problem("central", str(error))


def _webhook(settings: Settings) -> Iterator[str]:
    try:
        open_webhook(settings)
    except StartupError as error:
        yield str(error)


def _rate_card(settings: Settings) -> Iterator[str]:
    try:
        load_rate_card(settings.rate_card)
    except StartupError as error:
        yield from (settings.problem("rate_card", each) for each in error.problems)
