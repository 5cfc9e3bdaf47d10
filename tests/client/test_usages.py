"""What a provider's SDK gives, in any of its shapes, is charged by what it counts."""

import dataclasses
import enum
import json
from collections import namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from google.protobuf.struct_pb2 import Struct

from creditmeter.client import Client, Usage
from creditmeter.client.usages import MAX_REPORT_BYTES, document_of, usage_of
from tests.client.conftest import ACCOUNT

ANTHROPIC = {"input_tokens": 700, "output_tokens": 50, "cache_read_input_tokens": 300, "cache_creation_input_tokens": None}
OPENAI = {"prompt_tokens": 1_000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 300}}
GEMINI = {"prompt_token_count": 1_000, "candidates_token_count": 40, "thoughts_token_count": 10, "total_token_count": 1_050}


class AnthropicUsage(pydantic.BaseModel):
    """As `anthropic.types.Usage` is."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class AnthropicMessage(pydantic.BaseModel):
    """As `anthropic.types.Message` is."""

    id: str = "msg_1"
    type: str = "message"
    model: str = "claude-sonnet-4-5"
    content: list[dict[str, str]] = []
    usage: AnthropicUsage


class Attributes:
    """An object that has fields, and a method and something private beside them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields, _private=object(), method=lambda: None)


class WithToDict:
    """As generated clients have it."""

    def to_dict(self) -> dict[str, Any]:
        """Its fields."""
        return OPENAI


class _ProtoPlusMeta(type):
    def to_dict(cls, instance: Any) -> dict[str, Any]:
        """The fields of an instance, as proto-plus has it on the class of the class."""
        return dict(instance.counts)


class ProtoPlus(metaclass=_ProtoPlusMeta):
    """As `google.generativeai` answers."""

    counts = GEMINI


@dataclasses.dataclass(slots=True)
class Counts:
    """A dataclass without a dict of its own."""

    prompt_tokens: int = 1_000
    completion_tokens: int = 50


Pair = namedtuple("Pair", ["prompt_tokens", "completion_tokens"])  # noqa: PYI024 - as an old library has it

SHAPES: dict[str, tuple[str, object]] = {
    "Anthropic's usage": ("claude-sonnet-4-5", AnthropicUsage(**ANTHROPIC)),  # type: ignore[arg-type]  # counts
    "Anthropic's message": ("claude-sonnet-4-5", AnthropicMessage(usage=AnthropicUsage(**ANTHROPIC))),  # type: ignore[arg-type]  # counts
    "a dict": ("gpt-4o", OPENAI),
    "JSON": ("gpt-4o", json.dumps(OPENAI)),
    "bytes": ("gpt-4o", json.dumps({"model": "gpt-4o", "usage": OPENAI}).encode()),
    "OpenAI's attributes": (
        "gpt-4o",
        SimpleNamespace(**{**OPENAI, "prompt_tokens_details": SimpleNamespace(cached_tokens=300)}),
    ),
    "fields": ("gpt-4o", Attributes(OPENAI)),
    "to_dict": ("gpt-4o", WithToDict()),
    "a dataclass": ("gpt-4o", Counts()),
    "a named tuple": ("gpt-4o", Pair(1_000, 50)),
    "Gemini's attributes": (
        "gemini-2.5-pro",
        Attributes({"usage_metadata": Attributes(GEMINI), "model_version": "gemini-2.5-pro"}),
    ),
    "proto-plus": ("gemini-2.5-pro", ProtoPlus()),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_it_is_charged_by_its_counts(meter: Client, name: str) -> None:
    """1,000 tokens of input and 50 of output, whoever counted them."""
    model, reported = SHAPES[name]
    async with meter.hold(ACCOUNT, model=model, input_tokens=2_000, max_output_tokens=2_000) as hold:
        charge = await hold.commit(reported)
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (1_000, 50)
    assert charge.flags == ("MINIMUM",) or not charge.flags


async def test_counts_beside_a_report_win(meter: Client) -> None:
    """As the contract has it."""
    async with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=2_000, max_output_tokens=2_000) as hold:
        charge = await hold.commit(OPENAI, output_tokens=60)
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (1_000, 60)


async def test_a_response_that_is_too_large(meter: Client) -> None:
    """Only its usage is sent, and what names it and its model."""
    message = AnthropicMessage(usage=AnthropicUsage(**ANTHROPIC), content=[{"text": "x" * MAX_REPORT_BYTES}])  # type: ignore[arg-type]  # counts
    sent = json.loads(usage_of(message).provider_usage_json)
    assert set(sent) == {"id", "type", "model", "usage"}
    async with meter.hold(ACCOUNT, model="claude-sonnet-4-5", input_tokens=2_000, max_output_tokens=2_000) as hold:
        charge = await hold.commit(message)
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.response_model) == (1_000, "claude-sonnet-4-5")


def test_events_and_responses_that_are_too_large() -> None:
    """What is nested in an event, and in a list of responses, is kept without its content."""
    content = "x" * MAX_REPORT_BYTES
    event = {"type": "response.completed", "response": {"id": "r", "output": content, "usage": OPENAI}}
    assert json.loads(usage_of(event).provider_usage_json)["response"] == {"id": "r", "usage": OPENAI}
    several = [{"id": "a", "text": content, "usage": OPENAI}, {"id": "b", "usage": OPENAI}, {"text": content}]
    assert json.loads(usage_of(several).provider_usage_json) == [{"id": each, "usage": OPENAI} for each in "ab"]


@pytest.mark.parametrize("large", [{"text": "x" * MAX_REPORT_BYTES}, "data: " + "x" * MAX_REPORT_BYTES, "é" * 40_000])
def test_what_is_too_large(large: object) -> None:
    """It is refused before anything is sent, with what to hand over instead."""
    with pytest.raises(ValueError, match=r"larger than 65536 bytes: hand over its usage alone, such as reply\.usage"):
        usage_of(large)


@pytest.mark.parametrize("wrong", [7, 1.5, True, object(), len, Decimal(7)])
def test_what_is_no_report(wrong: object) -> None:
    """It is refused before anything is sent, with what to hand over instead."""
    with pytest.raises(TypeError, match=f"{type(wrong).__name__} is no usage: hand over"):
        usage_of(wrong)


def test_what_json_has_no_word_for() -> None:
    """Moments and decimals are texts; a stream, a function and what leads back to itself are left out."""

    class Tier(enum.Enum):
        FLEX = "flex"

    circle: dict[str, Any] = {"tier": Tier.FLEX, "at": datetime(2026, 1, 1, tzinfo=UTC), "cost": Decimal("0.1")}
    circle |= {"self": circle, "raw": b"x", "call": len, "set": {1}, "none": None}
    document = document_of(circle)
    assert document["tier"] == "flex"
    assert document["at"].startswith("2026-01-01")
    assert (document["cost"], document["set"]) == ("0.1", [1])
    assert not {"raw", "call", "none"} & set(document)
    json.dumps(document)


def test_protobuf_messages() -> None:
    """They are written in the names of JSON."""
    message = Struct()
    message.update({"promptTokenCount": 5})
    assert document_of(message) == {"promptTokenCount": 5}


def test_a_usage_stays_as_it_is() -> None:
    """Its own values are not looked into."""
    assert usage_of(Usage(input_tokens=1)) == Usage(input_tokens=1)
