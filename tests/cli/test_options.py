"""How amounts and times are read from the command line."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import typer

from creditmeter.cli.options import new_request_id, read_credits, read_moment, timestamp


@pytest.mark.parametrize(
    ("text", "microcredits"),
    [("100", 100_000_000), ("6.5", 6_500_000), ("0", 0), ("0.000001", 1), ("1000000000", 10**15)],
)
def test_credits_are_read_exactly(text: str, microcredits: int) -> None:
    """Credits as they are typed become whole microcredits."""
    assert read_credits(text) == microcredits


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "1e999999999", "nan", "inf", "0.0000001", "1,000", "ten", "1000000001", "٣", "1 "]
)
def test_what_is_no_number_of_credits_is_refused(text: str) -> None:
    """Nothing is guessed, and the refusal says what is allowed."""
    with pytest.raises(typer.BadParameter, match="is not a number of credits: 0 to 1,000,000,000"):
        read_credits(text)


def test_a_moment_is_in_utc_unless_it_says_otherwise() -> None:
    """A date is its midnight in UTC; an offset is kept."""
    assert read_moment("2026-12-31") == datetime(2026, 12, 31, tzinfo=UTC)
    assert read_moment("2026-12-31T18:00:00+02:00") == datetime(2026, 12, 31, 18, tzinfo=timezone(timedelta(hours=2)))


def test_what_is_no_moment_is_refused() -> None:
    """The refusal shows how a time is written."""
    with pytest.raises(typer.BadParameter, match="is not a time: write 2026-12-31"):
        read_moment("tomorrow")


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01",
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:00:00-14:00",
        "9999-12-31T23:59:59.999999-00:01",
    ],
)
def test_a_moment_that_no_store_keeps_is_refused(text: str) -> None:
    """Also one that is outside only in UTC, where the calendar ends."""
    with pytest.raises(typer.BadParameter, match="a time between 1970 and 9999"):
        read_moment(text)


@pytest.mark.parametrize("text", ["1970-01-01", "1970-01-01T14:00:00+14:00", "9999-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_moment(text: str) -> None:
    """They can be typed."""
    assert read_moment(text).tzinfo


def test_a_moment_becomes_a_timestamp() -> None:
    """An unset moment stays unset."""
    made = timestamp(datetime(1970, 1, 2, tzinfo=UTC))
    assert made is not None
    assert made.seconds == 86_400
    assert timestamp(None) is None


def test_request_ids_differ() -> None:
    """Two commands never share an id by accident."""
    assert new_request_id() != new_request_id()
