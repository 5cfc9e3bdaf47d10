"""`creditmeter config`: the settings in use and their sources, and whether a sidecar can use them."""

from pathlib import Path

import typer

from creditmeter.cli.connection import load_settings
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.options import AsJson
from creditmeter.cli.output import print_json
from creditmeter.cli.screen import print_lines, print_table, say, table
from creditmeter.cli.setting_options import ConfigFile, takes_settings
from creditmeter.server.config import ConfigError, Settings
from creditmeter.server.settings_reference import described, plain_in_use, text_in_use

commands = typer.Typer(help="Show and check the settings of a sidecar.")


@commands.command()
@takes_settings
def show(config: ConfigFile = None, as_json: AsJson = False, **given: object) -> None:
    """Show every setting: its value as `serve` would use it, and where that comes from. Secrets are masked."""
    settings = load_settings(config, **given)
    if as_json:
        print_json({"settings": [_document(settings, each.name) for each in described()]})
        return
    shown = table("setting", "value", "from")
    for each in described():
        shown.add_row(each.name, text_in_use(settings, each.name), settings.origin(each.name))
    print_table(shown)


@commands.command()
@takes_settings
def check(config: ConfigFile = None, **given: object) -> None:
    """Say what is wrong with the settings: each problem in a line, and exit code 2. Nothing is connected to or changed."""
    problems = _problems(config, given)
    for each in problems:
        say(f"creditmeter: {each}")
    if problems:
        raise typer.Exit(ExitCode.USAGE)
    print_lines("the settings can be used")


def _document(settings: Settings, name: str) -> dict[str, object]:
    return {"setting": name, "value": plain_in_use(settings, name), "from": settings.origin(name)}


def _problems(config: Path | None, given: dict[str, object]) -> list[str]:
    from creditmeter.server.checking import misused  # noqa: PLC0415 - the other commands do not load a server

    try:
        settings = Settings.load(config, **given)
    except ConfigError as error:
        return list(error.problems)
    return misused(settings)
