"""Values have the fields of their messages, and are what they seem."""

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from google.protobuf.message import Message

from creditmeter.client import values, words
from creditmeter.client.messages import decoded, duration, encoded_usage, encoded_work, timestamp
from creditmeter.client.values import FrozenDict, Usage, Work, credits_of
from creditmeter.v1 import account_pb2, charges_pb2, grants_pb2, metering_pb2, reservations_pb2, work_pb2

MESSAGES: dict[type, type[Message]] = {
    values.Balance: account_pb2.GetBalanceResponse,
    values.Bucket: account_pb2.Bucket,
    values.Charge: charges_pb2.Charge,
    values.ChargePart: charges_pb2.ChargePart,
    values.Draw: charges_pb2.Draw,
    values.Grant: grants_pb2.Grant,
    values.HistoryEntry: account_pb2.HistoryEntry,
    values.Quote: metering_pb2.WorkQuote,
    values.Refund: charges_pb2.Refund,
    values.Reservation: reservations_pb2.Reservation,
    values.Usage: work_pb2.Usage,
    values.Work: work_pb2.Work,
}


@pytest.mark.parametrize("value", MESSAGES, ids=lambda value: value.__name__)
def test_a_value_has_every_field(value: type) -> None:
    """Of its message, in order; an empty message is a value too. Nothing of it can be changed."""
    made: Any = decoded(value, MESSAGES[value]())
    names = [each.name for each in dataclasses.fields(made)]
    descriptor: Any = MESSAGES[value].DESCRIPTOR
    by_number = sorted(descriptor.fields, key=lambda field: field.number)
    assert names == [each.name for each in by_number]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, names[0], None)


def test_every_value_is_listed() -> None:
    """So that none is left out above."""
    made = {each for each in vars(values).values() if isinstance(each, type) and dataclasses.is_dataclass(each)}
    assert set(MESSAGES) == made


@pytest.mark.parametrize("word", words.Word.__subclasses__(), ids=lambda word: word.__name__)
def test_words_are_those_of_the_contract(word: type[words.Word]) -> None:
    """Each is a text, has the number of its name, and a number of a newer sidecar is unknown."""
    numbers = sorted(set(words._numbers(word.__name__).values()) - {0})
    assert [each.number for each in list(word)] == [0, *numbers]
    for each in word:
        assert word.of(each.number) is each
        assert each == each.value == str(each) == f"{each}"
    assert word.of(99) is word("UNKNOWN")
    assert word("UNKNOWN").number == 0
    with pytest.raises(ValueError, match="DALY"):
        word("DALY")


def test_a_charge_with_everything() -> None:
    """Moments, amounts, flags, labels and what is nested."""
    message = charges_pb2.Charge(cost_microcredits=1_500_000, cost_usd="0.015", labels={"a": "b"})
    message.flags.extend([4, 99])  # type: ignore[list-item]  # the second is of a newer sidecar
    message.draws.add(grant_id="g", kind=grants_pb2.GRANT_KIND_DAILY, amount_microcredits=1)
    message.usage.input_tokens = 0
    message.posted_at.FromDatetime(datetime(2026, 11, 24, 12))  # noqa: DTZ001 - protobuf takes it as UTC
    charge = decoded(values.Charge, message)
    assert (charge.credits, charge.cost_usd, charge.reported_cost_usd) == (Decimal("1.5"), Decimal("0.015"), None)
    assert charge.flags == (words.ChargeFlag.CAPPED, words.ChargeFlag.UNKNOWN)
    assert charge.draws == (values.Draw("g", words.GrantKind.DAILY, 1),)
    assert (charge.posted_at, charge.committed_at) == (datetime(2026, 11, 24, 12, tzinfo=UTC), None)
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (0, None)
    for same in (pickle.loads(pickle.dumps(charge)), copy.deepcopy(charge)):  # noqa: S301 - its own
        assert same == charge
    assert json.loads(json.dumps(dataclasses.asdict(charge)["labels"])) == {"a": "b"}


def test_work_and_usage_as_messages() -> None:
    """What is not said is not set; an explicit 0 is."""
    work = encoded_work(Work(request_model="m", input_tokens=0, units={"web_searches": 2}))
    assert [field.name for field, _ in work.ListFields()] == ["action", "request_model", "input_tokens", "units"]
    usage = encoded_usage(Usage(output_tokens=0, source=words.UsageSource.ESTIMATED))
    assert [field.name for field, _ in usage.ListFields()] == ["output_tokens", "source"]
    assert [field.name for field, _ in encoded_usage(Usage()).ListFields()] == []


def test_labels_do_not_change() -> None:
    """By none of a dict's methods."""
    labels: Any = FrozenDict({"a": "b"})
    for change in (labels.clear, labels.popitem, lambda: labels.update(c="d"), lambda: labels.pop("a")):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    with pytest.raises(TypeError, match="cannot be changed"):
        labels["c"] = "d"
    assert labels == {"a": "b"}


def test_spans_and_moments() -> None:
    """A number is seconds; a moment needs a time zone."""
    assert duration(1.5) == duration(timedelta(seconds=1, milliseconds=500))
    assert duration(None) is None
    assert timestamp(None) is None
    with pytest.raises(ValueError, match="no time zone"):
        timestamp(datetime(2026, 11, 24))  # noqa: DTZ001 - is refused


def test_credits_are_exact() -> None:
    """And written without zeros at the end, whatever precision a program computes with."""
    with localcontext(prec=3):
        texts = [str(credits_of(each)) for each in (1, 1_500_000, 6_000_000, -(10**15), 999_999_999_999_999)]
    assert texts == ["0.000001", "1.5", "6", "-1000000000", "999999999.999999"]
