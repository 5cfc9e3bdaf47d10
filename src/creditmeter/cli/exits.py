"""How a command ends: an exit code, and one line on stderr if it is not 0. docs/cli.md lists the codes."""

from enum import IntEnum

DEBUG = "CREDITMETER_DEBUG"
"""The environment variable with which an internal error shows its traceback."""


class ExitCode(IntEnum):
    """The exit codes of commands. A command that was interrupted has 130."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNSETTLED = 3
    CANNOT_START = 4
    DAMAGED = 5
    NOT_CLEAN = 6
    UNREACHABLE = 7
    FENCED = 8


class CommandFailed(Exception):
    """A command failed. The message is one line for its operator."""

    def __init__(self, message: str, exit_code: int = ExitCode.FAILED) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code


def internal_error(error: Exception) -> str:
    """What is said of a fault of the program itself."""
    return f"an internal error ({DEBUG}=1 shows where): {type(error).__name__}: {error}"
