"""The command line without commands: what is common to all of them."""

import typer

from creditmeter import __version__
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.screen import print_document, print_lines


def new_app() -> typer.Typer:
    """A command line that has no commands yet."""
    app = typer.Typer(
        name="creditmeter",
        help="Meters AI credits: reserve before a call, commit what it used, never overspend.",
        rich_markup_mode=None,  # its tables cut what is wider than their columns
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback(invoke_without_command=True)(_root)
    return app


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    if version:
        print_lines(f"creditmeter {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print_document(f"{context.get_help()}\n")
        raise typer.Exit(ExitCode.USAGE)
