"""Responses without ids are told apart, the events of one are not, and each is priced at its own long-context step."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Cost
from creditmeter.core.prices.call_costs import call_cost
from creditmeter.core.prices.reported.calls import reported_call
from creditmeter.core.work import Usage
from tests.core.prices.priced import CARD, NOW
from tests.core.prices.reports import all_of

Counts = list[tuple[int, int]]


def chat(prompt: int, completion: int) -> dict[str, int]:
    """Usage in OpenAI's words."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def gemini(prompt: int, spoken: int) -> dict[str, int]:
    """Usage in Gemini's words."""
    return {"promptTokenCount": prompt, "candidatesTokenCount": spoken, "totalTokenCount": prompt + spoken}


def live(prompt: int, spoken: int) -> dict[str, int]:
    """Usage in the words of Gemini Live."""
    return {"promptTokenCount": prompt, "responseTokenCount": spoken, "totalTokenCount": prompt + spoken}


def converse(tokens_in: int, tokens_out: int) -> dict[str, int]:
    """Usage in the words of Bedrock Converse and the AI SDK."""
    return {"inputTokens": tokens_in, "outputTokens": tokens_out, "totalTokens": tokens_in + tokens_out}


def message(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """Usage in the words of Anthropic and of OpenAI's responses."""
    return {"input_tokens": tokens_in, "output_tokens": tokens_out}


def span(operation: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """A span in OpenTelemetry's words."""
    usage = {"gen_ai.usage.input_tokens": tokens_in, "gen_ai.usage.output_tokens": tokens_out}
    return {"name": operation, "attributes": {"gen_ai.operation.name": operation, **usage}}


def counts_of(document: Any, provider: str = "") -> Counts:
    """Input and output of each response in a document."""
    return [(each.counts["input_tokens"], each.counts["output_tokens"]) for each in all_of(document, provider)]


def usd_of(document: Any, model: str, provider: str) -> Decimal:
    """What a report costs by the list."""
    usage = Usage("text", provider=provider, request_model=model, provider_usage_json=json.dumps(document))
    cost = call_cost(CARD, reported_call(usage), NOW, is_fact=True)
    assert isinstance(cost, Cost)
    return cost.usd


TURN_ENDS = {"turnComplete": True}
CONVERSED = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            [
                {"serverContent": {"modelTurn": {"parts": []}}, "usageMetadata": live(100, 2)},
                {"serverContent": TURN_ENDS, "usageMetadata": live(100, 5)},
                {"serverContent": {"modelTurn": {"parts": []}}, "usageMetadata": live(80, 1)},
                {"serverContent": TURN_ENDS, "usageMetadata": live(80, 7)},
            ],
            [(100, 5), (80, 7)],
            id="turns of Gemini Live",
        ),
        pytest.param(
            [
                {"serverContent": TURN_ENDS},
                {"usageMetadata": live(100, 5)},
                {"serverContent": TURN_ENDS},
                {"usageMetadata": live(100, 5)},
            ],
            [(100, 5), (100, 5)],
            id="turns whose counts come behind them",
        ),
        pytest.param(
            [
                {
                    "server_content": {"turn_complete": True},
                    "usage_metadata": {"prompt_token_count": 9, "total_token_count": 9},
                },
                {
                    "server_content": {"turn_complete": True},
                    "usage_metadata": {"prompt_token_count": 8, "total_token_count": 8},
                },
            ],
            [(9, 0), (8, 0)],
            id="turns as Google's client writes them",
        ),
        pytest.param(
            [*CONVERSED, {"metadata": {"usage": converse(10, 5)}}, *CONVERSED, {"metadata": {"usage": converse(10, 3)}}],
            [(10, 5), (10, 3)],
            id="streams of Converse",
        ),
        pytest.param(
            [{"metadata": {"usage": converse(10, n), "metrics": {"latencyMs": 9}}} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="the counts of streams of Converse alone",
        ),
        pytest.param(
            [
                {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hi"}}], "usage": None},
                {"object": "chat.completion.chunk", "choices": [], "usage": chat(10, 5)},
                {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hi"}}], "usage": None},
                {"object": "chat.completion.chunk", "choices": [], "usage": chat(10, 4)},
            ],
            [(10, 5), (10, 4)],
            id="streams of chat completions",
        ),
        pytest.param(
            [{"type": "ai", "content": "Hi", "usage_metadata": message(10, n)} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="messages of LangChain",
        ),
        pytest.param(
            [{"kind": "response", "parts": [], "usage": message(10, n)} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="messages of pydantic-ai",
        ),
        pytest.param(
            [
                {"type": "message_start", "message": {"usage": message(10, 1)}},
                {"type": "message_delta", "usage": {"output_tokens": 5}},
                {"type": "message_start", "message": {"usage": message(10, 1)}},
                {"type": "message_delta", "usage": {"output_tokens": 3}},
            ],
            [(10, 5), (10, 3)],
            id="streams of Anthropic",
        ),
        pytest.param(
            {
                "raw_responses": [
                    {"output": [{"type": "message"}], "usage": {"requests": 1, **message(10, 5)}, "response_id": None},
                    {"output": [{"type": "message"}], "usage": {"requests": 1, **message(10, 5)}, "response_id": None},
                ]
            },
            [(10, 5), (10, 5)],
            id="raw responses of the Agents SDK",
        ),
        pytest.param(
            [
                {"candidates": [{"content": {}}], "usageMetadata": gemini(10, 2)},
                {"candidates": [{"finishReason": "STOP"}], "usageMetadata": gemini(10, 5)},
                {"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": gemini(10, 4)},
            ],
            [(10, 5), (10, 4)],
            id="finished responses of Gemini",
        ),
        pytest.param(
            [{"type": "response.done", "response": {"usage": message(10, n)}} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="responses of realtime",
        ),
        pytest.param(
            {"modelResponses": [{"output": [], "usage": {"requests": 1, **converse(10, n)}} for n in (5, 4)]},
            [(10, 5), (10, 4)],
            id="responses of the Agents SDK in JavaScript",
        ),
        pytest.param(
            [{"choices": [{"message": {"content": "Hi"}}], "usage": chat(10, n)} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="completions that do not say what they are",
        ),
        pytest.param(
            [{"type": "message", "stop_reason": "end_turn", "content": [], "usage": message(10, n)} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="messages of Anthropic",
        ),
        pytest.param(
            [
                {"generation": "H", "prompt_token_count": 10, "generation_token_count": 1, "stop_reason": None},
                {"generation": "i", "prompt_token_count": None, "generation_token_count": 5, "stop_reason": "stop"},
                {"generation": "Hi", "prompt_token_count": 10, "generation_token_count": 4, "stop_reason": "stop"},
            ],
            [(10, 5), (10, 4)],
            id="Llama",
        ),
        pytest.param(
            [{"inputTextTokenCount": 10, "results": [{"tokenCount": n, "completionReason": "FINISH"}]} for n in (5, 4)],
            [(10, 5), (10, 4)],
            id="Titan",
        ),
        pytest.param(
            [{"type": "transcript.text.done", "usage": message(10, n)} for n in (5, 4)], [(10, 5), (10, 4)], id="transcripts"
        ),
        pytest.param(
            [span("chat", 10, 5), span("chat", 10, 4), span("invoke_agent", 20, 9)], [(10, 5), (10, 4)], id="spans of requests"
        ),
        pytest.param(
            [span("invoke_agent", 20, 9), span("chat", 10, 5), span("chat", 10, 4)],
            [(10, 5), (10, 4)],
            id="spans with that of the run first",
        ),
        pytest.param([chat(10, 5), chat(9, 4), chat(10, 3)], [(10, 5), (9, 4), (10, 3)], id="bare usages of several prompts"),
        pytest.param(
            [{"model": "gpt-4o", "usage": chat(10, 5)}, {"model": "gpt-4o", "usage": chat(9, 4)}],
            [(10, 5), (9, 4)],
            id="usages of several prompts with names alone",
        ),
        pytest.param(
            [chat(10, 5) | {"cost": 0.1}, chat(10, 4) | {"cost": 0.2}], [(10, 5), (10, 4)], id="each with its own cost"
        ),
        pytest.param(
            [
                {"type": "conversation.item.input_audio_transcription.completed", "item_id": "i1", "usage": message(13, 9)},
                {"type": "response.done", "response": {"id": "r1", "usage": message(100, 50)}},
            ],
            [(13, 9), (100, 50)],
            id="a transcript of what was heard",
        ),
    ],
)
def test_responses_without_ids_are_told_apart(document: Any, expected: Counts) -> None:
    """By what ends one or begins another."""
    assert counts_of(document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([chat(10, 2), chat(10, 7), chat(10, 5)], (10, 7)),
        ([chat(10, 5), chat(0, 0)], (10, 5)),
        ([chat(10, 5), {"prompt_tokens": 10, "completion_tokens": None}], (10, 5)),
        ([{"prompt_tokens": 10}, {"completion_tokens": 5}], (10, 5)),
        ([chat(10, 5), chat(10, 5)], (10, 5)),
        ([message(3, 1), {"output_tokens": 9}], (3, 9)),
        ([gemini(10, 2), gemini(10, 5)], (10, 5)),
        ([gemini(10, 2), gemini(10, 5) | {"toolUsePromptTokenCount": 7, "totalTokenCount": 22}], (17, 5)),
        ([{"candidates": [{"finishReason": None}], "usageMetadata": gemini(10, n)} for n in (2, 5)], (10, 5)),
        ([*CONVERSED, {"metadata": {"usage": converse(10, 5)}}], (10, 5)),
    ],
)
def test_events_of_one_response_stay_one(document: Any, expected: tuple[int, int]) -> None:
    """Counts of a stream are cumulative, and its prompt is one: what is less, missing or the same again adds nothing."""
    assert counts_of(document) == [expected]


@given(st.lists(st.integers(0, 90), min_size=1, max_size=5), st.sampled_from([chat, gemini, converse, message]), st.data())
def test_bare_counts_of_one_stream_are_cumulative(spoken: list[int], words: Any, data: st.DataObject) -> None:
    """In whatever order they come."""
    pieces = data.draw(st.permutations([words(10, each) for each in [*spoken, 97]]))
    assert counts_of(pieces) == [(10, 97)]


def gemini_stream(prompt: int, spoken: list[int]) -> list[dict[str, Any]]:
    """The chunks of a response of Gemini."""
    chunks = [{"candidates": [{"content": {}}], "usageMetadata": gemini(prompt, each)} for each in spoken]
    return [*chunks, {"candidates": [{"finishReason": "STOP"}], "usageMetadata": gemini(prompt, 97)}]


def live_turn(prompt: int, spoken: list[int]) -> list[dict[str, Any]]:
    """The events of a turn of Gemini Live."""
    events: list[dict[str, Any]] = [{"serverContent": {}, "usageMetadata": live(prompt, each)} for each in spoken]
    return [*events, {"serverContent": TURN_ENDS, "usageMetadata": live(prompt, 97)}]


def anthropic_stream(prompt: int, spoken: list[int]) -> list[dict[str, Any]]:
    """The events of a message of Anthropic."""
    deltas = [{"type": "message_delta", "usage": {"output_tokens": each}} for each in (*spoken, 97)]
    return [{"type": "message_start", "message": {"usage": message(prompt, 1)}}, *deltas, {"type": "message_stop"}]


def chat_stream(prompt: int, spoken: list[int]) -> list[dict[str, Any]]:
    """The chunks of a chat completion, with the counts so far, as vLLM writes them."""
    piece = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hi"}}]}
    last = {"object": "chat.completion.chunk", "choices": [], "usage": chat(prompt, 97)}
    return [*(piece | {"usage": chat(prompt, each)} for each in spoken), last]


STREAMS = st.sampled_from([gemini_stream, live_turn, anthropic_stream, chat_stream])


@given(st.lists(st.tuples(STREAMS, st.integers(1, 500), st.lists(st.integers(0, 97), max_size=3)), min_size=1, max_size=5))
def test_streams_one_behind_the_other_read_as_each_alone(streams: list[tuple[Any, int, list[int]]]) -> None:
    """Whatever comes after what, and however many events each has."""
    events = [event for stream, prompt, spoken in streams for event in stream(prompt, spoken)]
    assert counts_of(events) == [(prompt, 97) for _, prompt, _ in streams]


IN_OPENAIS_WORDS = {"openai": {"usage": chat(10, 5)}}


@pytest.mark.parametrize(
    "document",
    [
        {"type": "finish-step", "usage": converse(10, 5), "providerMetadata": IN_OPENAIS_WORDS},
        {"type": "finish", "usage": converse(10, 5), "providerMetadata": IN_OPENAIS_WORDS},
        {"choices": [{"message": {}}], "usage": converse(10, 5), "providerMetadata": IN_OPENAIS_WORDS},
        {"steps": [{"usage": converse(10, 5), "providerMetadata": IN_OPENAIS_WORDS}], "usage": converse(10, 5)},
    ],
)
def test_the_same_in_other_words_is_no_other_response(document: dict[str, Any]) -> None:
    """The AI SDK has the provider's own counts beside its own."""
    assert counts_of(document) == [(10, 5)]
    assert counts_of([document, document]) == [(10, 5), (10, 5)]


def test_a_transcript_has_the_model_that_made_it() -> None:
    """Where its event says so."""
    kind = "conversation.item.input_audio_transcription.completed"
    events = [
        {"type": "response.done", "response": {"id": "r1", "model": "gpt-realtime", "usage": message(100, 50)}},
        {"type": kind, "item_id": "i1", "model": "gpt-4o-transcribe", "usage": message(13, 9)},
    ]
    assert [(each.response_id, each.model) for each in all_of(events)] == [("r1", "gpt-realtime"), ("i1", "gpt-4o-transcribe")]


# --- Steps ------------------------------------------------------------------------------------------------------------


STEPS = [
    {"type": "finish-step", "usage": converse(10, 5), "response": {"id": "a", "modelId": "gpt-4o"}},
    {"type": "finish-step", "usage": converse(20, 6), "response": {"id": "b", "modelId": "gpt-4o"}},
]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param([*STEPS, {"type": "finish", "totalUsage": converse(30, 11)}], [(10, 5), (20, 6)], id="a stream"),
        pytest.param(
            [{"type": "finish-step", "usage": converse(10, 5)}] * 2 + [{"type": "finish", "totalUsage": converse(20, 10)}],
            [(10, 5), (10, 5)],
            id="a stream without ids",
        ),
        pytest.param(
            [
                {"type": "step-finish", "usage": {"promptTokens": 10, "completionTokens": 5}, "response": {"id": "a"}},
                {"type": "step-finish", "usage": {"promptTokens": 20, "completionTokens": 6}, "response": {"id": "b"}},
                {"type": "finish", "usage": {"promptTokens": 30, "completionTokens": 11}, "response": {"id": "b"}},
            ],
            [(10, 5), (20, 6)],
            id="a stream of the fourth version",
        ),
        pytest.param(
            [
                *STEPS,
                {"type": "finish", "totalUsage": converse(30, 11)},
                {"type": "finish-step", "usage": converse(7, 1), "response": {"id": "c"}},
                {"type": "finish", "totalUsage": converse(7, 1)},
            ],
            [(10, 5), (20, 6), (7, 1)],
            id="two streams",
        ),
        pytest.param(
            [STEPS[1], {"type": "finish", "totalUsage": converse(30, 11)}], [(30, 11)], id="a step whose sum says more"
        ),
        pytest.param([{"type": "finish", "totalUsage": converse(30, 11)}], [(30, 11)], id="a sum without steps"),
        pytest.param(
            [{"type": "finish", "messageMetadata": {"totalUsage": converse(30, 11)}}], [(30, 11)], id="as the browser has it"
        ),
        pytest.param(
            {"usage": converse(20, 6), "totalUsage": converse(30, 11), "steps": STEPS}, [(10, 5), (20, 6)], id="a result"
        ),
        pytest.param({"usage": converse(30, 12), "steps": STEPS}, [(10, 5), (20, 7)], id="a result whose sum says more"),
        pytest.param({"usage": converse(30, 11), "steps": [{"text": "Hi"}]}, [(30, 11)], id="steps without counts"),
    ],
)
def test_steps_of_the_ai_sdk_are_never_added_to_their_sum(document: Any, expected: Counts) -> None:
    """Only what the sum has more is: at the largest step."""
    assert counts_of(document) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            message(23, 1) | {"iterations": [message(180, 3) | {"type": "compaction"}, message(23, 1) | {"type": "message"}]},
            [(180, 3), (23, 1)],
            id="the total leaves compaction out",
        ),
        pytest.param(
            message(300, 30) | {"request_usage_entries": [message(100, 10), message(200, 20)], "requests": 2},
            [(100, 10), (200, 20)],
            id="the Agents SDK",
        ),
        pytest.param(
            message(300, 35) | {"request_usage_entries": [message(100, 10), message(150, 20)], "requests": 3},
            [(100, 10), (200, 25)],
            id="the total says more",
        ),
        pytest.param(
            converse(300, 30) | {"requestUsageEntries": [converse(100, 10), converse(200, 20)], "requests": 2},
            [(100, 10), (200, 20)],
            id="the Agents SDK in JavaScript",
        ),
        pytest.param(message(23, 1) | {"iterations": [message(23, 1) | {"type": "message"}]}, [(23, 1)], id="one step"),
        pytest.param(message(23, 1) | {"iterations": [{}, 5]}, [(23, 1)], id="no step"),
        pytest.param(
            message(50, 9) | {"iterations": [{"input_tokens": 20}, message(30, 4)]}, [(20, 5), (30, 4)], id="an unknown output"
        ),
    ],
)
def test_each_step_is_a_request_of_its_own(usage: dict[str, Any], expected: Counts) -> None:
    """And what is billed is at least their sum."""
    assert counts_of({"id": "m", "model": "m", "usage": usage}) == expected
    assert {each.response_id for each in all_of({"id": "m", "model": "m", "usage": usage})} == {"m"}


@pytest.mark.parametrize(
    "usage",
    [
        message(10, 5) | {"input_tokens_details": [{"cached_tokens": 8}], "output_tokens_details": [{"reasoning_tokens": 3}]},
        converse(10, 5) | {"inputTokensDetails": [{"cached_tokens": 8}], "outputTokensDetails": [{"reasoning_tokens": 3}]},
        converse(10, 5) | {"inputTokensDetails": {"cached_tokens": 8}, "outputTokensDetails": {"reasoning_tokens": 3}},
    ],
)
def test_details_may_stand_in_a_list(usage: dict[str, Any]) -> None:
    """As the Agents SDK writes them when it keeps a run."""
    (found,) = all_of(usage)
    assert (found.counts["cache_read_input_tokens"], found.counts["reasoning_output_tokens"]) == (8, 3)
    assert not found.unread


def test_each_step_has_its_own_long_context_step() -> None:
    """Two steps of 150,000 tokens cost 3 and 15 dollars a million each: 0.9 and 0.00045. Their sum would be above 200,000
    tokens, and so at 6 and 22.5 dollars: 1.8 and 0.000675.
    """
    steps = [message(150_000, 20) | {"type": "compaction"}, message(150_000, 10) | {"type": "message"}]
    usage = message(150_000, 10) | {"iterations": steps}
    assert usd_of({"usage": usage}, "claude-sonnet-4-5", "anthropic") == Decimal("0.90045")
    whole = {"usage": message(300_000, 30)}
    assert usd_of(whole, "claude-sonnet-4-5", "anthropic") == Decimal("1.800675")


def test_finished_responses_of_gemini_have_their_own_long_context_step() -> None:
    """Two of 150,000 tokens cost 1.25 and 10 dollars a million each: 0.375 and 0.0003."""
    finished = [{"candidates": [{"finishReason": "STOP"}], "usageMetadata": gemini(150_000, n)} for n in (10, 20)]
    assert usd_of(finished, "gemini-2.5-pro", "google") == Decimal("0.3753")
