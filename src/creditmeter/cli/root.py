"""The command line without commands: what is common to all of them."""

import os
from pathlib import Path

import typer

from creditmeter import __version__
from creditmeter.cli.connection import use
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.screen import print_document, print_lines
from creditmeter.client.access import (
    CA_VARIABLE,
    CERT_VARIABLE,
    KEY_VARIABLE,
    SYSTEM,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Access,
)


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
    token: str | None = typer.Option(
        None,
        metavar="TOKEN",
        help=f"Who calls a sidecar. Others can read it here: better is {TOKEN_VARIABLE}",
        show_default=False,
    ),
    token_file: Path | None = typer.Option(
        None, metavar="FILE", help=f"The same, from a file. Environment: {TOKEN_FILE_VARIABLE}", show_default=False
    ),
    tls_server_ca: str | None = typer.Option(
        None, metavar="FILE", help=f"TLS: a sidecar's authorities, or {SYSTEM}. Environment: {CA_VARIABLE}", show_default=False
    ),
    tls_client_cert: str | None = typer.Option(
        None, metavar="FILE", help=f"TLS: the certificate to show. Environment: {CERT_VARIABLE}", show_default=False
    ),
    tls_client_key: str | None = typer.Option(
        None, metavar="FILE", help=f"TLS: its key. Environment: {KEY_VARIABLE}", show_default=False
    ),
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    given = {CA_VARIABLE: tls_server_ca, CERT_VARIABLE: tls_client_cert, KEY_VARIABLE: tls_client_key}
    try:
        use(Access.of(token, token_file, None, os.environ | {name: text for name, text in given.items() if text}))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if version:
        print_lines(f"creditmeter {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print_document(f"{context.get_help()}\n")
        raise typer.Exit(ExitCode.USAGE)
