"""What a sidecar takes after very many operations: memory, disk, bytes written, processor time when idle, and time to start.

An operation is a Reserve or a Commit. Callers in the process of the sidecar use its meter directly, so that a million of them
take minutes. Each pair of a Reserve and a Commit is on the next one of the accounts. In the end there are open reservations
beside all that has ended; then the process is killed, and another one starts on its journal.

What a sidecar takes when nobody calls it is measured on `creditmeter serve` itself, as it is installed: with its bytecode.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
STEPS = 10
CALLERS = 32
MEBIBYTE = 1024 * 1024
KIBIBYTE = 1024


@dataclass(frozen=True)
class Bound:
    """What a figure is to be at most, and from where on the run fails: a busy or slow machine may miss a target of time, and a
    target that was never reached must not get any further away.
    """

    target: float
    limit: float
    unit: str


IDLE_MEMORY = Bound(90, 94, "MiB")
"""Of `creditmeter serve`, a while after it was ready. It depends on what is imported, and little on the machine."""

MORE_MEMORY = Bound(40, 40, "MiB")
"""Above what an idle process takes, after all operations."""

GROWTH = Bound(8, 8, "MiB")
"""Between a fifth of the operations and all, if these are so many that nothing is made for the first time in between."""

PAIR_BYTES = Bound(1.2, 1.2, "KiB")
"""Of the journal, for a pair of operations."""

WRITTEN = {"postgresql": Bound(6, 6, "KiB"), "sqlite": Bound(20, 20, "KiB")}
"""What goes to the disk for an operation: of the sidecar alone, and with the embedded central store."""

IDLE_PROCESSOR = Bound(0.005, 0.05, "")
START_SECONDS = Bound(2, 8, "s")
START_MEMORY = Bound(60, 60, "MiB")
"""Above what an idle process takes, after a start on a journal with all of this in it."""

SETTLED_SECONDS = 8
RESTING_SECONDS = 20
"""How long an idle process is watched, after what its start leaves to do."""

MANY = 500_000
"""From so many operations on, growth is held against its limit."""


class Soaked:
    """A process with a sidecar and its callers."""

    def __init__(self, data_dir: Path, central: str, accounts: int) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmarks.soaked", str(data_dir), central, str(accounts)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=installed(data_dir), text=True
        )
        self.started = self._answer()
        self.start_seconds = time.monotonic() - began

    def ask(self, command: str) -> dict[str, float]:
        """Have it do something. Returns what it has used then."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process ended"
        found: dict[str, float] = json.loads(line)
        return found

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Served:
    """`creditmeter serve`, as a process."""

    def __init__(self, data_dir: Path, central: str) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "creditmeter", "serve", "--listen", "127.0.0.1:0", "--log-level", "error"]
        command += ["--data-dir", str(data_dir), "--central", central]
        self._process = subprocess.Popen(command, cwd=ROOT, env=installed(data_dir), stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "it did not start"
        self.start_seconds = time.monotonic() - began

    @property
    def memory(self) -> int:
        """Its resident memory, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return KIBIBYTE * int(status.partition("VmRSS:")[2].split()[0])

    @property
    def processor_seconds(self) -> float:
        """What it has used of a processor so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def installed(data_dir: Path) -> dict[str, str]:
    """The environment of a program whose bytecode was compiled, as pip does, whatever this environment says of that."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return ours | {"PYTHONPYCACHEPREFIX": f"{data_dir}-bytecode"}


class Findings:
    """What was measured against its targets."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, what: str, found: float, bound: Bound) -> None:
        """Print a figure, and whether it is within its bounds."""
        verdict = "" if found <= bound.target else "   target missed"
        if found > bound.limit:
            verdict = f"   ABOVE {bound.limit:g}"
            self.missed.append(what)
        print(f"{what:<48}{found:>10.3f} {bound.unit:<4} target {bound.target:g}{verdict}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found. Returns 1 if a limit was passed."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--operations", type=int, default=1_000_000, metavar="N", help="how many in all (1000000)")
    parser.add_argument("--holds", type=int, default=10_000, metavar="N", help="reservations that are open in the end (10000)")
    parser.add_argument("--accounts", type=int, default=100, metavar="N", help="on which they are, in turn (100)")
    parser.add_argument("--central", choices=sorted(WRITTEN), default="postgresql", help="the central store (postgresql)")
    given = parser.parse_args(arguments)
    findings = Findings()
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm"))) / "data"
        data_dir.mkdir()
        url = f"sqlite:///{data_dir / 'central.db'}"
        if given.central == "postgresql":
            url = stack.enter_context(PostgresServer()).create_database()
        _soak(findings, data_dir, url, given)
    print(f"limits passed: {', '.join(findings.missed)}" if findings.missed else "within all limits")
    return 1 if findings.missed else 0


def _soak(findings: Findings, data_dir: Path, url: str, given: argparse.Namespace) -> None:
    with Soaked(data_dir, url, given.accounts) as soaked:
        soaked.ask("accounts")
    with Served(data_dir, url):
        pass  # its bytecode is there from here on
    _rest(findings, data_dir, url)
    with Soaked(data_dir, url, given.accounts) as soaked:
        soaked.ask("pairs 200 1")
        idle = soaked.ask("idle 2")
        _load(findings, soaked, idle, given)
        soaked.ask(f"hold {given.holds} {CALLERS}")
    with Served(data_dir, url) as served:
        findings.check("start until it serves, as a process", served.start_seconds, START_SECONDS)
    with Soaked(data_dir, url, given.accounts) as soaked:
        findings.check("of that, after Python has loaded the program", soaked.started["seconds"], START_SECONDS)
        more = (soaked.started["memory"] - idle["memory"]) / MEBIBYTE
        findings.check("memory after a start, above idle", more, START_MEMORY)


def _rest(findings: Findings, data_dir: Path, url: str) -> None:
    """Hold what a process takes that nobody calls against the targets."""
    with Served(data_dir, url) as served:
        time.sleep(SETTLED_SECONDS)
        findings.check("memory of an idle process", served.memory / MEBIBYTE, IDLE_MEMORY)
        before, began = served.processor_seconds, time.monotonic()
        time.sleep(RESTING_SECONDS)
        share = (served.processor_seconds - before) / (time.monotonic() - began)
        findings.check("processor time when idle, of a core", share, IDLE_PROCESSOR)


def _load(findings: Findings, soaked: Soaked, idle: dict[str, float], given: argparse.Namespace) -> None:
    """Make all operations, and hold what they took against the targets."""
    each = given.operations // 2 // STEPS
    early = idle
    print("operations  a second  memory above idle  journal, bytes in use a pair  written, KiB an operation", flush=True)
    before = idle
    for step in range(1, STEPS + 1):
        now = soaked.ask(f"pairs {each} {CALLERS}")
        rate = 2 * each / now["seconds"]
        memory = (now["memory"] - idle["memory"]) / MEBIBYTE
        pair = (now["in_use"] - idle["in_use"]) / (each * step)
        written = (now["written"] - before["written"]) / (2 * each) / KIBIBYTE
        print(f"{2 * each * step:>10}{rate:>10.0f}{memory:>15.1f} MiB{pair:>31.0f}{written:>26.2f}", flush=True)
        before = now
        if step * 5 <= STEPS:
            early = now
    soaked.ask("settle")
    after = soaked.ask("idle 5")
    pairs = each * STEPS
    findings.check("memory above idle", (after["memory"] - idle["memory"]) / MEBIBYTE, MORE_MEMORY)
    if given.operations >= MANY:
        findings.check("memory above that of a fifth", (after["memory"] - early["memory"]) / MEBIBYTE, GROWTH)
    findings.check("journal for a pair", (after["in_use"] - idle["in_use"]) / pairs / KIBIBYTE, PAIR_BYTES)
    written = (after["written"] - idle["written"]) / (2 * pairs) / KIBIBYTE
    findings.check("written for an operation", written, WRITTEN[given.central])
    resting = soaked.ask("idle 10")
    share = (resting["processor"] - after["processor"]) / resting["seconds"]
    findings.check("processor time after all operations, of a core", share, IDLE_PROCESSOR)


if __name__ == "__main__":
    sys.exit(main())
