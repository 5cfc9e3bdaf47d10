"""A command that has started something ends in order, however it is told to: what it began is undone on the way out."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from creditmeter.cli.exits import CommandFailed

_Result = TypeVar("_Result")

_TOLD = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}


def run_to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run some work. Ctrl-C, SIGTERM and the end of the terminal cancel it, so that its `finally` blocks are run; a signal that
    whoever started the command has it ignore, as `nohup` does, is ignored.

    Raises:
        CommandFailed: it was cancelled so. The exit code is what a shell says of a process that the signal ended.
    """
    return asyncio.run(_cancelled_by_signals(work))


async def _cancelled_by_signals(work: Coroutine[Any, Any, _Result]) -> _Result:
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None, "asyncio runs it in a task"
    came: list[signal.Signals] = []

    def on(number: signal.Signals) -> None:
        if not came:  # what is undone at the first one is not interrupted by a second one
            this.cancel()
        came.append(number)

    for number in _TOLD:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on, number)
    try:
        return await work
    except asyncio.CancelledError:
        if not came:
            raise
        raise CommandFailed(_TOLD[came[0]], 128 + came[0]) from None
