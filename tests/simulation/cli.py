"""Running many seeds, or one of them again: `python -m tests.simulation --seeds N`, `--seed S --trace`."""

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Iterator
from functools import partial

from tests.simulation.mutants import MUTANTS
from tests.simulation.replacing import replaced
from tests.simulation.run import Result, run

_PROGRESS_SECONDS = 10.0
_CHUNK = 5


def main() -> None:
    """Run the seeds that the arguments name. Exits with 1 if any failed."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, metavar="N", help="how many seeds to run (300)")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), metavar="J", help="processes (one a core)")
    parser.add_argument("--seed", type=int, metavar="S", help="run this one seed")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--digests", action="store_true", help="tell of seeds that pass, too")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="run with this deliberate bug")
    asked = parser.parse_args()
    if asked.seed is not None:
        result = _run(asked.mutant, asked.seed, trace=asked.trace)
        _print(report(result, asked.mutant))
        sys.exit(result.problem is not None)
    sys.exit(_run_all(range(asked.first, asked.first + asked.seeds), asked.jobs, asked.mutant, tells_all=asked.digests))


def _run_all(seeds: range, jobs: int, mutant: str | None, *, tells_all: bool) -> int:
    """Run seeds, and print each that fails and the progress now and then. Returns the exit code."""
    failed, started, reported_at = 0, time.monotonic(), time.monotonic()
    for done, result in enumerate(_results(seeds, jobs, mutant), start=1):
        failed += result.problem is not None
        if tells_all or result.problem is not None:
            _print(report(result, mutant))
        if time.monotonic() - reported_at > _PROGRESS_SECONDS:
            reported_at = time.monotonic()
            _print(f"{done} of {len(seeds)} seeds, {failed} failed, {reported_at - started:.0f} s")
    seconds = time.monotonic() - started
    _print(f"{len(seeds)} seeds from {seeds.start} on, {failed} failed, {seconds:.0f} s, {len(seeds) / seconds:.1f} a second")
    return 1 if failed else 0


def _results(seeds: range, jobs: int, mutant: str | None) -> Iterator[Result]:
    work = partial(_run, mutant)
    if jobs == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, seeds, chunksize=_CHUNK)


def _run(mutant: str | None, seed: int, *, trace: bool = False) -> Result:
    """Run a seed. What it leaves is collected afterwards, and not again and again while it runs."""
    gc.disable()
    try:
        with replaced(MUTANTS[mutant].changes if mutant else ()):
            return run(seed, _print if trace else None)
    finally:
        gc.enable()
        gc.collect()


def report(result: Result, mutant: str | None = None) -> str:
    """How a seed ended; if it failed, with the command that runs it again."""
    again = f"scripts/simulate --seed {result.seed} --trace" + (f' --mutant "{mutant}"' if mutant else "")
    if result.problem is None:
        return f"seed {result.seed} passed: {result.notes} notes, digest {result.digest}"
    return f"seed {result.seed} FAILED: {result.problem}\n    again: {again}"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
