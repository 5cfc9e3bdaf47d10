"""What the lines of exported bills say. The examples have the columns of the real exports, and made-up figures.

| line                                          | zone   | result                                                    |
| --------------------------------------------- | ------ | --------------------------------------------------------- |
| OpenAI's costs, `gpt-4o-2024-08-06, input`    | UTC    | the model before the comma                                |
| OpenAI's costs, a day without usage           | UTC    | empty: the day alone                                      |
| OpenAI's costs, not grouped by line item      | UTC    | wrong: says how to export it                              |
| Anthropic's costs of a web search             | UTC    | named by its cost type                                    |
| Anthropic's usage                             | UTC    | all kinds of input are added up                           |
| an amount in EUR; `abc`; NaN; 1_000; `1,5`    | any    | wrong, by column                                          |
| 23:30 in UTC                                  | Berlin | the next day                                              |
| a date alone, or a time without an offset     | Berlin | that day                                                  |
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.instants import HOUR, from_datetime
from creditmeter.core.reports.bills import Columns, EmptyLine, Line, WrongLine, days_between, read_day, read_line, recognised
from creditmeter.core.reports.reconciliation import Sums

OPENAI_COSTS = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,"
    "organization_id,organization_name"
)
OPENAI_ACTIVITY = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens"
)
ANTHROPIC_COSTS = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type"
ANTHROPIC_USAGE = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count"
)
PLAIN = Columns("date", "model", "cost", ("in",), "out", "currency")


def line(header: str, **cells: str) -> Line | EmptyLine | WrongLine:
    """A line of a known export, whose other cells are empty."""
    names = header.split(",")
    columns = recognised(names)
    assert columns is not None
    return read_line(columns, dict.fromkeys(names, "") | cells, "UTC")


def plain(zone: str = "UTC", **cells: str) -> Line | EmptyLine | WrongLine:
    """A line of any other bill."""
    whole = {"date": "2026-11-21", "model": "m", "cost": "1", "in": "", "out": "", "currency": "usd"}
    return read_line(PLAIN, whole | cells, zone)


def test_costs_of_openai() -> None:
    """One line for each model and class of tokens, by day."""
    found = line(
        OPENAI_COSTS,
        start_time="1763683200",
        start_time_iso="2025-11-21T00:00:00+00:00",
        amount_value="0.56177125000000000",
        amount_currency="usd",
        line_item="gpt-4o-2024-08-06, input",
    )
    assert found == Line("2025-11-21", "gpt-4o-2024-08-06", Sums(Decimal("0.56177125")))


def test_costs_of_openai_without_times_in_words() -> None:
    """1763683200 s are the midnight of 2025-11-21."""
    header = OPENAI_COSTS.replace("start_time_iso,end_time_iso,", "")
    found = line(header, start_time="1763683200", amount_value="1", amount_currency="usd", line_item="o3")
    assert found == Line("2025-11-21", "o3", Sums(Decimal(1)))


def test_a_day_without_usage() -> None:
    """Only its day is stated."""
    assert line(OPENAI_COSTS, start_time_iso="2025-11-21T00:00:00+00:00") == EmptyLine("2025-11-21")


def test_costs_of_openai_by_day_alone() -> None:
    """Cannot be compared by model."""
    found = line(OPENAI_COSTS, start_time_iso="2025-11-21T00:00:00+00:00", amount_value="1", amount_currency="usd")
    assert isinstance(found, WrongLine)
    assert [column for column, _ in found.problems] == ["line_item"]
    assert "grouped by line item" in found.problems[0][1]


def test_activity_of_openai() -> None:
    """Counts may be written with a decimal point; no money is stated."""
    found = line(
        OPENAI_ACTIVITY,
        start_time_iso="2025-10-05T00:00:00+00:00",
        num_model_requests="10.0",
        model="gpt-4o-2024-08-06",
        input_tokens="59200.0",
        output_tokens="10646.0",
        input_cached_tokens="5760.0",
    )
    assert found == Line("2025-10-05", "gpt-4o-2024-08-06", Sums(None, 59_200, 10_646))


def test_costs_of_anthropic() -> None:
    """By the model as it is shown to people; without a model by the type of the cost."""
    found = line(ANTHROPIC_COSTS, usage_date_utc="2026-08-15", model="Claude Haiku 4.5", cost_usd="0.19", cost_type="token")
    assert found == Line("2026-08-15", "Claude Haiku 4.5", Sums(Decimal("0.19")))
    found = line(ANTHROPIC_COSTS, usage_date_utc="2026-08-15", cost_usd="0.02", cost_type="web_search")
    assert found == Line("2026-08-15", "web_search", Sums(Decimal("0.02")))


def test_usage_of_anthropic() -> None:
    """8 + 200 + 30 + 4,000 = 4,238 tokens of input."""
    found = line(
        ANTHROPIC_USAGE,
        usage_date_utc="2026-06-12",
        model_version="claude-haiku-4-5-20251001",
        usage_input_tokens_no_cache="8",
        usage_input_tokens_cache_write_5m="200",
        usage_input_tokens_cache_write_1h="30",
        usage_input_tokens_cache_read="4000",
        usage_output_tokens="1",
    )
    assert found == Line("2026-06-12", "claude-haiku-4-5-20251001", Sums(None, 4_238, 1))


def test_a_count_that_is_needed() -> None:
    """Where no money is stated, an empty count is no 0."""
    found = line(OPENAI_ACTIVITY, start_time_iso="2025-10-05T00:00:00+00:00", model="o3", input_tokens="5")
    assert isinstance(found, WrongLine)
    assert [column for column, _ in found.problems] == ["output_tokens"]


def test_other_bills_are_not_recognised() -> None:
    """Their columns have to be named."""
    assert recognised(["date", "model", "cost"]) is None


@pytest.mark.parametrize(
    "text", ["", "abc", "NaN", "Infinity", "1_000", "1,5", "$1", "1 000", "0x1", "1e999", "9" * 16, "\u0661"]
)
def test_amounts_that_cannot_be_read(text: str) -> None:
    """Each is complained about by its column, and never taken for 0."""
    found = plain(cost=text)
    assert isinstance(found, WrongLine)
    assert [column for column, _ in found.problems] == ["cost"]


def test_all_that_is_wrong_is_named() -> None:
    """In the order of the columns' meaning; a long cell is cut."""
    found = plain(date="21.11.2026", model="", cost="x" * 50, currency="EUR", **{"in": "-1", "out": "1.5"})
    assert isinstance(found, WrongLine)
    assert [column for column, _ in found.problems] == ["date", "currency", "model", "cost", "in", "out"]
    assert "x" * 41 not in found.problems[3][1]


def test_amounts_that_are_read() -> None:
    """Exactly: exponents, credits to the customer, and numbers with spaces around them."""
    assert plain(cost="1.2e-05") == Line("2026-11-21", "m", Sums(Decimal("0.000012")))
    assert plain(cost=" 2 ") == Line("2026-11-21", "m", Sums(Decimal(2)))
    assert plain(cost="-3.10") == Line("2026-11-21", "m", Sums(Decimal("-3.1")))


@pytest.mark.parametrize(
    ("text", "zone", "day"),
    [
        ("2026-11-21", "Europe/Berlin", "2026-11-21"),
        ("2026-11-21T23:30:00Z", "Europe/Berlin", "2026-11-22"),
        ("2026-11-21T23:30:00", "Europe/Berlin", "2026-11-21"),
        ("2026-11-21 23:30:00+00:00", "UTC", "2026-11-21"),
        ("2026-11-21T23:30:00-05:00", "UTC", "2026-11-22"),
        ("1763683199", "UTC", "2025-11-20"),
        ("1763683199", "Asia/Tokyo", "2025-11-21"),
        ("1763683200000", "UTC", None),
        ("20261121", "UTC", None),
        ("2026-02-30", "UTC", None),
        ("11/21/2026", "UTC", None),
        ("1969-12-31", "UTC", None),
        ("", "UTC", None),
    ],
)
def test_days(text: str, zone: str, day: str | None) -> None:
    """Of dates, times and seconds since 1970."""
    assert read_day(text, zone) == day


def test_the_days_between() -> None:
    """In Berlin, 25 October 2026 has 25 hours; they follow each other without a gap."""
    found = days_between("Europe/Berlin", "2026-10-24", "2026-10-26")
    assert [each.key for each in found] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert found[0].starts_at == from_datetime(datetime(2026, 10, 23, 22, tzinfo=UTC))
    assert [(each.ends_at - each.starts_at) // HOUR for each in found] == [24, 25, 24]
    assert days_between("UTC", "2026-10-26", "2026-10-24") == []


def test_a_date_that_a_zone_skipped_is_no_day() -> None:
    """Samoa went from 29 to 31 December 2011."""
    found = days_between("Pacific/Apia", "2011-12-29", "2011-12-31")
    assert [each.key for each in found] == ["2011-12-29", "2011-12-31"]


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=5))
def test_anything_is_either_read_or_refused(day: str, model: str, cost: str, count: str) -> None:
    """What is read has a day, a name and an amount."""
    found = plain(date=day, model=model, cost=cost, **{"in": count})
    assert isinstance(found, Line | EmptyLine | WrongLine)
    if isinstance(found, Line):
        assert found.day
        assert found.name
        assert found.sums.usd is not None
