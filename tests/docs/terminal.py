"""A shell on a pseudo-terminal, for pasting into: interactive bash without anybody's settings, 80 columns wide."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROWS, COLUMNS = 50, 80
MAX_TYPED_AHEAD = 4_000
"""As many bytes a terminal keeps while a command runs; what is pasted beyond them is lost, for people too."""
CLOSE_SECONDS = 15

_STATUS = re.compile("\x1e(\\d+)\x1e")
_END = "\x1d"


class NeverEndedError(Exception):
    """What was pasted did not come to its end in time. The message has what was printed."""


@dataclass(frozen=True)
class Printed:
    """What a pasted block printed, and the exit codes of its commands, in order. Those in the background have 0."""

    text: str
    codes: list[int]

    @property
    def lines(self) -> list[str]:
        """What was printed, without what is blank at the ends of lines."""
        return [line.strip() for line in self.text.splitlines()]


class Terminal:
    """A session. As a context manager it ends, with every job that is left in it, on exit."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        settings = termios.tcgetattr(slave)
        settings[3] &= ~termios.ECHO  # only what commands print is read back
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        # The leader of a session gets the first terminal that it opens; the prompt tells how the last command ended.
        self._shell = subprocess.Popen(
            ["bash", "-c", 'exec env PS1= PS2= bash --norc --noprofile --noediting -i <"$0" >"$0" 2>&1', os.ttyname(slave)],  # noqa: S607
            cwd=folder,
            env={**environment, "HISTFILE": "", "PROMPT_COMMAND": r"printf '\036%s\036' $?"},
            start_new_session=True,
        )
        self._slave = slave
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._unread = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write("\x03\nkill -9 $(jobs -p) 2>/dev/null; exit\n")
        with suppress(subprocess.TimeoutExpired):
            self._shell.wait(CLOSE_SECONDS)
        self._shell.kill()
        self._shell.wait()
        os.close(self._master)
        os.close(self._slave)

    def paste(self, text: str, seconds: float) -> Printed:
        """Type all lines at once, as pasting does, and wait until the last command ended.

        Raises:
            NeverEndedError: it did not within `seconds`: a command waits for input, or took what was pasted after it.
        """
        assert len(text.encode()) < MAX_TYPED_AHEAD, "too long to be pasted at once"
        self._write(f"{text.rstrip()}\nprintf '\\035'\n")
        printed = self._read_to_end(time.monotonic() + seconds)
        codes = [int(code) for code in _STATUS.findall(printed)]
        return Printed(_STATUS.sub("", printed).replace("\r\n", "\n"), codes)

    def _read_to_end(self, deadline: float) -> str:
        while _END not in self._unread:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise NeverEndedError(_STATUS.sub("", self._unread))
            self._unread += self._decoder.decode(os.read(self._master, 65_536))
        printed, _, self._unread = self._unread.partition(_END)
        return printed

    def _write(self, text: str) -> None:
        unsent = text.encode()
        while unsent:
            unsent = unsent[os.write(self._master, unsent) :]
