"""How the program ends: its exit codes, and the error that keeps it from starting."""

from collections.abc import Sequence

# Exit codes; docs/cli.md lists them with those of the other commands.
OK = 0
FAILED = 1
MISUNDERSTOOD = 2
UNSETTLED = 3
CANNOT_START = 4
DAMAGED = 5
FENCED = 8


class StartupError(Exception):
    """The program cannot start; the message is for an operator.

    `problems` are the single problems, if there are several; else the message alone.
    """

    def __init__(self, message: str, exit_code: int = CANNOT_START, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.problems = problems or (message,)
