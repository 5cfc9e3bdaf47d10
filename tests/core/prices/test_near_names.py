"""Names that are nearly the one that somebody meant, found without comparing it with all others."""

import os
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.prices import near_names
from creditmeter.core.prices.near_names import MAX_COMPARED, NearNames

MODELS = NearNames(
    ["gpt-4o", "gpt-4o-mini", "gpt-4", "gpt-5", "o3", "claude-sonnet-4-5", "claude-opus-4-5", "gemini-2.5-flash", "llama-3-70b"]
)
NAMES = st.text(string.ascii_lowercase + string.digits + "-./", min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ("gpt4o", "gpt-4o"),
        ("gtp-4o", "gpt-4o"),
        ("GPT-4o mini", "gpt-4o-mini"),
        ("claude-sonet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("gemini-2.5-flsh", "gemini-2.5-flash"),
        ("O3", "o3"),
    ],
)
def test_a_name_that_was_mistyped_is_found(wanted: str, first: str) -> None:
    """Letters left out or swapped, other punctuation, capitals."""
    assert MODELS.near(wanted)[0] == first


@pytest.mark.parametrize("wanted", ["", "-", "no-such-model", "x" * 5_000, "\N{SNOWMAN}"])
def test_what_is_near_to_nothing_has_no_suggestion(wanted: str) -> None:
    """Better none than any."""
    assert MODELS.near(wanted) == []


@given(st.sets(NAMES, max_size=30), NAMES)
def test_a_name_is_near_to_itself_in_other_letters(names: set[str], name: str) -> None:
    """It comes first with those that differ from it in punctuation alone; a name itself is no suggestion for it."""
    found = NearNames({*names, name}).near(name.upper() if name.upper() != name else f"{name}-")
    bare = near_names._bare(name)
    assert not bare or near_names._bare(found[0]) == bare
    assert name not in NearNames({*names, name}).near(name)


@pytest.mark.parametrize("wanted", ["model01234", "model012345", "model", "m0d3l-99999"])
def test_few_names_are_compared_however_many_there_are(wanted: str) -> None:
    """A caller who asks for ever new names costs no more than a few comparisons each time."""
    many = NearNames(f"model-{number:05}" for number in range(10_000))
    assert len(many.candidates(wanted)) <= MAX_COMPARED
    assert many.near("mode1-01234")[0] == "model-01234"


SHOW_CANDIDATES = """
from creditmeter.core.prices.near_names import NearNames
print(NearNames(f"model-{number:05}" for number in range(10_000)).candidates("model55555"))
print(NearNames(f"{letter}bcdef" for letter in "uvwxyz" * 4).near("abcdef"))
print(NearNames(f"bcd{a}{b}" for a in "uvwxyz" for b in "uvwxyz").near("bcdef"))
"""


def test_names_that_share_as_much_come_in_one_order_in_every_process() -> None:
    """Whatever the seed of Python's hashes: many share as many trigrams, and only some of them are compared."""
    shown = [
        subprocess.run(
            [sys.executable, "-c", SHOW_CANDIDATES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert shown[0].count("model") == MAX_COMPARED
    assert len(set(shown)) == 1
