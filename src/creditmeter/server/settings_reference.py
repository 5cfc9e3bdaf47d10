"""Descriptions of all settings: for the help, for docs/operation.md, and with the values in use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from creditmeter.central.engine.faults import CentralMisconfigured
from creditmeter.server.config import Settings
from creditmeter.server.setting_sources import environment_name, option_name
from creditmeter.server.setting_values import HIDDEN, as_text


@dataclass(frozen=True, slots=True)
class Described:
    """A setting: its names, the metavar of its option (empty for a flag), its default as text, and its meaning."""

    name: str
    option: str
    environment: str
    metavar: str
    default: str
    meaning: str
    is_list: bool


def described() -> Iterator[Described]:
    """All settings, in the order in which they are shown."""
    for name, each in Settings.known().items():
        yield Described(
            name,
            option_name(name),
            environment_name(name),
            each.words.metavar,
            _shown(name, each.default) or each.words.without,
            each.words.meaning,
            each.is_list,
        )


def text_in_use(settings: Settings, name: str) -> str:
    """The value of a setting in use, as text. Secrets are masked."""
    value = plain_in_use(settings, name)
    return value if isinstance(value, str) else _shown(name, getattr(settings, name)) or _without(name)


def plain_in_use(settings: Settings, name: str) -> Any:
    """The value of a setting in use, for JSON. Durations are in seconds; secrets are masked."""
    value = getattr(settings, name)
    if name == "central":
        return without_password(settings.central_url)
    if name == "alert_webhook_url" and value:
        return _host_of(value)
    if name == "data_dir":
        return str(value.absolute())
    if isinstance(value, tuple):
        return [as_text(each) for each in value]
    if isinstance(value, bool | int | float) and not _is_mode(name):
        return value
    return _shown(name, value) or None


def markdown_table() -> str:
    """The table of settings in docs/operation.md."""
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for each in described():
        default = each.default if " " in each.default or each.default == "none" else f"`{each.default}`"
        lines.append(f"| `{each.name}` | {default} | {each.meaning} |")
    return "\n".join(lines)


def _shown(name: str, value: Any) -> str:
    if _is_mode(name):
        return f"{value:04o}"
    return as_text(value)


def _is_mode(name: str) -> bool:
    return Settings.known()[name].words.metavar == "MODE"


def _without(name: str) -> str:
    return Settings.known()[name].words.without


def without_password(url: str) -> str:
    """The central store's address without its password. An address that cannot be parsed is masked as a whole."""
    from creditmeter.central.engine.database import parse_url, shown_address  # noqa: PLC0415 - slow to load

    try:
        return shown_address(parse_url(url))
    except CentralMisconfigured:
        return HIDDEN


def _host_of(url: str) -> str:
    """The scheme and host of a webhook's address. Every other part may contain a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"
