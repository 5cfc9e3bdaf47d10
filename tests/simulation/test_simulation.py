"""The simulation itself: seeds pass, each is the same however often it runs, and failures are reported.

A few seeds run with the other tests; `scripts/simulate` runs as many as one likes.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cases import more
from tests.simulation.cli import report
from tests.simulation.mutants import MUTANTS
from tests.simulation.replacing import replaced
from tests.simulation.run import run

_SEEDS = 4
_MORE_SEEDS = 30
_REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("seeds", [range(_SEEDS), *more(range(_SEEDS, _MORE_SEEDS))])
def test_seeds_pass(seeds: range) -> None:
    """Nothing is overspent, lost or done twice, and in the end everything settles by itself."""
    results = map(run, seeds)
    assert [report(each) for each in results if each.problem is not None] == []


@pytest.mark.long
def test_a_seed_is_the_same_in_every_process() -> None:
    """However Python orders its sets, the same things happen."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "4", "--jobs", "1", "--digests"]
    outputs = [
        subprocess.run(
            command, cwd=_REPOSITORY, env=os.environ | {"PYTHONHASHSEED": str(hash_seed)}, check=True, capture_output=True
        ).stdout.splitlines()
        for hash_seed in (1, 2)
    ]
    digests = [[line for line in output if line.startswith(b"seed ")] for output in outputs]  # without lines of progress
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 4


def test_a_failing_seed_replays_exactly() -> None:
    """A failure is found again at the same place, with the same notes."""
    notes: list[list[str]] = [[], []]
    with replaced(MUTANTS["drawn in any order"].changes):
        results = [run(0, kept.append) for kept in notes]
    assert results[0] == results[1]
    assert results[0].problem is not None
    assert notes[0] == notes[1]


def test_a_failing_seed_is_reported_with_the_way_to_run_it_again() -> None:
    """The reason, and the command."""
    with replaced(MUTANTS["drawn in any order"].changes):
        reported = report(run(0), "drawn in any order")
    assert "seed 0 FAILED: charge" in reported
    assert 'scripts/simulate --seed 0 --trace --mutant "drawn in any order"' in reported
