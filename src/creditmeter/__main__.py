"""The program: the commands, where the packages that they need are installed; else one line that says what to do.

The package brings what the client needs. The commands need the extra `server` too, and Python 3.11. So this module, and what it
imports before it knows that they are there, stands on the standard library of Python 3.10.
"""

import contextlib
import os
import platform
import sys
from importlib.util import find_spec
from typing import NoReturn

from creditmeter.cli.exits import DEBUG, ExitCode, internal_error

NEEDED = (
    "aiosqlite",
    "alembic",
    "asyncpg",
    "genai_prices",
    "grpc_channelz",
    "grpc_health",
    "grpc_reflection",
    "grpc_status",
    "httpx2",
    "msgspec",
    "prometheus_client",
    "rich",
    "sortedcontainers",
    "sqlalchemy",
    "structlog",
    "typer",
)
"""The modules that the extra `server` installs, but for those that the sidecar can do without (tzdata and uvloop)."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.version_info < (3, 11):
        _fail(f"the sidecar needs Python 3.11 or newer; this is Python {platform.python_version()}", ExitCode.CANNOT_START)
    else:
        if not all(map(find_spec, NEEDED)):
            _fail("the sidecar is not installed: pip install 'creditmeter[server]'", ExitCode.CANNOT_START)
        try:
            from creditmeter.cli.main import main as run_commands  # noqa: PLC0415 - only where all that it needs is there
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            _fail(internal_error(error), ExitCode.FAILED)
        run_commands()


def _fail(message: str, code: int) -> NoReturn:
    """Print why no command can be run, and end the process. It is no error if stderr is closed."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"creditmeter: {' '.join(message.split())}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
