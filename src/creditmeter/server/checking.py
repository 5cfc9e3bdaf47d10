"""Checks of the settings that a sidecar makes when it starts, made without starting it. Nothing is connected to or changed."""

from collections.abc import Callable, Iterator

from creditmeter.central.engine.database import parse_url
from creditmeter.central.engine.faults import CentralMisconfigured
from creditmeter.server.access.opening import Protection
from creditmeter.server.config import Settings
from creditmeter.server.exits import StartupError
from creditmeter.server.opening import load_rate_card, open_webhook, own_socket


def misused(settings: Settings) -> list[str]:
    """A line for each setting that was read but cannot be used: the listeners and what protects them, the data directory, the
    central store's address, the webhook or the rate card.
    """
    return [
        *_refused(Protection.of, settings),
        *_refused(own_socket, settings),
        *_central(settings),
        *_refused(open_webhook, settings),
        *_rate_card(settings),
    ]


def _central(settings: Settings) -> Iterator[str]:
    try:
        parse_url(settings.central_url)
    except CentralMisconfigured as error:
        yield settings.problem("central", str(error))


def _refused(step: Callable[[Settings], object], settings: Settings) -> Iterator[str]:
    """The complaint of one step of the start, which names the setting itself."""
    try:
        step(settings)
    except StartupError as error:
        yield from error.problems


def _rate_card(settings: Settings) -> Iterator[str]:
    try:
        load_rate_card(settings.rate_card)
    except StartupError as error:
        yield from (settings.problem("rate_card", each) for each in error.problems)
