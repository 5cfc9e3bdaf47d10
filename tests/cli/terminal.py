"""A terminal for tests: commands run on a pseudo-terminal, and a terminal emulator turns their bytes into what a person sees.

A command runs in a child that is forked from a process which has loaded the program and done nothing with it: that takes a
fraction of a fresh interpreter's start, and the child's stdin, stdout and stderr are the terminal.
"""

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import wait
from pathlib import Path

import pyte

from creditmeter.cli.main import run
from tests.cli.forking import ForkedProcess, take_streams

LINES = 400
"""As many lines of output a test can see: the terminal is so high, and nothing scrolls away."""

_CHUNK = 65_536
_MOST_SECONDS = 60
_SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Shown:
    """What was written to a terminal, and what is seen there. `code` is the command's exit code."""

    code: int
    written: bytes
    columns: int

    @property
    def screen(self) -> str:
        """What a person sees, without spaces at the ends of lines."""
        screen = pyte.Screen(self.columns, LINES)
        pyte.ByteStream(screen).feed(self.written)
        screen.lines = max(screen.buffer, default=0) + 1  # below there is nothing, which takes long to draw
        return "\n".join(line.rstrip() for line in screen.display).strip("\n") + "\n"

    @property
    def sequences(self) -> list[bytes]:
        """The escape sequences among what was written."""
        return _SEQUENCE.findall(self.written)

    @property
    def stray(self) -> list[bytes]:
        """Control characters that are neither a line's end nor part of a well-formed escape sequence."""
        return _CONTROL.findall(_SEQUENCE.sub(b"", self.written))


class Terminal:
    """A pseudo-terminal with so many columns."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))

    @property
    def name(self) -> str:
        """The path of the terminal's device."""
        return os.ttyname(self._slave)

    def read_until(self, sentinel: int) -> bytes:
        """What is written until the process of this sentinel has ended."""
        found = b""
        while True:
            ready = wait([self._master, sentinel])
            if self._master in ready:
                found += self.read()
            elif sentinel in ready:
                return found

    def read(self) -> bytes:
        """What was written since it was read last, once there is something."""
        return os.read(self._master, _CHUNK)

    def close(self) -> None:
        """Close the terminal: its processes get SIGHUP."""
        for each in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(each)


def on_terminal(
    columns: int,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    at: datetime | None = None,
    directory: Path | None = None,
) -> Shown:
    """Run a command on a terminal of its own. `at`: what it takes for the present moment, if not the clock's; `directory`:
    where it runs, if not here.
    """
    terminal = Terminal(columns)
    try:
        child = ForkedProcess(_perform, terminal.name, tuple(arguments), at, directory, dict(environment))
        written = terminal.read_until(child.sentinel)
        return Shown(child.wait(_MOST_SECONDS), written, columns)
    finally:
        terminal.close()


def _perform(
    terminal: str, arguments: Sequence[str], at: datetime | None, directory: Path | None, environment: dict[str, str]
) -> None:
    """In the child: take the terminal for one's own, and run the command."""
    os.chdir(directory or ".")
    os.setsid()
    opened = os.open(terminal, os.O_RDWR)
    take_streams(opened, opened, opened)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    os.environ.clear()
    os.environ.update(kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | environment)
    time.tzset()
    code = run(arguments) if at is None else run(arguments, lambda: at)
    sys.stdout.flush()
    sys.exit(code)
