"""The demo as a newcomer runs it: a process of its own, with nothing set up."""

from pathlib import Path

import pytest

from tests.cli.processes import Ended, run_forked, run_process


def amounts(demo: Ended) -> list[str]:
    """The part of the output that does not depend on when it runs: where the credits went."""
    lines = demo.out.splitlines()
    start = lines.index("Where the credits went")
    return lines[start : lines.index("", start)]


def test_it_shows_the_main_job_and_ends_clean(short_path: Path) -> None:
    """Every step is explained with real figures, the sums are right, verify is clean, and no file is left behind."""
    demo = run_process("demo", TMPDIR=str(short_path), CREDITMETER_CENTRAL="nonsense://", CREDITMETER_LISTEN="nonsense")
    assert demo.code == 0, demo.err
    assert demo.err == ""
    for said in ("Reserve  A text by claude-sonnet-4-5", "Commit   It wrote", "Release  The next one", "Refund   An image"):
        assert said in demo.out
    assert "3,100 credits - " in demo.out
    assert ": right." in demo.out
    assert demo.out.splitlines()[-1].endswith("history entries: clean")
    assert list(short_path.iterdir()) == []


@pytest.mark.long
def test_the_same_seed_is_the_same_day() -> None:
    """And another seed is another. Each needs more than the daily credits, and draws the rest on the monthly ones."""
    first, again, other = (run_forked("demo", "--seed", seed) for seed in ("5", "5", "6"))
    assert {first.code, again.code, other.code} == {0}
    assert amounts(first) == amounts(again)
    assert amounts(first) != amounts(other)
    for demo in (first, other):
        evening = demo.out[demo.out.index("The account in the evening") :]
        rows = {row[0]: row[1:3] for row in (line.split() for line in evening.splitlines()) if row}
        assert rows["daily"] == ["100", "0"]
        assert rows["monthly"][0] == "3,000"
        assert rows["monthly"][1] != "3,000"
