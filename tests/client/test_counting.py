"""What a provider's stream used so far is counted from its events, as each provider sends them."""

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from creditmeter.client import Usage, UsageSource, tokenizers
from creditmeter.client.counting import StreamCount
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.work import Usage as CountedUsage
from creditmeter.core.work import Work

HELLO = "Hello, you "
"""11 bytes: 3 tokens."""

ANTHROPIC: list[Any] = [
    {
        "type": "message_start",
        "message": {"id": "m", "model": "a", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": HELLO}},
    {"type": "text", "text": HELLO, "snapshot": HELLO},
    {"type": "content_block_stop", "index": 0, "content_block": {"type": "text", "text": HELLO}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
OPENAI: list[Any] = [
    {"id": "c", "object": "chat.completion.chunk", "model": "g", "choices": [{"delta": {"content": HELLO}}], "usage": None},
    {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "g",
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
]
RESPONSES: list[Any] = [
    {"type": "response.created", "response": {"id": "r", "model": "g", "output": [], "usage": None}},
    {"type": "response.output_text.delta", "delta": HELLO, "item_id": "i"},
    {"type": "response.output_text.done", "text": HELLO},
    {
        "type": "response.completed",
        "response": {"output": [{"content": [{"text": HELLO}]}], "usage": {"input_tokens": 10, "output_tokens": 5}},
    },
]
GEMINI: list[Any] = [
    {"candidates": [{"content": {"parts": [{"text": HELLO}]}}]},
    {"candidates": [], "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}},
]
BEDROCK: list[Any] = [
    {"contentBlockDelta": {"delta": {"text": HELLO}, "contentBlockIndex": 0}},
    {"metadata": {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, "metrics": {"latencyMs": 3}}},
]
COHERE: list[Any] = [
    {"type": "content-delta", "delta": {"message": {"content": {"text": HELLO}}}},
    {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 10, "output_tokens": 5}}}},
]
MISTRAL: list[Any] = [
    {"data": {"id": "m", "model": "s", "choices": [{"delta": {"content": HELLO}}]}},
    {
        "data": {
            "id": "m",
            "model": "s",
            "choices": [{"delta": {"content": ""}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
    },
]
OLLAMA: list[Any] = [
    {"model": "l", "message": {"role": "assistant", "content": HELLO}, "done": False},
    {"model": "l", "message": {"content": ""}, "done": True, "prompt_eval_count": 10, "eval_count": 5},
]
LANGCHAIN: list[Any] = [
    {"type": "AIMessageChunk", "content": HELLO, "usage_metadata": {"input_tokens": 10, "output_tokens": 0}},
    {"type": "AIMessageChunk", "content": "", "usage_metadata": {"input_tokens": 0, "output_tokens": 5}},
]
SENT_EVENTS: list[Any] = [f"event: e\ndata: {json.dumps(each)}\n\n" for each in OPENAI] + [b"data: [DONE]\n\n"]
OBJECTS: list[Any] = [
    SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=HELLO))], usage=None),
    SimpleNamespace(choices=[], usage=SimpleNamespace(prompt_tokens=10, completion_tokens=5)),
]
STREAMS = {name.lower(): value for name, value in list(globals().items()) if isinstance(value, list)}


def counted(events: list[Any], *, bound: int | None = None, ends: bool = True) -> StreamCount:
    """The count after these events."""
    count = StreamCount("a-model", bound)
    for each in events:
        count.take(each)
    if ends:
        count.end()
    return count


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_any_provider_is_counted(name: str) -> None:
    """By its text while it goes on, exactly at its end. The sidecar reads the same from what is committed."""
    events = STREAMS[name]
    count, seen = StreamCount("a-model", None), []
    for each in events:
        count.take(each)
        seen.append(count.output_tokens)
    assert 3 in seen or 4 in seen
    assert seen[-1] == 5
    count.end()
    assert count.is_exact
    assert count.usage is not None
    assert (count.usage.output_tokens, count.usage.source) == (None, UsageSource.PROVIDER)
    text = count.usage.provider_usage_json
    assert HELLO not in text
    found = Pricing.counted(None, CountedUsage(provider_usage_json=text), Work("text", request_model="m"))  # type: ignore[arg-type]  # no card is asked
    assert isinstance(found, CountedUsage)
    assert (found.input_tokens, found.output_tokens) == (10, 5)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": HELLO}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": HELLO}},
        {"choices": [{"delta": {"tool_calls": [{"id": "long-name", "function": {"name": "look", "arguments": HELLO}}]}}]},
        {"choices": [{"delta": {"reasoning_content": HELLO}}]},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": HELLO}}}},
        {"contentBlockDelta": {"delta": {"reasoningContent": {"text": HELLO}}}},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "look", "args": {"at": "12"}}}]}}]},
        {"model": "l", "response": HELLO, "done": False},
        {"type": "response.function_call_arguments.delta", "delta": HELLO},
        HELLO,
        HELLO.encode(),
    ],
    ids=str,
)
def test_all_that_is_generated_counts(event: Any) -> None:
    """Reasoning and the arguments of tools, too. The names of things do not."""
    assert counted([event]).output_tokens == 3


def test_a_stream_that_broke_is_the_last_report_and_the_text_since() -> None:
    """It is no exact count, also right after a report."""
    broken = counted([*ANTHROPIC[:4]], ends=False)
    assert broken.usage == Usage(
        provider_usage_json='{"type":"message_start","message":{"id":"m","model":"a","usage":{"input_tokens":10,"output_tokens":1}}}',
        output_tokens=4,
        source=UsageSource.PARTIAL_STREAM,
    )
    assert not counted(ANTHROPIC, ends=False).is_exact
    assert not counted([*ANTHROPIC, HELLO]).is_exact
    assert not counted(OPENAI[:1]).is_exact
    assert counted([]).usage is None


def test_an_estimate_never_exceeds_the_bound() -> None:
    """The provider stops there. What it reports does."""
    assert counted([HELLO * 100], bound=50).output_tokens == 50
    assert counted([*OPENAI, HELLO * 100], bound=3).output_tokens == 5


def test_progress_never_falls() -> None:
    """An estimate may have been too high."""
    count = StreamCount("a-model", None)
    count.take(HELLO * 10)
    assert count.progress.output_tokens == 28
    count.take(OPENAI[1])
    assert (count.output_tokens, count.progress.output_tokens) == (5, 28)


def test_the_text_may_be_said_by_the_caller() -> None:
    """And so may what counts it."""
    count = StreamCount("a-model", None, len, lambda chunk: str(chunk["words"]))
    count.take({"words": "abcde"})
    assert count.output_tokens == 5


def test_tiktoken_counts_where_it_knows_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded beside the stream; a model that it does not know, and a vocabulary that does not come, are estimated."""

    def encoding_for_model(model: str) -> Any:
        if model == "unknown":
            raise KeyError(model)
        if model == "unreachable":
            raise ConnectionError
        return SimpleNamespace(encode_ordinary=lambda text: text.split())

    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(encoding_for_model=encoding_for_model, __spec__=object()))
    monkeypatch.setattr(tokenizers, "_loaded", {})
    for model in ("known", "unknown", "unreachable"):
        tokenizers.tokenizer_of(model)
    give_up_at = time.monotonic() + 5
    while (found := tokenizers.tokenizer_of("known")) is None and time.monotonic() < give_up_at:
        time.sleep(0.001)
    assert found is not None
    assert found("three words here") == 3
    assert tokenizers.tokenizer_of("unknown") is None
    assert tokenizers.tokenizer_of("unreachable") is None
