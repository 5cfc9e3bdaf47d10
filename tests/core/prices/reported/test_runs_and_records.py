"""Usage in the logs of agents, in maps by model, in batches and in records of a gateway."""

from decimal import Decimal
from typing import Any

import pytest

from tests.core.prices.reports import all_of, one


def tokens(tokens_in: int, tokens_out: int, **parts: int) -> dict[str, Any]:
    """Usage in the words of OpenAI's responses."""
    return {"input_tokens": tokens_in, "output_tokens": tokens_out, "total_tokens": tokens_in + tokens_out, **parts}


def gemini(prompt: int, spoken: int) -> dict[str, int]:
    """Usage in Gemini's words."""
    return {"promptTokenCount": prompt, "candidatesTokenCount": spoken, "totalTokenCount": prompt + spoken}


def counted(document: Any, provider: str = "") -> list[tuple[str, int, int]]:
    """The model, the input and the output of each response; nothing in the document may be unread."""
    found = all_of(document, provider)
    assert not [path for each in found for path in each.unread]
    return [(each.model, each.counts["input_tokens"], each.counts["output_tokens"]) for each in found]


# --- Codex ------------------------------------------------------------------------------------------------------------


def turn(model: str) -> dict[str, Any]:
    """The line that says which model is in force."""
    return {"timestamp": "t", "type": "turn_context", "payload": {"cwd": "/", "model": model}}


def token_count(last: dict[str, Any] | None, so_far: dict[str, Any] | None) -> dict[str, Any]:
    """The line after a request."""
    info = {"total_token_usage": so_far, "last_token_usage": last, "model_context_window": 258_400}
    return {"timestamp": "t", "type": "event_msg", "payload": {"type": "token_count", "info": info, "rate_limits": {}}}


FIRST, SECOND = token_count(tokens(10, 5), tokens(10, 5)), token_count(tokens(20, 4), tokens(30, 9))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([turn("gpt-5-codex"), FIRST, SECOND], [("gpt-5-codex", 10, 5), ("gpt-5-codex", 20, 4)]),
        ([turn("gpt-5-codex"), FIRST, FIRST, SECOND, SECOND], [("gpt-5-codex", 10, 5), ("gpt-5-codex", 20, 4)]),
        ([turn("gpt-5-codex"), FIRST, turn("gpt-5"), SECOND], [("gpt-5-codex", 10, 5), ("gpt-5", 20, 4)]),
        ([FIRST, SECOND], [("", 10, 5), ("", 20, 4)]),
        ([SECOND], [("", 30, 9)]),
        ([token_count(None, tokens(30, 9))], [("", 30, 9)]),
        ([token_count(None, tokens(10, 5)), token_count(None, tokens(30, 9))], [("", 30, 9)]),
        ([FIRST["payload"], SECOND["payload"]], [("", 10, 5), ("", 20, 4)]),
        ([{"id": "0", "msg": FIRST["payload"]}, {"id": "1", "msg": SECOND["payload"]}], [("", 10, 5), ("", 20, 4)]),
        ([SECOND["payload"]["info"]], [("", 30, 9)]),
        ([{"last_token_usage": tokens(20, 4)}], [("", 20, 4)]),
        (
            [
                {"type": "session_meta", "payload": {"id": "s", "cli_version": "0.58.0"}},
                {"type": "event_msg", "payload": {"type": "token_count", "info": None}},
                {"type": "response_item", "payload": {"type": "message", "content": []}},
                turn("gpt-5"),
                FIRST,
            ],
            [("gpt-5", 10, 5)],
        ),
    ],
    ids=[
        "two requests",
        "lines that come twice",
        "two models",
        "no model",
        "the end of a run",
        "no last",
        "sums",
        "payloads",
        "events",
        "counts alone",
        "the last alone",
        "all lines",
    ],
)
def test_a_run_of_codex_is_the_sum_of_its_requests(lines: list[dict[str, Any]], expected: list[tuple[str, int, int]]) -> None:
    """Each request is one of its own, and what the run has beyond them is not lost."""
    assert counted(lines, "openai") == expected


def test_codex_counts_cached_tokens_and_reasoning_within() -> None:
    """As OpenAI does."""
    usage = tokens(100, 50, cached_input_tokens=80, reasoning_output_tokens=30)
    assert one(token_count(usage, usage)).counts == {
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_input_tokens": 80,
        "reasoning_output_tokens": 30,
    }


# --- By model ---------------------------------------------------------------------------------------------------------


BY_MODEL = {
    "gpt-4o": tokens(10, 5) | {"input_token_details": {"cache_read": 3}, "output_token_details": {}},
    "claude-haiku-4-5": tokens(7, 2),
}


@pytest.mark.parametrize("document", [BY_MODEL, {"usage_metadata": BY_MODEL}, [BY_MODEL]])
def test_usage_by_model_is_a_response_of_each(document: Any) -> None:
    """As LangChain's callback collects it."""
    assert counted(document) == [("gpt-4o", 10, 5), ("claude-haiku-4-5", 7, 2)]
    assert [each.counts.get("cache_read_input_tokens") for each in all_of(document)] == [3, None]


def model_usage(tokens_in: int, tokens_out: int, read: int = 0, written: int = 0, searches: int = 0) -> dict[str, Any]:
    """What Claude Code says of a model."""
    return {
        "inputTokens": tokens_in,
        "outputTokens": tokens_out,
        "cacheReadInputTokens": read,
        "cacheCreationInputTokens": written,
        "webSearchRequests": searches,
        "costUSD": 0.25,
        "contextWindow": 200_000,
        "maxOutputTokens": 32_000,
    }


OPUS, HAIKU = "claude-opus-4-5-20251101", "claude-haiku-4-5-20251001"
RESULT = {
    "type": "result",
    "subtype": "success",
    "total_cost_usd": 0.5,
    "num_turns": 2,
    "usage": {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 30},
    },
    "modelUsage": {OPUS: model_usage(10, 5, 100, 40, 1), HAIKU: model_usage(7, 3)},
}


def test_claude_code_is_charged_by_model() -> None:
    """Opus: 10 + 100 + 40 in, of which 30 are kept for an hour, as only the sum beside it says. Haiku is in no sum."""
    assert counted(RESULT) == [(OPUS, 150, 5), (HAIKU, 7, 3)]
    opus, haiku = all_of(RESULT)
    assert (opus.counts["cache_read_input_tokens"], opus.counts["cache_creation_input_tokens"]) == (100, 40)
    assert opus.counts["cache_creation_1h_input_tokens"] == 30
    assert haiku.counts.get("cache_creation_1h_input_tokens", 0) == 0
    assert opus.units == {"web_searches": 1}


def test_what_was_kept_for_an_hour_is_never_more_than_was_written() -> None:
    """The model that wrote most comes first: 40 of opus, and the 20 that are left of haiku's 30."""
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 60}}
    models = {HAIKU: model_usage(7, 3, written=30), OPUS: model_usage(10, 5, written=40)}
    haiku, opus = all_of({"type": "result", "usage": usage, "modelUsage": models})
    assert (haiku.counts["cache_creation_1h_input_tokens"], opus.counts["cache_creation_1h_input_tokens"]) == (20, 40)


def assistant(name: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """A line of Claude Code's log, of a request to opus."""
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    return {"type": "assistant", "message": {"id": name, "model": OPUS, "content": [{"type": "text"}], "usage": usage}}


def test_the_result_of_claude_code_is_never_added_to_its_messages() -> None:
    """The messages have 4 + 6 in and 1 + 1 out; the result has 10 and 5: 3 more out, of the larger one. Haiku has none."""
    models = {f"{OPUS}[1m]": model_usage(10, 5), HAIKU: model_usage(7, 3)}
    log = [assistant("a", 4, 1), assistant("a", 4, 1), assistant("b", 6, 1), {"type": "result", "modelUsage": models}]
    assert counted(log) == [(OPUS, 4, 1), (OPUS, 6, 4), (HAIKU, 7, 3)]
    of_one = {"type": "result", "usage": {"input_tokens": 10, "output_tokens": 5}}
    assert counted([*log[:3], of_one]) == [(OPUS, 4, 1), (OPUS, 6, 4)]
    listed = [{"input_tokens": 4, "output_tokens": 1}, {"input_tokens": 6, "output_tokens": 4}]
    of_one["usage"]["iterations"] = listed  # type: ignore[index]  # an object
    assert counted([log[0], of_one]) == [(OPUS, 10, 5)]
    assert counted([of_one]) == [("", 4, 1), ("", 6, 4)]


# --- Batches ----------------------------------------------------------------------------------------------------------


def line(name: str, body: Any, status: int = 200, error: Any = None) -> dict[str, Any]:
    """A line of OpenAI's batch output."""
    response = {"status_code": status, "request_id": name, "body": body}
    return {"id": f"batch_req_{name}", "custom_id": name, "response": response, "error": error}


COMPLETION = {"id": "c", "model": "gpt-4o", "choices": [{}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
MESSAGE = {"id": "m", "model": "claude-haiku-4-5", "content": [{}], "usage": {"input_tokens": 10, "output_tokens": 5}}
TITAN = {"inputTextTokenCount": 10, "results": [{"tokenCount": 5}]}
ANSWER = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": gemini(10, 5)}
ASKED = {"inputText": "Hi", "textGenerationConfig": {"maxTokenCount": 512}}
BATCHES: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    (
        line("a", COMPLETION),
        [
            line("b", {"error": {"message": "bad"}}, 400),
            line("c", {"id": "y", "model": "gpt-4o", "choices": [{}], "usage": None}, 500),
            {"custom_id": "d", "response": None, "error": {"code": "batch_expired"}},
        ],
    ),
    (
        {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
        [
            {"custom_id": "b", "result": {"type": "errored", "error": {"type": "error", "max_tokens_seen": 5}}},
            {"custom_id": "c", "result": {"type": "expired"}},
        ],
    ),
    (
        {"recordId": "a", "modelInput": ASKED, "modelOutput": TITAN},
        [{"recordId": "b", "modelInput": {"unknown_tokens": 5}, "error": {"errorCode": 400}}],
    ),
    (
        {"status": "", "processed_time": "t", "request": {"max_unknown_tokens": 5}, "response": ANSWER},
        [{"status": "Bad Request", "processed_time": "t", "request": {"max_unknown_tokens": 5}, "response": {}}],
    ),
    ({"key": "a", "response": ANSWER}, [{"key": "b", "error": {"code": 3, "message": "bad", "tokens": 5}}]),
]


@pytest.mark.parametrize(("good", "bad"), BATCHES, ids=["OpenAI", "Anthropic", "Bedrock", "Vertex", "Gemini"])
def test_what_failed_in_a_batch_used_nothing(good: dict[str, Any], bad: list[dict[str, Any]]) -> None:
    """It is no response without usage: beside good lines nothing is charged for it, and alone it says no usage at all."""
    found = one([*bad, good, *bad])
    assert (found.counts["input_tokens"], found.counts["output_tokens"], found.service_tier) == (10, 5, "batch")
    assert found.unread == ()
    assert not any(each.counts or each.unread for each in all_of(bad))


@pytest.mark.parametrize(
    "document",
    [
        {"name": "batches/1", "done": True, "response": {"inlinedResponses": {"inlinedResponses": "LIST"}}},
        {"name": "batches/1", "state": "JOB_STATE_SUCCEEDED", "dest": {"inlined_responses": "LIST"}},
        {"inlinedResponses": "LIST"},
    ],
)
def test_inlined_responses_of_gemini(document: dict[str, Any]) -> None:
    """Each is one of its own at the tier of batches, with or without an id; one that failed used nothing."""
    responses = [
        {"response": ANSWER, "metadata": {"key": "a"}},
        {"error": {"code": 3, "message": "bad"}, "metadata": {"key": "b"}},
        {"response": ANSWER},
        {"response": ANSWER | {"responseId": "r"}},
    ]

    def put(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: put(each) for name, each in found.items()}
        return responses if found == "LIST" else found

    assert counted(put(document)) == [("", 10, 5)] * 3
    assert {each.service_tier for each in all_of(put(document))} == {"batch"}


# --- Records and traces -----------------------------------------------------------------------------------------------


GENERATION = {
    "id": "gen-1",
    "model": "openai/gpt-4o",
    "total_cost": 0.0015,
    "upstream_inference_cost": 0.0012,
    "usage": 0.0015,
    "is_byok": False,
    "tokens_prompt": 11,
    "tokens_completion": 22,
    "native_tokens_prompt": 10,
    "native_tokens_completion": 25,
    "native_tokens_reasoning": 5,
    "native_tokens_cached": 3,
    "native_tokens_completion_images": None,
    "num_search_results": None,
}


def test_openrouters_record_of_a_generation() -> None:
    """The native counts are those that are charged."""
    found = one({"data": GENERATION}, "openrouter")
    assert (found.response_id, found.model, found.unread) == ("gen-1", "openai/gpt-4o", ())
    assert found.counts == {
        "input_tokens": 10,
        "output_tokens": 25,
        "cache_read_input_tokens": 3,
        "reasoning_output_tokens": 5,
    }
    assert found.reported_cost_usd == Decimal("0.0015")
    assert one({"data": GENERATION | {"is_byok": True}}).reported_cost_usd == Decimal("0.0012")


def traced(kind: str, name: str, **beside: Any) -> dict[str, Any]:
    """An event of a Bedrock agent."""
    return {"trace": {"agentId": "A", "sessionId": "s", "trace": {"orchestrationTrace": {kind: {"traceId": name, **beside}}}}}


def test_traces_of_a_bedrock_agent() -> None:
    """Each model call has an id, which its input and its output share; the input names the model."""
    usage = {"inputTokens": 10, "outputTokens": 5}
    events = [
        traced("modelInvocationInput", "t-0", foundationModel="anthropic.claude-3-5-sonnet-20240620-v1:0", text="Hi"),
        traced("modelInvocationOutput", "t-0", metadata={"usage": usage, "clientRequestId": "c"}, rawResponse={"content": ""}),
        traced("rationale", "t-0", text="why"),
        traced("modelInvocationOutput", "t-1", metadata={"usage": usage}),
        {
            "trace": {
                "trace": {"preProcessingTrace": {"modelInvocationOutput": {"metadata": {"usage": usage}, "traceId": "t-2"}}}
            }
        },
    ]
    assert [each.response_id for each in all_of(events)] == ["t-0", "t-1", "t-2"]
    assert counted(events) == [("anthropic.claude-3-5-sonnet-20240620-v1:0", 10, 5), ("", 10, 5), ("", 10, 5)]


@pytest.mark.parametrize(
    "document",
    [
        {
            "predictions": [
                {"embeddings": {"statistics": {"truncated": False, "token_count": 6}, "values": [0.1]}},
                {"embeddings": {"statistics": {"truncated": False, "token_count": 4}, "values": [0.2]}},
            ],
            "metadata": {"billableCharacterCount": 40},
        },
        {"embeddings": [{"values": [0.1], "statistics": {"tokenCount": 6.0}}, {"statistics": {"tokenCount": 4.0}}]},
    ],
    ids=["the answer", "as Google's client has it"],
)
def test_embeddings_of_vertex(document: dict[str, Any]) -> None:
    """The tokens of all texts: 6 + 4. There is no output, and no image."""
    assert counted(document) == [("", 10, 0)]
    assert counted([document, document]) == [("", 10, 0)] * 2


def test_the_models_of_a_realtime_session() -> None:
    """Its first event names the one that answers and the one that transcribes; the events with usage name neither."""
    transcript = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "i1",
        "usage": {"type": "tokens", **tokens(13, 9), "input_token_details": {"text_tokens": 0, "audio_tokens": 13}},
    }
    heard = {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
    done = {"type": "response.done", "response": {"id": "r1", "usage": tokens(100, 50)}}
    created = {"type": "session.created", "session": {"model": "gpt-realtime", **heard}}
    before = {"type": "session.created", "session": {"model": "gpt-realtime"}}
    updated = {"type": "session.updated", "session": {"input_audio_transcription": {"model": "gpt-4o-transcribe"}}}
    expected = [("gpt-4o-transcribe", 13, 9), ("gpt-realtime", 100, 50)]
    assert counted([created, transcript, done]) == expected
    assert counted([before, updated, transcript, done]) == expected
