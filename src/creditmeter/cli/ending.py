"""Runs a command so that a signal cancels it in order: what it started is stopped on the way out."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from creditmeter.cli.exits import CommandFailed

_Result = TypeVar("_Result")

_COMPLAINTS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}


def run_to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run some work. Ctrl-C, SIGTERM and the end of the terminal cancel it, so that its `finally` blocks are run.

    A signal that was set to be ignored when the command started, as `nohup` does, stays ignored.

    Raises:
        CommandFailed: a signal cancelled it. The exit code is 128 plus the number of the signal, as in a shell.
    """
    return asyncio.run(_cancelled_by_signals(work))


async def _cancelled_by_signals(work: Coroutine[Any, Any, _Result]) -> _Result:
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None, "asyncio runs it in a task"
    came: list[signal.Signals] = []

    def on(number: signal.Signals) -> None:
        if not came:  # a second signal does not interrupt the clean-up
            this.cancel()
        came.append(number)

    for number in _COMPLAINTS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on, number)
    try:
        return await work
    except asyncio.CancelledError:
        if not came:
            raise
        raise CommandFailed(_COMPLAINTS[came[0]], 128 + came[0]) from None
