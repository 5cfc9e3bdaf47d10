"""The sidecar that is called: `creditmeter serve`, a process of its own, with everything enabled and an access file."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.cli.forking import ForkedCommand
from tests.cli.processes import environment

STOP_SECONDS = 60
KIBIBYTE = 1024
_SETTINGS = {"CREDITMETER_SETTLE_INTERVAL": "0.05", "CREDITMETER_SHUTDOWN_GRACE": "1"}
_OF_GRPC = "Invalid encoding on b"
"""What gRPC logs by itself of each header that is no text, before the sidecar sees the call."""

_BAD_LEVELS = ("error", "critical")


class Sidecar:
    """One sidecar, which may be started again on the same data."""

    def __init__(self, data_dir: Path, central: str, access_file: Path) -> None:
        self.central = central
        self._log = data_dir / "log.jsonl"
        self._read = 0
        self.socket = f"unix:{data_dir / 'creditmeter.sock'}"
        self.network = ""
        self._process: ForkedCommand | None = None
        self._arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--central", central]
        self._arguments += ["--enable-admin", "--channelz", "--access-file", str(access_file)]

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        reading, writing = os.pipe()
        with self._log.open("ab") as log, os.fdopen(writing, "wb") as out:
            self._process = ForkedCommand(self._arguments, environment(**_SETTINGS), stdout=out, stderr=log)
        with os.fdopen(reading) as said:
            line = said.readline()
        assert line, f"it did not start: {self._log.read_text()[-2_000:]}"
        self.network = next(each for each in json.loads(line)["addresses"] if not each.startswith("unix:"))

    def stop(self) -> int:
        """Stop it in order; returns its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(STOP_SECONDS)
        self._process = None
        return code

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    @property
    def ended_with(self) -> int | None:
        """The exit code with which it ended by itself; None if it did not."""
        return None if self._process is None else self._process.poll()

    @property
    def memory(self) -> int:
        """Its resident memory, in bytes."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return KIBIBYTE * int(status.partition("VmRSS:")[2].split()[0])

    def complaints(self) -> Iterator[str]:
        """What it logged of errors since this was asked last, a line each, and what is no line of its log: a traceback."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
            self._read = log.tell()
        for line in text.decode(errors="replace").splitlines():
            try:
                logged = json.loads(line)
            except ValueError:
                yield line
                continue
            if str(logged.get("event")).startswith(_OF_GRPC):
                continue
            if logged.get("level") in _BAD_LEVELS or "exception" in logged:
                yield line
