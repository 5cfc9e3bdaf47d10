"""An option for each setting, made from `Settings`. Typed values are parsed there, as those of all other sources."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from creditmeter.server.setting_sources import CONFIG_VARIABLE
from creditmeter.server.settings_reference import Described, described

ConfigFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=f"A TOML file with settings (environment: {CONFIG_VARIABLE}).", show_default=False),
]


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes `**given` an option for each setting; those that were not typed are None."""
    own = [each for each in inspect.signature(command).parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = inspect.Signature([*own, *_options()])  # type: ignore[attr-defined]  # what inspect looks for first
    return command


def _options() -> Iterator[inspect.Parameter]:
    for each in described():
        option = typer.Option(None, *_names(each), metavar=each.metavar or None, help=_help(each), show_default=False)
        yield inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=_type(each))


def _type(setting: Described) -> Any:
    if not setting.metavar:
        return bool | None
    return list[str] | None if setting.is_list else str | None


def _names(setting: Described) -> tuple[str, ...]:
    if setting.metavar:
        return (setting.option,)
    return (f"{setting.option}/--no-{setting.option.removeprefix('--')}",)


def _help(setting: Described) -> str:
    return f"{setting.meaning} Default: {setting.default}. Environment: {setting.environment}"
