"""`creditmeter serve`: run a sidecar until it is told to stop."""

from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.connection import load_settings
from creditmeter.cli.exits import CommandFailed
from creditmeter.cli.options import Central, DataDir


def serve(
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR", help="host:port (port 0: any free one) or unix:/path. May be given several times."),
    ] = None,
    data_dir: DataDir = None,
    central: Central = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file with settings.", show_default=False)] = None,
    rate_card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The price list, instead of the one in the package.")
    ] = None,
    enable_admin: Annotated[bool, typer.Option("--enable-admin", help="Serve AdminService too.")] = False,
    metrics_listen: Annotated[
        str | None, typer.Option(metavar="ADDR", help="Show metrics for Prometheus at http://host:port/metrics.")
    ] = None,
) -> None:
    """Run a sidecar. SIGTERM or Ctrl-C stops it once everything is settled.

    When it is ready it prints one line of JSON with the addresses it listens on.
    """
    from creditmeter.server import app  # noqa: PLC0415 - the other commands do not load a server

    settings = load_settings(
        config,
        listen=tuple(listen) if listen else None,
        data_dir=data_dir,
        central=central,
        rate_card=rate_card,
        enable_admin=enable_admin or None,
        metrics_listen=metrics_listen,
    )
    try:
        code = app.serve(settings)
    except app.StartupError as error:
        raise CommandFailed(str(error), error.exit_code) from error
    raise typer.Exit(code)
