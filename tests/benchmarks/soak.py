"""What a sidecar takes after very many operations: memory, disk, bytes written, processor time when idle, and time to start.

An operation is a Reserve or a Commit. Callers in the process of the sidecar use its meter directly, so that a million of them
take minutes. Each pair of a Reserve and a Commit is on one of 100 accounts. In the end there are open reservations beside all
that has ended; then the process is killed, and another one starts on its journal.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
STEPS = 10
CALLERS = 32
MEBIBYTE = 1024 * 1024
KIBIBYTE = 1024

MAX_IDLE_MEMORY = 90
MAX_MORE_MEMORY = 40
"""Mebibytes above what an idle process takes, after all operations."""

MAX_GROWTH = 8
"""Mebibytes between a fifth of the operations and all."""

MAX_PAIR_BYTES = 1.2
"""Kibibytes of journal for a pair of operations."""

MAX_WRITTEN = {"postgresql": 6.0, "sqlite": 20.0}
"""Kibibytes that are written for an operation: by the sidecar alone, and with the embedded central store."""

MAX_IDLE_PROCESSOR = 0.005
MAX_START_SECONDS = 2.0
MAX_START_MEMORY = 60
"""Mebibytes above what an idle process takes, after a start on a journal with all of this in it."""


class Soaked:
    """A process with a sidecar and its callers."""

    def __init__(self, data_dir: Path, central: str) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmarks.soaked", str(data_dir), central]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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


class Findings:
    """What was measured against its targets."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, what: str, found: float, most: float, unit: str) -> None:
        """Print a figure, and whether it is within its target."""
        is_met = found <= most
        print(f"{what:<52}{found:>9.2f} {unit:<4} at most {most:g}{'' if is_met else '   MISSED'}", flush=True)
        if not is_met:
            self.missed.append(what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found. Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--operations", type=int, default=1_000_000, metavar="N", help="how many in all (1000000)")
    parser.add_argument("--holds", type=int, default=10_000, metavar="N", help="reservations that are open in the end (10000)")
    parser.add_argument("--central", choices=sorted(MAX_WRITTEN), default="postgresql", help="the central store (postgresql)")
    given = parser.parse_args(arguments)
    findings = Findings()
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm")))
        url = f"sqlite:///{data_dir / 'central.db'}"
        if given.central == "postgresql":
            url = stack.enter_context(PostgresServer()).create_database()
        _soak(findings, data_dir, url, given)
    print(f"missed: {', '.join(findings.missed)}" if findings.missed else "targets met")
    return 1 if findings.missed else 0


def _soak(findings: Findings, data_dir: Path, url: str, given: argparse.Namespace) -> None:
    with Soaked(data_dir, url) as soaked:
        soaked.ask("accounts")
        soaked.ask("pairs 200 1")
        idle = soaked.ask("idle 2")
        findings.check("memory of an idle process", idle["memory"] / MEBIBYTE, MAX_IDLE_MEMORY, "MiB")
        _load(findings, soaked, idle, given)
        soaked.ask(f"hold {given.holds} {CALLERS}")
    with Soaked(data_dir, url) as soaked:
        findings.check("start until it serves, as a process", soaked.start_seconds, MAX_START_SECONDS, "s")
        findings.check("of that, after Python has loaded the program", soaked.started["seconds"], MAX_START_SECONDS, "s")
        more = (soaked.started["memory"] - idle["memory"]) / MEBIBYTE
        findings.check("memory after a start, above idle", more, MAX_START_MEMORY, "MiB")


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
    findings.check("memory above idle", (after["memory"] - idle["memory"]) / MEBIBYTE, MAX_MORE_MEMORY, "MiB")
    findings.check("memory above that of a fifth", (after["memory"] - early["memory"]) / MEBIBYTE, MAX_GROWTH, "MiB")
    findings.check("journal for a pair", (after["in_use"] - idle["in_use"]) / pairs / KIBIBYTE, MAX_PAIR_BYTES, "KiB")
    written = (after["written"] - idle["written"]) / (2 * pairs) / KIBIBYTE
    findings.check("written for an operation", written, MAX_WRITTEN[given.central], "KiB")
    resting = soaked.ask("idle 10")
    share = (resting["processor"] - after["processor"]) / resting["seconds"]
    findings.check("processor time when idle, of a core", share, MAX_IDLE_PROCESSOR, "")


if __name__ == "__main__":
    sys.exit(main())
