"""Reports of one call, one after the other: what is known after them, and what is charged if it breaks off."""

# ruff: noqa: PT012 - a block that is left by an exception is what is tested

import json
from typing import Any

import pytest

from creditmeter.client import Charge, Client, Usage, UsageSource
from creditmeter.client.known import says_counts
from creditmeter.client.usages import MAX_REPORT_BYTES, usage_of
from tests.client.conftest import ACCOUNT
from tests.client.holds import ProviderError

CLAUDE = "claude-sonnet-4-5"
START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "m", "model": CLAUDE, "usage": {"input_tokens": 700, "cache_read_input_tokens": 300, "output_tokens": 1}},
}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}}
CHUNK: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": "gpt-4o",
    "usage": None,
}
CHUNK |= {
    "choices": [
        {"index": 0, "delta": {"content": "a", "tool_calls": [{"index": 0}]}, "logprobs": {"content": [{"token": "1"}]}}
    ]
}
CREATED: dict[str, Any] = {
    "type": "response.created",
    "sequence_number": 0,
    "response": {"id": "r", "usage": None, "max_output_tokens": 900},
}
LAST: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": []}
LAST |= {"usage": {"prompt_tokens": 1_000, "completion_tokens": 50}}
BIG = "x" * MAX_REPORT_BYTES
COHERE = {"id": "x", "text": BIG, "meta": {"billed_units": {"input_tokens": 1_000, "output_tokens": 50}}}


def sent(*events: dict[str, Any]) -> str:
    """Server-sent events."""
    return "".join(f"event: {each.get('type', 'chunk')}\ndata: {json.dumps(each)}\n\n" for each in events)


async def charged(meter: Client, model: str, *reports: Any) -> Charge:
    """The charge of a call that was committed after these reports."""
    async with meter.hold(ACCOUNT, model=model, input_tokens=2_000, max_output_tokens=2_000) as hold:
        for each in reports:
            hold.report(each)
        return await hold.commit()


@pytest.mark.parametrize(
    ("model", "reports"),
    [
        ("gpt-4o", [Usage(output_tokens=100), LAST]),
        ("gpt-4o", [Usage(input_tokens=10, output_tokens=1), CHUNK, LAST]),
        ("gpt-4o", [CHUNK, json.dumps(LAST), json.dumps(CHUNK | {"usage": {}})]),
        (CLAUDE, [sent(START), sent(TEXT), "data: [DONE]\n\n", sent(DELTA)]),
        (CLAUDE, [START, sent(TEXT, DELTA).encode()]),
        (CLAUDE, [json.dumps(START), json.dumps(DELTA)]),
        (CLAUDE, [Usage(output_tokens=9), START, Usage(output_tokens=50)]),
        (CLAUDE, [sent(START, TEXT | {"delta": {"type": "text_delta", "text": BIG}}, DELTA)]),
        ("command-r-08-2024", [COHERE]),
    ],
)
async def test_the_last_report_counts(meter: Client, model: str, reports: list[Any]) -> None:
    """Over counts that were given by name before it, and whatever each came as."""
    charge = await charged(meter, model, *reports)
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (1_000, 50)


@pytest.mark.parametrize(
    "report", [CHUNK, json.dumps(CHUNK), CREATED, sent(CREATED), TEXT, ": a sign of life\nevent: ping\n\n"]
)
async def test_a_report_without_counts(meter: Client, report: Any) -> None:
    """It says that the call was dispatched, and nothing of what it used: the input is charged, as an estimate."""
    with pytest.raises(ProviderError):
        async with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=5_000, max_output_tokens=16_000) as hold:
            hold.report(report)
            raise ProviderError
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert (hold.charge.usage.input_tokens, hold.charge.usage.output_tokens) == (5_000, 0)
    assert hold.charge.usage.source is UsageSource.ESTIMATED


@pytest.mark.parametrize(
    "report",
    [
        LAST,
        {"input_tokens": 1},
        {"usageMetadata": {"promptTokenCount": 1}},
        {"inputTokens": {"total": "7"}},
        {"gen_ai.usage.input_tokens": 1},
        {"meta": {"billed_units": {"search_units": 1}}},
        {"prompt_eval_count": 1},
        {"metadata": {"usage": {"inputTokens": 1}}},
        "no document",
    ],
)
def test_reports_with_counts(report: Any) -> None:
    """In the words of several providers. What cannot be read may say something."""
    assert says_counts(report)


def test_what_was_generated_is_left_out_of_what_is_too_large() -> None:
    """Where the usage has a name that nobody knows."""
    report = {"id": "x", "text": BIG, "vectors": [[0.5] * 9_000], "calls": [{"text": BIG}], "counted": {"tokens": 5}}
    assert json.loads(usage_of(report).provider_usage_json) == {"id": "x", "counted": {"tokens": 5}}
