"""A sidecar of the command's own: `creditmeter serve` as a child process, on a socket in a temporary directory.

It is a real sidecar with a journal and a central store on disk. It does not read settings from the environment.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from creditmeter.cli.exits import CommandFailed, ExitCode

READY_SECONDS = 60
"""Longest start, in seconds. The first start makes the tables of the central store."""

STOP_SECONDS = 30
"""Longest stop, in seconds: more than the server's own grace."""

_KEPT_LINES = 20
_LONGEST_LINE = 1024 * 1024
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Place:
    """The files of a child sidecar, its central store, and the socket that it listens on."""

    data_dir: Path
    central: str
    address: str


@contextlib.contextmanager
def temporary_place(data_dir: Path | None = None, central: str | None = None) -> Any:
    """A place in a temporary directory, except for what is given. The directory is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="creditmeter-") as directory:
        files = (data_dir or Path(directory) / "data").absolute()
        yield Place(files, central or f"sqlite:///{files / 'central.db'}", f"unix:{directory}/sidecar.sock")


class OwnSidecar:
    """The child process. Once it has stopped, `exit_code` tells whether everything was settled."""

    def __init__(self, place: Place, process: asyncio.subprocess.Process) -> None:
        self.place = place
        self.exit_code: int | None = None
        self._process = process
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reading = asyncio.create_task(self._read_errors())

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, place: Place) -> AsyncIterator["OwnSidecar"]:
        """Start a sidecar and wait until it is ready. It is stopped when the block ends.

        Raises:
            CommandFailed: it did not start. The message is the last line of its log.
        """
        child = cls(place, await _spawn(place))
        try:
            await child._ready()
            yield child
        finally:
            await child.stop()

    @property
    def process_id(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def while_running(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do some work as long as the sidecar runs.

        Raises:
            CommandFailed: the sidecar ended first.
        """
        doing = asyncio.create_task(work)
        ending = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({doing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise CommandFailed(f"the sidecar ended in the middle: {await self._last_words()}")
            return doing.result()
        finally:
            doing.cancel()
            ending.cancel()
            await asyncio.gather(doing, ending, return_exceptions=True)

    async def stop(self) -> int:
        """Stop the sidecar with SIGTERM or, if it does not end in time, with SIGKILL. Returns its exit code."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
            self.exit_code = await self._process.wait()
            await self._reading
        return self.exit_code

    async def _ready(self) -> None:
        assert self._process.stdout is not None, "the child's output is piped"
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise CommandFailed(f"the sidecar was not ready within {READY_SECONDS} s", ExitCode.CANNOT_START) from None
        if not line:
            code = await self._process.wait()
            raise CommandFailed(f"the sidecar did not start: {await self._last_words()}", code or ExitCode.CANNOT_START)
        assert json.loads(line)["event"] == "ready", "the first line of a sidecar says that it is ready"

    async def _last_words(self) -> str:
        await self._reading
        line = self._last_lines[-1] if self._last_lines else "it said nothing"
        return line.removeprefix("creditmeter: ")

    async def _read_errors(self) -> None:
        """Read its log, so that the pipe never fills up, and keep the last lines."""
        assert self._process.stderr is not None, "the child's log is piped"
        async for line in self._process.stderr:
            self._last_lines.append(line.decode(errors="replace").rstrip())


async def _spawn(place: Place) -> asyncio.subprocess.Process:
    """Start the sidecar. The central store's address may have a password, which is not for the list of processes."""
    arguments = ["--listen", place.address, "--data-dir", str(place.data_dir)]
    others = {name: value for name, value in os.environ.items() if not name.startswith("CREDITMETER_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "creditmeter", "serve", "--enable-admin", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        env=others | {"CREDITMETER_CENTRAL": place.central},
    )
