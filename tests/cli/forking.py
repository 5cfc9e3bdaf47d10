"""Processes that are forked from one which has loaded the program and done nothing with it: that takes a fraction of a fresh
interpreter's start. What it has loaded is in `tests/cli/loaded.py`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from creditmeter.cli.main import main

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.cli.loaded"])

_ONE_AT_A_TIME = threading.Lock()
"""Of two threads that ask for the end of a child at once, which starting one does too, only one would be given its code."""


class ForkedProcess:
    """A function that runs in a process of its own; what still runs when this process ends is sent SIGTERM."""

    def __init__(self, target: Callable[..., object], *arguments: object) -> None:
        self._process = FORKING.Process(target=target, args=arguments, daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.sentinel = self._process.sentinel

    def poll(self) -> int | None:
        """Its exit code, below zero the signal that ended it; None while it runs."""
        with _ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutError: it still runs after so many seconds.
        """
        wait([self.sentinel], seconds)
        code = self.poll()
        if code is None:
            raise TimeoutError(f"process {self.pid} still runs after {seconds} s")
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkedCommand(ForkedProcess):
    """The command line with these arguments, in a process of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any],
        stderr: int | IO[Any],
        lead: Callable[[], object] | None = None,
    ) -> None:
        """`lead` is run first: it may make the process the leader of a group or of a session."""
        with Path(os.devnull).open() as nothing:
            given = [nothing if each == subprocess.DEVNULL else each for each in (stdin, stdout, stderr)]
            streams = [_Stream(each if isinstance(each, int) else each.fileno()) for each in given]
            super().__init__(_perform, tuple(arguments), dict(environment), str(Path.cwd()), streams, lead)


class _Stream:
    """An open file, which stays open on its way to a child."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Callable[[Any], "_Stream"], tuple[Any]]:
        return _arrived, (DupFd(self.number),)


def _arrived(stream: Any) -> _Stream:
    return _Stream(stream.detach())


def _perform(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    streams: Sequence[_Stream],
    lead: Callable[[], object] | None,
) -> None:
    """In the child: take these streams for one's own, and run the command."""
    os.chdir(directory)
    if lead is not None:
        lead()
    take_streams(*(each.number for each in streams), line_by_line="PYTHONUNBUFFERED" in environment)
    for each in streams:
        os.close(each.number)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["creditmeter", *arguments]
    main()


def take_streams(stdin: int, stdout: int, stderr: int, *, line_by_line: bool = False) -> None:
    """In a child: read from and write to these open files from now on. `line_by_line`: what is printed is written at once,
    and not only when there is much of it.
    """
    for number, stream in enumerate((stdin, stdout, stderr)):
        os.dup2(stream, number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = open(1, "w", 1 if line_by_line else -1, encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
