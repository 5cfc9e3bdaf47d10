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


def read_of(count: StreamCount) -> CountedUsage:
    """What the sidecar reads of a count."""
    assert count.usage is not None
    said = CountedUsage(provider_usage_json=count.usage.provider_usage_json, output_tokens=count.usage.output_tokens)
    found = Pricing.counted(None, said, Work("text", request_model="m"))  # type: ignore[arg-type]  # no card is asked
    assert isinstance(found, CountedUsage)
    return found


@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
@pytest.mark.parametrize(
    "wire",
    [
        "".join(f"data: {json.dumps(each)}\n\n" for each in OPENAI) + "data: [DONE]\n\n",
        ": ping\n\n" + "".join(f"id: 1\nevent: e\ndata: {json.dumps(each)}\n\n" for each in OPENAI),
        "".join(f"{json.dumps(each)}\n" for each in OLLAMA),
    ],
    ids=["events", "events with comments", "lines of JSON"],
)
def test_what_comes_over_http_may_be_cut_anywhere(wire: str, size: int) -> None:
    """Each event is read once it is whole."""
    raw = wire.encode()
    count = counted([raw[begin : begin + size] for begin in range(0, len(raw), size)])
    assert count.is_exact
    assert (read_of(count).input_tokens, count.output_tokens) == (10, 5)


def test_lines_may_come_one_by_one() -> None:
    """As `aiter_lines` gives them, without their ends."""
    lines = [line for each in OPENAI for line in ("event: e", f"data: {json.dumps(each)}", "")]
    assert counted([*lines, "data: [DONE]"]).is_exact
    assert counted([json.dumps(each) for each in OLLAMA]).is_exact


def test_an_event_may_be_a_list_of_events() -> None:
    """Each is read."""
    assert counted([f"data: {json.dumps(OPENAI)}\n\n"]).is_exact


def test_json_that_a_model_generates_is_text() -> None:
    """Also where it looks like an event for a while."""
    assert counted(['{"a', '": 1}', '{"answer": 42}']).output_tokens == 6


@pytest.mark.parametrize(
    ("events", "output", "searches"),
    [
        pytest.param([{"usageMetadata": {"promptTokenCount": 10, "thoughtsTokenCount": 50}}], 50, 0, id="thoughts alone"),
        pytest.param([{"usageMetadata": {"promptTokenCount": 10, "responseTokenCount": 7}}], 7, 0, id="Gemini Live"),
        pytest.param(
            [
                {"type": "content-delta", "delta": {"message": {"content": {"text": HELLO}}}},
                {"type": "message-end", "delta": {"usage": {"billed_units": {"input_tokens": 10, "output_tokens": 5}}}},
            ],
            5,
            0,
            id="Cohere's billed units",
        ),
        pytest.param(
            [
                {"event_type": "text-generation", "text": HELLO},
                {
                    "event_type": "stream-end",
                    "response": {"text": HELLO, "meta": {"tokens": {"input_tokens": 10, "output_tokens": 5}}},
                },
            ],
            5,
            0,
            id="Cohere v1",
        ),
        pytest.param(
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}},
                {"type": "content_block_delta", "delta": {"text": "Yes"}},
                {"type": "message_delta", "usage": {"output_tokens": 1}},
            ],
            1,
            0,
            id="no more than at first",
        ),
        pytest.param(
            [
                {"type": "AIMessageChunk", "content": HELLO, "usage_metadata": {"input_tokens": 10, "output_tokens": 5}},
                {"type": "AIMessageChunk", "content": HELLO, "usage_metadata": {"input_tokens": 0, "output_tokens": 20}},
            ],
            25,
            0,
            id="LangChain's differences",
        ),
        pytest.param(
            [
                (
                    {"type": "AIMessageChunk", "content": "", "usage_metadata": {"input_tokens": 10, "output_tokens": 5}},
                    {"step": 1},
                )
            ],
            5,
            0,
            id="LangGraph's tuples",
        ),
        pytest.param(
            [
                {
                    "chunk": {
                        "bytes": json.dumps(
                            {"type": "message_delta", "usage": {"input_tokens": 10, "output_tokens": 5}}
                        ).encode()
                    }
                }
            ],
            5,
            0,
            id="Bedrock's bytes",
        ),
        pytest.param(
            [
                {
                    "type": "response.completed",
                    "response": {
                        "output": [{"type": "web_search_call", "id": "w", "status": "completed"}, {"type": "message"}],
                        "usage": {"input_tokens": 10, "output_tokens": 5},
                    },
                }
            ],
            5,
            1,
            id="OpenAI searched",
        ),
        pytest.param(
            [
                {
                    "candidates": [{"groundingMetadata": {"webSearchQueries": ["why"]}}],
                    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
                }
            ],
            5,
            1,
            id="Gemini searched",
        ),
    ],
)
def test_reports_of_every_kind_are_whole(events: list[Any], output: int, searches: int) -> None:
    """What is committed has all that the provider reported."""
    count = counted(events)
    assert count.is_exact
    found = read_of(count)
    assert (found.input_tokens, found.output_tokens, sum(found.units.values())) == (10, output, searches)


def test_what_an_event_repeats_or_encodes_is_no_text() -> None:
    """The arguments so far beside the new ones, and sound as text."""
    event = {"type": "tool_calls.function.arguments.delta", "arguments": HELLO * 9, "arguments_delta": HELLO}
    assert counted([event]).output_tokens == 3
    assert counted([{"type": "response.output_audio.delta", "delta": "A" * 1_000}]).output_tokens == 0
    assert counted([{"type": "response.output_audio_transcript.delta", "delta": HELLO}]).output_tokens == 3


def test_a_report_that_is_not_understood_is_left_to_the_sidecar() -> None:
    """It may read more of it, so no count is said beside it."""
    count = counted([{"usage": {"prompt_tokens": 10, "some_new_tokens": 5}}])
    assert count.usage == Usage(
        provider_usage_json='{"usage":{"prompt_tokens":10,"some_new_tokens":5}}', source=UsageSource.PARTIAL_STREAM
    )


def test_a_chunk_of_the_caller_s_own_is_what_he_says() -> None:
    """Its text is counted before what its provider reports with it; a tokenizer may give a fraction."""
    count = StreamCount("a-model", None, lambda text: len(text) / 4.5, lambda _: HELLO)  # type: ignore[arg-type,return-value]  # as users do
    count.take(1)
    assert count.output_tokens == 3
    count.take(OPENAI[1])
    count.end()
    assert count.is_exact
