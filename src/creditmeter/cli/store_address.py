"""The address of a central store that is to be read."""

from pathlib import Path

from creditmeter.central.engine.faults import CentralMisconfigured
from creditmeter.cli.exits import CommandFailed, ExitCode


def check_address(url: str) -> None:
    """Check that a SQLite store exists. Otherwise a mistyped path would become a new, empty store, and be reported as clean.

    Raises:
        CommandFailed: it does not exist, or the address is wrong.
    """
    from creditmeter.central.engine.database import parse_url  # noqa: PLC0415 - most commands need no database

    try:
        parsed = parse_url(url)
    except CentralMisconfigured as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    if parsed.get_backend_name() != "sqlite":
        return
    try:
        is_there = Path(parsed.database or "").is_file()
    except OSError as error:
        raise CommandFailed(f"{parsed.database} cannot be read: {error.strerror}", ExitCode.UNREACHABLE) from error
    if not is_there:
        raise CommandFailed(f"there is no central store at {parsed.database}", ExitCode.UNREACHABLE)
