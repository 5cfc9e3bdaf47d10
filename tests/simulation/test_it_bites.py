"""The simulation finds what it is there to find: every deliberate bug, within a bounded number of seeds."""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.replacing import replaced
from tests.simulation.run import run

_SEEDS = 100
"""As many seeds are enough to find any of the bugs; most are found by the first few."""


@pytest.mark.long
@pytest.mark.parametrize("name", MUTANTS)
def test_it_finds(name: str) -> None:
    """A bug that takes away a rule, a check, a write or a deadline. The seed that found it last is tried first."""
    mutant = MUTANTS[name]
    with replaced(mutant.changes):
        seeds = [mutant.found_by, *range(_SEEDS)]
        assert any(run(seed).problem is not None for seed in seeds), f"nobody noticed that {mutant.wrong}"
