"""The command line: runs one command, and turns every error into one line and an exit code."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import typer

from creditmeter.cli.commands.serve import serve
from creditmeter.cli.exits import DEBUG, CommandFailed, ExitCode, internal_error
from creditmeter.cli.help_texts import command_of
from creditmeter.cli.root import new_app
from creditmeter.cli.screen import say, terminal_is_closed
from creditmeter.cli.times import Clock, by_clock, system_clock

INTERRUPTED = 128 + 2
"""Exit code after Ctrl-C, as in a shell."""

HUNG_UP = 128 + signal.SIGHUP
"""Exit code after the terminal was closed, as in a shell."""

serving = new_app()
"""The command line with `serve` alone: a sidecar that runs for months need not keep all other commands in memory."""

serving.command("serve")(serve)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors="backslashreplace")  # an output that is not UTF-8 cannot show every label
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:  # the reader of the output has closed the pipe
        code = ExitCode.FAILED
    sys.exit(_when_written(code))


def _when_written(code: int) -> int:
    """The exit code after all output is flushed. If that fails, a code of 0 becomes that of a failure; any other code stays."""
    for out in (sys.stdout, sys.stderr):
        try:
            out.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # the interpreter flushes the rest at its end
            code = code or _not_written(error)
    return code


def _not_written(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return ExitCode.FAILED
    if terminal_is_closed():
        return HUNG_UP
    return _say(f"the output cannot be written: {error.strerror}", ExitCode.FAILED)


def run(arguments: Sequence[str], clock: Clock = system_clock) -> int:
    """Run one command and return its exit code. An error is one line on stderr, never a traceback.

    `clock` gives the present moment, for times of today and for how long ago something was.
    """
    with by_clock(clock):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        result = command_of(_app(arguments)).main(args=list(arguments), prog_name="creditmeter", standalone_mode=False)
    except CommandFailed as failure:
        return _say(str(failure), failure.exit_code)
    except typer.TyperException as error:
        return _say(" ".join(error.format_message().split()), error.exit_code)
    except typer.Abort:
        return _say("interrupted", INTERRUPTED)
    except Exception as error:
        if os.environ.get(DEBUG) or isinstance(error, BrokenPipeError):
            raise
        if isinstance(error, OSError) and terminal_is_closed():
            return HUNG_UP
        if isinstance(error, UnicodeEncodeError) and _was_typed(error, arguments):
            return _say("what was typed is not UTF-8", ExitCode.USAGE)
        return _say(internal_error(error), ExitCode.FAILED)
    return result if isinstance(result, int) else ExitCode.OK


def _app(arguments: Sequence[str]) -> typer.Typer:
    if arguments[:1] == ["serve"]:
        return serving
    from creditmeter.cli.all_commands import app  # noqa: PLC0415 - see `serving`

    return app


def _was_typed(error: UnicodeEncodeError, arguments: Sequence[str]) -> bool:
    """Whether the text that cannot be encoded was typed. Python reads bytes that are not UTF-8 as lone surrogates."""
    return any(error.object[error.start : error.end] in each for each in arguments)


def _say(message: str, code: int) -> int:
    """Print why a command failed, and return its exit code. It is no error if stderr is closed."""
    with contextlib.suppress(OSError):
        say(f"creditmeter: {message}")
    return code
