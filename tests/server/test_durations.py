"""Lengths of time as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.server.durations import format_seconds, read_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("600", 600),
        ("0.25", 0.25),
        ("250ms", 0.25),
        ("30s", 30),
        (" 10m ", 600),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        ("30d", 2_592_000),
        ("1m1s1ms", 61.001),
    ],
)
def test_what_is_a_length_of_time(text: str, seconds: float) -> None:
    """Seconds, or numbers with units."""
    assert read_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "nan", "inf", "m", "10 m", "10M", "10min", "1h30", "1,5", ".5", "1_0", "٣", "5w", "9" * 16]
)
def test_what_is_none(text: str) -> None:
    """The message shows what to write."""
    with pytest.raises(ValueError, match=r"is no length of time: write seconds .* or units"):
        read_seconds(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (600, "10m"), (5_400.0, "1h30m"), (0.25, "250ms"), (86_400, "1d"), (61.001, "1m1s1ms"), (0.0005, "0.5ms")],
)
def test_how_it_is_shown(seconds: float, text: str) -> None:
    """In the largest units that fit."""
    assert format_seconds(seconds) == text


@given(st.integers(min_value=0, max_value=10**10))
def test_what_is_shown_can_be_written(milliseconds: int) -> None:
    """Showing and reading are inverse."""
    seconds = milliseconds / 1_000
    assert read_seconds(format_seconds(seconds)) == seconds
