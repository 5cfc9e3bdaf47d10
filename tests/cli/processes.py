"""Real processes for the tests of the command line."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.forking import ForkedCommand

COMMAND = (sys.executable, "-m", "creditmeter")
STOP_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that a command says when it fails."""
        assert "Traceback" not in self.out + self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def environment(**more: str) -> dict[str, str]:
    """The environment without any settings of this program."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CREDITMETER_")} | more


def run_process(*arguments: str, **more: str) -> Ended:
    """Run a command as a process of its own; `more` is added to its environment."""
    ended = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, env=environment(**more), timeout=110
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def run_forked(*arguments: str, **more: str) -> Ended:
    """Run a command as `run_process` does, all but the start of its interpreter."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = ForkedCommand(arguments, environment(**more), stdout=out, stderr=err)
        try:
            code = child.wait(110)
        finally:
            child.send_signal(signal.SIGKILL)
        assert code >= 0, f"it was ended by signal {-code}"
        return Ended(code, *(os.pread(each.fileno(), os.fstat(each.fileno()).st_size, 0).decode() for each in (out, err)))


class SidecarProcess:
    """`creditmeter serve` in a process of its own. It may be killed and started again on the same directory and socket.

    `settings` go by the environment, by their names. `log` is what it logged, once it has ended. A process begins with
    `lead`.
    """

    def __init__(self, data_dir: Path, *options: str, **settings: float | str) -> None:
        self.data_dir = data_dir
        self.lead: Callable[[], object] | None = None
        self.addresses: Sequence[str] = ()
        self.ready: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        self._options = options
        self._settings = {"CREDITMETER_SHUTDOWN_GRACE": "10"}
        self._settings |= {f"CREDITMETER_{name.upper()}": str(value) for name, value in settings.items()}
        self._process: ForkedCommand | None = None

    @property
    def address(self) -> str:
        """Its own socket."""
        return f"unix:{self.data_dir / 'creditmeter.sock'}"

    @property
    def central(self) -> str:
        """Its central store."""
        return f"sqlite:///{self.data_dir / 'central.db'}"

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        listen = ("--listen", "127.0.0.1:0", "--data-dir", str(self.data_dir))
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the process has ended
        reading, writing = os.pipe()
        self._out = os.fdopen(reading)
        try:
            self._process = ForkedCommand(
                ("serve", *listen, *self._options),
                environment(**self._settings),
                stdout=writing,
                stderr=self._said,
                lead=self.lead,
            )
        finally:
            os.close(writing)
        line = self._out.readline()
        if not line:
            self._out.close()
            self._process = None
            raise AssertionError(f"it did not start: {self._take_errors()[-2_000:]}")
        self.ready = json.loads(line)
        self.addresses = self.ready["addresses"]

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Stop it in order; returns its exit code."""
        return self._end(signal.SIGTERM)

    def tell_to_stop(self) -> None:
        """Send SIGTERM, and do not wait."""
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """Have it do nothing until it is resumed or killed."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends by itself; returns its exit code."""
        assert self._process is not None
        code = self._process.wait(STOP_SECONDS)
        self._out.close()
        self._process = None
        self.log = [json.loads(line) for line in self._take_errors().splitlines() if line.startswith("{")]
        return code

    def _take_errors(self) -> str:
        """What it wrote to stderr, at the end of its life."""
        with self._said as said:
            said.seek(0)
            return said.read().decode()

    def _end(self, number: signal.Signals) -> int:
        self._signal(number)
        return self.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended by the test."""
        return self._process is not None


@contextmanager
def sidecar_process(*options: str) -> Iterator[SidecarProcess]:
    """A running sidecar on a directory of its own, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        process = SidecarProcess(Path(directory), *options)
        process.start()
        try:
            yield process
        finally:
            if process.is_running:
                process.stop()
