"""`creditmeter serve`: runs a sidecar until it is asked to stop."""

import gc
import sys

import typer

from creditmeter.cli.connection import load_settings
from creditmeter.cli.exits import CommandFailed
from creditmeter.cli.setting_options import ConfigFile, takes_settings
from creditmeter.server.exits import StartupError


@takes_settings
def serve(config: ConfigFile = None, **given: object) -> None:
    """Run a sidecar. SIGTERM, Ctrl-C or a closed terminal stops it once everything is settled.

    When it is ready it prints one line of JSON with the addresses it listens on.

    The command line comes before the environment, and that before the TOML file, whose keys are the options' with underscores.

    A TIME is a number of seconds or text such as 250ms or 1h30m. `creditmeter config show` says which settings hold.
    """
    settings = load_settings(config, **given)
    gc.disable()  # a tenth of a start would be spent on looking for garbage where there is none; `app.serve` enables it
    try:
        _load_log()
        from creditmeter.server import app  # noqa: PLC0415 - the other commands do not load a server

        code = app.serve(settings)
    except StartupError as error:
        raise CommandFailed(str(error), error.exit_code) from error
    finally:
        gc.enable()
    raise typer.Exit(code)


def _load_log() -> None:
    """Import structlog without Rich. It would take that for logs in colour, and keep 4 MB for them; a sidecar logs JSON.

    None in `sys.modules` says that there is no such module: https://docs.python.org/3/reference/import.html#the-module-cache
    """
    rich = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]  # see above
    try:
        import structlog  # noqa: F401, PLC0415 - see above
    finally:
        del sys.modules["rich"]
        if rich is not None:
            sys.modules["rich"] = rich
