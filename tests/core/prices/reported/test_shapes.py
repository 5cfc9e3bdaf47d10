"""Each shape in which usage is written, and each class of tokens in it: hand-written payloads, and every place of the table."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from creditmeter.core.prices.reported.classes import COUNTS, UNITS
from creditmeter.core.prices.reported.counting import Place
from creditmeter.core.prices.reported.shapes import SHAPES, Shape
from tests.core.prices.reports import CACHED_AUDIO, counted, one


@pytest.mark.parametrize(
    ("provider", "document", "counts", "units"),
    [
        pytest.param(
            "openai",
            CACHED_AUDIO,
            counted(**{"in": 1000}, out=253, read=900, audio_in=850, image_in=50, audio_out=200),
            {"cached_audio_input_tokens": 800, "cached_image_input_tokens": 40},
            id="realtime: which of the cached tokens were audio and images",
        ),
        pytest.param(
            "openai",
            {"input_tokens": 500, "cached_input_tokens": 400, "output_tokens": 90, "reasoning_output_tokens": 70},
            counted(**{"in": 500}, out=90, read=400, thought=70),
            {},
            id="Codex",
        ),
        pytest.param(
            "openai",
            {"input_tokens": 500, "cached_input_tokens": 400, "cache_write_input_tokens": 60, "output_tokens": 90},
            counted(**{"in": 500}, out=90, read=400, written=60),
            {},
            id="Codex: what was written to the cache is inside, too",
        ),
        pytest.param(
            "aws",
            {
                "inputTextTokenCount": 8,
                "results": [{"tokenCount": 50, "outputText": "a"}, {"tokenCount": 6, "outputText": "b"}],
            },
            counted(**{"in": 8}, out=56),
            {},
            id="Titan: the output of each result",
        ),
        pytest.param(
            "aws",
            [
                {"outputText": "a", "index": 0, "inputTextTokenCount": None, "totalOutputTextTokenCount": None},
                {"outputText": "b", "index": 0, "inputTextTokenCount": 8, "totalOutputTextTokenCount": 56},
            ],
            counted(**{"in": 8}, out=56),
            {},
            id="Titan: a stream",
        ),
        pytest.param(
            "openai",
            {"promptTokens": 500, "completionTokens": 90, "totalTokens": 590},
            counted(**{"in": 500}, out=90),
            {},
            id="AI SDK 4",
        ),
        pytest.param(
            "openai",
            {"inputTokens": 500, "outputTokens": 90, "totalTokens": 590, "cachedInputTokens": 400, "reasoningTokens": 70},
            counted(**{"in": 500}, out=90, read=400, thought=70),
            {},
            id="AI SDK 5: cached tokens are inside",
        ),
        pytest.param(
            "anthropic",
            {"inputTokens": 100, "outputTokens": 90, "totalTokens": 190, "cachedInputTokens": 400},
            counted(**{"in": 500}, out=90, read=400),
            {},
            id="AI SDK 5: but not at Anthropic",
        ),
        pytest.param(
            "google",
            {"inputTokens": 100, "outputTokens": 20, "reasoningTokens": 70, "totalTokens": 190},
            counted(**{"in": 100}, out=90, thought=70),
            {},
            id="AI SDK 5: the total says that thoughts are beside the output",
        ),
        pytest.param(
            "anthropic",
            {
                "inputTokens": 500,
                "inputTokenDetails": {"noCacheTokens": 50, "cacheReadTokens": 150, "cacheWriteTokens": 300},
                "outputTokens": 90,
                "outputTokenDetails": {"textTokens": 20, "reasoningTokens": 70},
                "totalTokens": 590,
                "raw": {"input_tokens": 50, "cache_creation": {"ephemeral_1h_input_tokens": 200}},
            },
            counted(**{"in": 500}, out=90, read=150, written=300, hour=200, thought=70),
            {},
            id="AI SDK 6, with the provider's own words beside",
        ),
        pytest.param(
            "anthropic",
            {
                "inputTokens": {"total": 500, "noCache": 50, "cacheRead": 150, "cacheWrite": 300},
                "outputTokens": {"total": 90, "text": 20, "reasoning": 70},
            },
            counted(**{"in": 500}, out=90, read=150, written=300, thought=70),
            {},
            id="AI SDK 6, as its providers write it",
        ),
        pytest.param(
            "anthropic",
            {
                "input_tokens": 500,
                "output_tokens": 90,
                "total_tokens": 590,
                "input_token_details": {
                    "audio": 5,
                    "cache_read": 150,
                    "cache_creation": 300,
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                },
                "output_token_details": {"reasoning": 70, "audio": 3},
            },
            counted(**{"in": 500}, out=90, read=150, written=300, hour=200, thought=70, audio_in=5, audio_out=3),
            {},
            id="LangChain",
        ),
        pytest.param(
            "anthropic",
            {
                "input_tokens": 500,
                "cache_write_tokens": 300,
                "cache_read_tokens": 150,
                "output_tokens": 90,
                "input_audio_tokens": 5,
                "cache_audio_read_tokens": 4,
                "output_audio_tokens": 3,
                "details": {"reasoning_tokens": 70, "ephemeral_1h_input_tokens": 200},
            },
            counted(**{"in": 500}, out=90, read=150, written=300, hour=200, thought=70, audio_in=5, audio_out=3),
            {"cached_audio_input_tokens": 4},
            id="pydantic-ai",
        ),
        pytest.param(
            "",
            {"request_tokens": 500, "response_tokens": 90, "total_tokens": 590},
            counted(**{"in": 500}, out=90),
            {},
            id="old",
        ),
        pytest.param(
            "ollama",
            {"model": "m", "done": True, "prompt_eval_count": 500, "eval_count": 90, "eval_duration": 5},
            counted(**{"in": 500}, out=90),
            {},
            id="Ollama",
        ),
        pytest.param(
            "moonshotai",
            {"choices": [{"index": 0, "usage": {"prompt_tokens": 500, "completion_tokens": 90, "cached_tokens": 400}}]},
            counted(**{"in": 500}, out=90, read=400),
            {},
            id="Kimi, within its choices",
        ),
        pytest.param(
            "aws",
            {
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 50,
                    "outputTokenCount": 90,
                    "invocationLatency": 3037,
                    "cacheReadInputTokenCount": 150,
                    "cacheWriteInputTokenCount": 300,
                },
            },
            counted(**{"in": 500}, out=90, read=150, written=300),
            {},
            id="Bedrock's metrics: cached tokens are beside",
        ),
        pytest.param(
            "google",
            {
                "interaction": {
                    "usage": {
                        "total_input_tokens": 100,
                        "input_tokens_by_modality": [{"modality": "text", "tokens": 60}, {"modality": "audio", "tokens": 40}],
                        "total_cached_tokens": 30,
                        "total_output_tokens": 20,
                        "output_tokens_by_modality": [{"modality": "image", "tokens": 15}],
                        "total_tool_use_tokens": 7,
                        "total_thought_tokens": 70,
                        "total_tokens": 197,
                        "grounding_tool_count": [{"type": "google_search", "count": 2}],
                    }
                }
            },
            counted(**{"in": 107}, out=90, read=30, thought=70, audio_in=40, image_out=15),
            {"web_searches": 2},
            id="Gemini Interactions",
        ),
        pytest.param(
            "cohere",
            {"usage": {"billed_units": {"input_tokens": 9, "output_tokens": 4}, "tokens": {"input_tokens": 80}}},
            counted(**{"in": 9}, out=4),
            {},
            id="Cohere bills less than it reads",
        ),
        pytest.param(
            "cohere",
            {"results": [{"index": 0, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 3}}},
            counted(**{"in": 0}, out=0),
            {"rerank_searches": 3},
            id="a reranker is paid by the search",
        ),
        pytest.param(
            "voyageai",
            {"object": "list", "data": [{"embedding": [0.1]}], "model": "voyage-3", "usage": {"total_tokens": 12}},
            counted(**{"in": 12}, out=0),
            {},
            id="embeddings with a total alone",
        ),
        pytest.param("", {"embedding": [0.5], "usage": {"tokens": 12}}, counted(**{"in": 12}, out=0), {}, id="AI SDK's"),
        pytest.param(
            "perplexity",
            {
                "prompt_tokens": 33,
                "completion_tokens": 7163,
                "total_tokens": 7196,
                "citation_tokens": 20163,
                "num_search_queries": 18,
                "reasoning_tokens": 73997,
            },
            counted(**{"in": 33}, out=7163 + 73997, thought=73997),
            {"citation_tokens": 20163, "web_searches": 18},
            id="Perplexity's deep research",
        ),
        pytest.param(
            "x-ai",
            {
                "input_tokens": 500,
                "output_tokens": 90,
                "num_sources_used": 3,
                "server_side_tool_usage_details": {
                    "web_search_calls": 1,
                    "x_search_calls": 5,
                    "code_interpreter_calls": 2,
                    "file_search_calls": 4,
                    "document_search_calls": 6,
                    "mcp_calls": 7,
                },
            },
            counted(**{"in": 500}, out=90),
            {"web_searches": 1, "social_searches": 5, "code_executions": 2, "storage_searches": 10, "search_sources": 3},
            id="xAI's tools",
        ),
        pytest.param(
            "anthropic",
            {
                "prompt_tokens": 500,
                "completion_tokens": 90,
                "prompt_tokens_details": {
                    "cached_tokens": 150,
                    "cache_creation_tokens": 300,
                    "cache_creation_token_details": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
                },
                "cache_creation_input_tokens": 300,
                "cache_read_input_tokens": 150,
            },
            counted(**{"in": 500}, out=90, read=150, written=300, hour=200),
            {},
            id="LiteLLM",
        ),
    ],
)
def test_frameworks_and_gateways(provider: str, document: Any, counts: Mapping[str, int], units: Mapping[str, int]) -> None:
    """In their own words, alone or as the usage of a response; and nothing in them is left unread."""
    found = one(document, provider)
    assert found.counts == counts
    assert (found.units, found.unread) == (units, ())


def places() -> Iterator[Any]:
    """Every place of every class of every shape."""
    for shape in SHAPES:
        for name, alternatives in shape.classes.items():
            for number, each in enumerate(alternatives):
                for where in each:
                    yield pytest.param(
                        shape, name, where, id=f"{shape.name.partition(' ')[0]}-{name}-{number}-{where.names[-1]}"
                    )


def put(usage: dict[str, Any], where: Place, count: int) -> None:
    """Put a count where a place says."""
    target = usage
    for step in where.steps[:-1]:
        if step.is_list:
            items = target.setdefault(step.name, [])
            items.append({step.key: step.value} if step.key else {})
            target = items[-1]
        else:
            target = target.setdefault(step.name, {})
    target[where.steps[-1].name] = count


@pytest.mark.parametrize(("shape", "name", "where"), list(places()))
def test_every_place_of_the_table_is_read(shape: Shape, name: str, where: Place) -> None:
    """A count of 7 there is a count of 7 of its class, beside 1,000 tokens in and 100 out, and nothing is unread."""
    usage: dict[str, Any] = {}
    if name not in ("input_tokens", "output_tokens", "total"):
        for side, count in (("input_tokens", 1000), ("output_tokens", 100)):
            if side in shape.classes:
                is_within = where.names[0] == shape.classes[side][-1][0].names[0]
                put(usage, shape.classes[side][0 if is_within else -1][0], count)
    put(usage, where, 7)
    usage.update({each: None for each in shape.known_by[:1] if each not in usage and not each.endswith(".")})
    found = one({"usage": usage})
    if name in COUNTS:
        assert found.counts[name] == 7
    if name in UNITS:
        assert found.units == {name: 7}
    assert found.unread == ()
