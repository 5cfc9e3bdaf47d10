"""Amounts are read and written exactly: what is no whole number of microcredits is refused, never rounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import MAX_AMOUNT, Microcredits, format_credits, from_credits


@pytest.mark.parametrize(
    ("credits", "expected"),
    [
        (0, 0),
        (1, 1_000_000),
        ("1.5", 1_500_000),
        ("0.000001", 1),
        ("-2", -2_000_000),
        (Decimal("12.34"), 12_340_000),
        ("1e3", 1_000_000_000),
        ("1.0000000", 1_000_000),
        ("0e900000", 0),
        ("1000000000", MAX_AMOUNT),
        ("12345678901234567890123.654321", 12345678901234567890123654321),
    ],
)
def test_credits_become_microcredits_exactly(credits: int | str | Decimal, expected: int) -> None:
    """One credit is a million microcredits, however it is written."""
    assert from_credits(credits) == expected


@pytest.mark.parametrize(
    "credits",
    [
        "0.0000001",
        "1.0000005",
        "",
        "ten",
        "1,5",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1234567890123456789012.1234567",
        "1e999999",
        "1" * 70,
    ],
)
def test_what_is_no_whole_number_of_microcredits_is_refused(credits: str) -> None:
    """More than six decimal places, texts that are no numbers, and numbers beyond all reason."""
    with pytest.raises(ValueError, match="credits"):
        from_credits(credits)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("credits", ["1e54", "-1e900000", Decimal("1e900000"), "9e999993"])
def test_a_large_exponent_takes_no_time(credits: str | Decimal) -> None:
    """It is refused before it becomes a whole number."""
    with pytest.raises(ValueError, match="more than any number of credits"):
        from_credits(credits)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0, "0"),
        (1, "0.000001"),
        (1_000_000, "1"),
        (1_500_000, "1.5"),
        (-1_500_000, "-1.5"),
        (-1, "-0.000001"),
        (1_234_567_890_000, "1,234,567.89"),
        (10_000_000, "10"),
    ],
)
def test_microcredits_are_written_as_credits(amount: int, expected: str) -> None:
    """Without trailing zeros, with thousands separated, the sign in front."""
    assert format_credits(amount) == expected


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT))
def test_what_is_written_can_be_read(amount: int) -> None:
    """Writing loses nothing."""
    assert from_credits(format_credits(amount).replace(",", "")) == Microcredits(amount)
