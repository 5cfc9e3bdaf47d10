"""What providers report, read into counts: each in its own words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.prices.rate_card import MAX_TOKENS
from creditmeter.core.prices.reported.calls import with_provider_usage
from creditmeter.core.prices.reported.documents import WHAT_TO_SEND
from creditmeter.core.prices.reported.envelopes import MAX_MODEL_NAME
from creditmeter.core.prices.reported.recognising import MAX_DEPTH
from creditmeter.core.prices.reported.values import UnknownUsageError
from creditmeter.core.values import replace
from creditmeter.core.work import Served, Usage
from tests.core.prices.reports import CHAT, GEMINI, GROK, IMAGES, MESSAGE, one, read, read_text, refusal

GEMINI_COUNTS = Usage(input_tokens=1050, output_tokens=400, cache_read_input_tokens=400, reasoning_output_tokens=300)
KINDS = ["TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"]


# --- Each provider's words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "document", "expected"),
    [
        pytest.param("openai", CHAT, Usage(input_tokens=1000, output_tokens=97), id="no details"),
        pytest.param(
            "openai",
            CHAT
            | {
                "prompt_tokens_details": {
                    "cached_tokens": 900,
                    "cache_write_tokens": 20,
                    "audio_tokens": 30,
                    "image_tokens": 40,
                },
                "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 6, "accepted_prediction_tokens": 7},
            },
            Usage(
                input_tokens=1000,
                output_tokens=97,
                cache_read_input_tokens=900,
                cache_creation_input_tokens=20,
                audio_input_tokens=30,
                image_input_tokens=40,
                reasoning_output_tokens=50,
                audio_output_tokens=6,
            ),
            id="cached tokens are part of the prompt, reasoning of the completion",
        ),
        pytest.param(
            "openrouter",
            {
                "prompt_tokens": 194,
                "completion_tokens": 20,
                "total_tokens": 214,
                "cost": 0.95,
                "cost_details": {"upstream_inference_cost": 19},
                "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(
                input_tokens=194,
                output_tokens=20,
                cache_read_input_tokens=100,
                cache_creation_input_tokens=50,
                audio_input_tokens=0,
                reasoning_output_tokens=10,
            ),
            id="OpenRouter",
        ),
        pytest.param("x-ai", GROK, Usage(input_tokens=37, output_tokens=763, reasoning_output_tokens=233), id="xAI"),
        pytest.param(
            "x_ai", GROK, Usage(input_tokens=37, output_tokens=763, reasoning_output_tokens=233), id="OpenTelemetry's"
        ),
        pytest.param(
            "xai", GROK, Usage(input_tokens=37, output_tokens=763, reasoning_output_tokens=233), id="by its other name"
        ),
        pytest.param(
            "",
            GROK | {"total_tokens": 800},
            Usage(input_tokens=37, output_tokens=763, reasoning_output_tokens=233),
            id="reasoning is beside the completion, as the total says",
        ),
        pytest.param(
            "",
            GROK | {"total_tokens": 567},
            Usage(input_tokens=37, output_tokens=530, reasoning_output_tokens=233),
            id="reasoning is part of the completion, as the total says",
        ),
        pytest.param(
            "xai",
            {"prompt_tokens": 37, "cached_prompt_text_tokens": 30, "completion_tokens": 5, "reasoning_tokens": 2},
            Usage(input_tokens=37, output_tokens=7, cache_read_input_tokens=30, reasoning_output_tokens=2),
            id="as xAI's own client has it",
        ),
        pytest.param(
            "deepseek",
            {"prompt_tokens": 1000, "prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100, "completion_tokens": 9},
            Usage(input_tokens=1000, output_tokens=9, cache_read_input_tokens=900),
            id="DeepSeek",
        ),
        pytest.param(
            "moonshotai",
            {"prompt_tokens": 19, "completion_tokens": 21, "cached_tokens": 10},
            Usage(input_tokens=19, output_tokens=21, cache_read_input_tokens=10),
            id="Moonshot",
        ),
    ],
)
def test_chat_completions(provider: str, document: Any, expected: Usage) -> None:
    """OpenAI's words and those of all who speak like it; the whole response says the same."""
    assert read(document, provider) == expected
    assert read({"object": "chat.completion", "usage": document}, provider) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            {
                "input_tokens": 36,
                "input_tokens_details": {"cached_tokens": 20},
                "output_tokens": 87,
                "output_tokens_details": {"reasoning_tokens": 64},
                "total_tokens": 123,
            },
            Usage(input_tokens=36, output_tokens=87, cache_read_input_tokens=20, reasoning_output_tokens=64),
            id="responses",
        ),
        pytest.param(
            {
                "type": "response.done",
                "response": {
                    "usage": {
                        "total_tokens": 275,
                        "input_tokens": 127,
                        "output_tokens": 148,
                        "input_token_details": {"cached_tokens": 64, "text_tokens": 119, "audio_tokens": 8, "image_tokens": 1},
                        "output_token_details": {"text_tokens": 36, "audio_tokens": 112},
                    }
                },
            },
            Usage(
                input_tokens=127,
                output_tokens=148,
                cache_read_input_tokens=64,
                audio_input_tokens=8,
                image_input_tokens=1,
                audio_output_tokens=112,
            ),
            id="realtime",
        ),
        pytest.param(
            IMAGES["usage"],
            Usage(input_tokens=50, output_tokens=4160, image_input_tokens=40, image_output_tokens=4160),
            id="images",
        ),
    ],
)
def test_openais_other_words(document: Any, expected: Usage) -> None:
    """The same counts under other names; cached tokens and reasoning are parts here too."""
    assert read(document, "openai") == expected


@pytest.mark.parametrize(("returned", "quantity"), [(0, 0), (1, 1), (2, 2)])
def test_images_are_counted(returned: int, quantity: int) -> None:
    """What came back counts, however many were asked for."""
    usage = read(IMAGES | {"data": [{"url": "https://example.com"}] * returned}, "openai", action="image")
    assert usage.quantity == quantity
    assert usage.output_tokens == 4160


def test_images_without_usage_are_counted_too() -> None:
    """Older models report no tokens."""
    assert read({"created": 1, "data": [{}, {}]}) == Usage(quantity=2)


IMAGE_PART = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}


@pytest.mark.parametrize(
    ("document", "quantity"),
    [
        ({"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": "iVBO"}] * 3}, 3),
        ({"predictions": [{"mimeType": "image/png"}, {"raiFilteredReason": "blocked"}]}, 1),
        ({"predictions": []}, 0),
        ({"candidates": [{"content": {"parts": [{"text": "Here:"}, IMAGE_PART]}}], "usageMetadata": GEMINI}, 1),
        ({"candidates": [{"content": {"parts": [IMAGE_PART]}}] * 2, "usageMetadata": GEMINI}, 2),
        ({"candidates": [{"content": {"parts": [{"inline_data": {"mime_type": "image/jpeg"}}]}}]}, 1),
        ([{"candidates": [{"content": {"parts": [IMAGE_PART]}}]}, {"candidates": [], "usageMetadata": GEMINI}], 1),
        ({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "audio/wav"}}]}}], "usageMetadata": GEMINI}, None),
        ({"candidates": [{"content": {"parts": [{"text": "no"}]}}, 5, {}], "usageMetadata": GEMINI}, None),
        ({"candidates": [{"content": {"parts": [None, {"inlineData": None}]}}, {"content": 5}], "usageMetadata": GEMINI}, None),
    ],
)
def test_images_of_google_are_counted(document: Any, quantity: int | None) -> None:
    """Imagen's predictions, and the parts of Gemini's answers that are images; an answer without any is one of text."""
    assert read(document, "google").quantity == quantity


@pytest.mark.parametrize(
    ("document", "quantity"),
    [
        ({"generatedImages": [{"image": {"imageBytes": "iVBO", "mimeType": "image/png"}}] * 3}, 3),
        ({"generated_images": [{"image": {"gcs_uri": "gs://b/i"}}, {"image": None, "rai_filtered_reason": "blocked"}]}, 1),
        ({"generated_images": None, "positive_prompt_safety_attributes": None}, None),
        ({"predictions": [{"bytesBase64Encoded": "iVBO"}, {"bytesBase64Encoded": "iVBO", "mimeType": "image/png"}]}, 2),
        ({"images": [{"base64": "iVBO", "mediaType": "image/png"}] * 2, "warnings": []}, 2),
        ({"images": ["iVBO", "iVBO", "iVBO"], "error": None}, 3),
        ({"images": [], "usage": CHAT}, None),
        ({"response": {"images": [{"url": "https://example.com", "content_type": "image/jpeg"}], "seed": 7}}, 1),
    ],
)
def test_images_of_clients_and_hosts_are_counted(document: Any, quantity: int | None) -> None:
    """Google's client, the AI SDK, Bedrock's models and hosts of open ones; what was filtered is none."""
    assert read(document).quantity == quantity


def test_embeddings_are_no_images() -> None:
    """They come in a list of the same name."""
    assert read({"object": "list", "data": [{}, {}], "usage": {"prompt_tokens": 8}}) == Usage(input_tokens=8, output_tokens=0)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"input_tokens": 3, "output_tokens": 5}, Usage(input_tokens=3, output_tokens=5), id="nothing cached"),
        pytest.param(
            MESSAGE,
            Usage(
                input_tokens=12307,
                output_tokens=550,
                cache_read_input_tokens=0,
                cache_creation_input_tokens=12304,
                cache_creation_1h_input_tokens=4,
                served=Served("standard"),
            ),
            id="cached tokens are beside the input",
        ),
        pytest.param(
            {"input_tokens": 1, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 9},
            Usage(input_tokens=111, output_tokens=9, cache_read_input_tokens=10, cache_creation_input_tokens=100),
            id="read and written",
        ),
        pytest.param(
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            Usage(input_tokens=1, output_tokens=9, reasoning_output_tokens=4),
            id="thinking is part of the output",
        ),
        pytest.param(
            [
                {"type": "message_start", "message": {"id": "m", "usage": MESSAGE | {"output_tokens": 1}}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
                {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 15}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 550}},
                {"type": "message_stop"},
            ],
            Usage(
                input_tokens=12307,
                output_tokens=550,
                cache_read_input_tokens=0,
                cache_creation_input_tokens=12304,
                cache_creation_1h_input_tokens=4,
                served=Served("standard"),
            ),
            id="a stream's counts are cumulative",
        ),
        pytest.param(
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
                {"type": "message_delta", "usage": {"input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": 9}},
            ],
            Usage(input_tokens=107, output_tokens=9, cache_read_input_tokens=100),
            id="a later event may correct the input",
        ),
        pytest.param(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
            Usage(output_tokens=15),
            id="one event: the input stays unknown",
        ),
    ],
)
@pytest.mark.parametrize("provider", ["anthropic", ""])
def test_anthropics_messages(provider: str, document: Any, expected: Usage) -> None:
    """Known by what they say even where no provider is named."""
    assert read(document, provider) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"inputTokens": 30, "outputTokens": 628, "totalTokens": 658}, Usage(input_tokens=30, output_tokens=628)),
        pytest.param(
            {
                "inputTokens": 3,
                "cacheReadInputTokens": 20,
                "cacheWriteInputTokens": 100,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 60}, {"ttl": "5m", "inputTokens": 40}],
                "outputTokens": 5,
            },
            Usage(
                input_tokens=123,
                output_tokens=5,
                cache_read_input_tokens=20,
                cache_creation_input_tokens=100,
                cache_creation_1h_input_tokens=60,
            ),
        ),
    ],
    ids=["nothing cached", "cached tokens are beside the input"],
)
def test_bedrocks_converse(document: Any, expected: Usage) -> None:
    """As Anthropic's, in camel case."""
    assert read({"output": {"message": {"role": "assistant"}}, "usage": document}, "aws.bedrock") == expected


@pytest.mark.parametrize(
    ("text", "image", "video", "audio", "document"), [(1, 2, 3, 4, 5), [f"MediaModality.{name}" for name in KINDS], KINDS]
)
def test_a_modality_may_be_a_number_or_named_with_its_type(
    text: Any, image: Any, video: Any, audio: Any, document: Any
) -> None:
    """As Google's Python clients write it."""
    prompt = ((text, 10), (image, 20), (video, 30), (audio, 40), (document, 5))
    usage = {
        "prompt_token_count": 105,
        "candidates_token_count": 9,
        "prompt_tokens_details": [{"modality": kind, "token_count": count} for kind, count in prompt],
        "candidates_tokens_details": [{"modality": audio, "token_count": 9}],
    }
    found = one({"candidates": [{"finish_reason": 1}], "usage_metadata": usage}, "google")
    assert found.counts == {
        "input_tokens": 105,
        "output_tokens": 9,
        "image_input_tokens": 25,
        "audio_input_tokens": 40,
        "audio_output_tokens": 9,
    }
    assert (found.units, found.unread) == ({"video_input_tokens": 30}, ())


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(GEMINI, GEMINI_COUNTS, id="thoughts are beside the candidates, tool use beside the prompt"),
        pytest.param(
            {
                "prompt_token_count": 1000,
                "cached_content_token_count": 400,
                "candidates_token_count": 100,
                "thoughts_token_count": 300,
                "tool_use_prompt_token_count": 50,
                "total_token_count": 1450,
                "candidates_tokens_details": [{"modality": "TEXT", "token_count": 100}],
                "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 70}, {"modality": "TEXT", "token_count": 930}],
                "traffic_type": None,
            },
            replace(GEMINI_COUNTS, audio_input_tokens=70),
            id="as Google's Python client writes it",
        ),
        pytest.param(
            {"promptTokenCount": 1000, "toolUsePromptTokenCount": 50, "totalTokenCount": 1050},
            Usage(input_tokens=1050, output_tokens=0),
            id="an output of 0 is left out",
        ),
        pytest.param(
            {"promptTokenCount": 1000, "totalTokenCount": 1200},
            Usage(input_tokens=1000, output_tokens=200),
            id="the total tells the output",
        ),
        pytest.param(
            {"promptTokenCount": 1000, "thoughtsTokenCount": 200, "totalTokenCount": 1200},
            Usage(input_tokens=1000, output_tokens=200, reasoning_output_tokens=200),
            id="nothing but thoughts",
        ),
        pytest.param(
            {
                "promptTokenCount": 100,
                "toolUsePromptTokenCount": 10,
                "candidatesTokenCount": 50,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 20},
                    {"modality": "AUDIO", "tokenCount": 30},
                    {"modality": "IMAGE", "tokenCount": 40},
                    {"modality": "DOCUMENT", "tokenCount": 5},
                    {"modality": "VIDEO", "tokenCount": 5},
                ],
                "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 7}, {"modality": "AUDIO"}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 48}, {"modality": "AUDIO", "tokenCount": 2}],
            },
            Usage(
                input_tokens=110,
                output_tokens=50,
                audio_input_tokens=30,
                image_input_tokens=52,
                audio_output_tokens=2,
                image_output_tokens=48,
                units={"video_input_tokens": 5},
            ),
            id="by modality; documents are images, and what is left out is 0",
        ),
    ],
)
def test_gemini(document: Any, expected: Usage) -> None:
    """With or without the provider's name, alone or in a response."""
    assert read(document) == expected
    assert read({"candidates": [], "usageMetadata": document}, "gcp.gemini") == expected
    assert read({"candidates": [], "usage_metadata": document}, "gcp.vertex_ai") == expected


def test_geminis_stream_is_cumulative() -> None:
    """Each piece has the counts so far."""
    pieces = [{"usageMetadata": GEMINI | {"candidatesTokenCount": spoken}} for spoken in (5, 50, 100)]
    assert read(pieces, "gcp.gemini") == GEMINI_COUNTS


@pytest.mark.parametrize(
    "document",
    [
        {
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 400,
            "gen_ai.usage.cache_read.input_tokens": 300,
            "gen_ai.usage.cache_creation.input_tokens": 200,
            "gen_ai.usage.reasoning.output_tokens": 100,
            "gen_ai.operation.name": "chat",
        },
        {
            "gen_ai.usage.prompt_tokens": 1000,
            "gen_ai.usage.completion_tokens": 400,
            "gen_ai.usage.cache_read_input_tokens": 300,
            "gen_ai.usage.cache_creation_input_tokens": 200,
            "gen_ai.usage.reasoning_tokens": 100,
        },
        {
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.prompt_tokens": 1,
            "gen_ai.usage.output_tokens": None,
            "gen_ai.usage.completion_tokens": 400,
            "gen_ai.usage.cache_read.input_tokens": 300,
            "gen_ai.usage.cache_creation_input_tokens": 200,
            "gen_ai.usage.reasoning_tokens": 100,
        },
    ],
    ids=["new names", "old names", "both: the new ones count where they are set"],
)
@pytest.mark.parametrize("provider", ["", "anthropic", "x_ai"])
def test_opentelemetrys_attributes(provider: str, document: Any) -> None:
    """They mean the same whoever the provider is: cached tokens and reasoning are parts."""
    assert read(document | {"gen_ai.response.model": "gpt-4o-2024-08-06"}, provider) == Usage(
        response_model="gpt-4o-2024-08-06",
        input_tokens=1000,
        output_tokens=400,
        cache_read_input_tokens=300,
        cache_creation_input_tokens=200,
        reasoning_output_tokens=100,
    )


# --- What is known, what is not ---------------------------------------------------------------------------------------


def test_no_report_changes_nothing() -> None:
    """Not even what is unknown."""
    usage = Usage(action="text", request_model="gpt-4o", output_tokens=3)
    assert with_provider_usage(usage) is usage


def test_what_is_given_beside_the_report_counts() -> None:
    """An explicit 0, too; the rest comes from the report, which is kept as it came."""
    text = json.dumps({"model": "gpt-4o-2024-08-06", "usage": CHAT | {"prompt_tokens_details": {"cached_tokens": 900}}})
    given_usage = Usage(response_model="gpt-4o", output_tokens=0, cache_read_input_tokens=7, provider_usage_json=text)
    assert with_provider_usage(given_usage) == replace(given_usage, input_tokens=1000)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"prompt_tokens": 5, "completion_tokens": None}, Usage(input_tokens=5), id="chat"),
        pytest.param({"prompt_tokens": 5, "prompt_tokens_details": None}, Usage(input_tokens=5), id="chat's details"),
        pytest.param(
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}}, Usage(input_tokens=5), id="a detail"
        ),
        pytest.param(
            {"input_tokens": None, "cache_read_input_tokens": 4, "output_tokens": 2},
            Usage(output_tokens=2, cache_read_input_tokens=4),
            id="Anthropic: a part without its whole",
        ),
        pytest.param({"promptTokenCount": None, "candidatesTokenCount": 2}, Usage(output_tokens=2), id="Gemini"),
        pytest.param(
            [{"usage": CHAT}, {"usage": None, "choices": []}], Usage(input_tokens=1000, output_tokens=97), id="a stream"
        ),
        pytest.param(
            [{"usage": CHAT}, {"usage": {"prompt_tokens": None, "completion_tokens": 98}}],
            Usage(input_tokens=1000, output_tokens=98),
            id="a stream that forgets",
        ),
    ],
)
def test_null_is_unknown(document: Any, expected: Usage) -> None:
    """It is neither 0 nor takes back what was said before."""
    assert read(document) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"input_tokens": 0, "output_tokens": 0},
        {"inputTokens": 0, "outputTokens": 0},
        {"promptTokenCount": 0, "candidatesTokenCount": 0},
        {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0, "gen_ai.usage.prompt_tokens": 0},
        {"prompt_tokens": 0.0, "completion_tokens": -0.0},
    ],
)
def test_an_explicit_zero_is_zero(document: Any) -> None:
    """Not unknown, so nothing is estimated in its place."""
    assert read(document) == Usage(input_tokens=0, output_tokens=0)


def test_gemini_live_counts_what_it_said_and_thought() -> None:
    """Its words for candidates are others; thoughts are beside them all the same."""
    usage = read(
        {
            "usageMetadata": {
                "promptTokenCount": 50,
                "responseTokenCount": 100,
                "thoughtsTokenCount": 30,
                "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 80}],
            }
        }
    )
    assert usage == Usage(input_tokens=50, output_tokens=130, reasoning_output_tokens=30, audio_output_tokens=80)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # Converse, streamed: the counts come in the last event.
        (
            [
                {"contentBlockDelta": {"delta": {"text": "Hi"}}},
                {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 5}, "metrics": {"latencyMs": 9}}},
            ],
            Usage(input_tokens=3, output_tokens=5),
        ),
        # Groq, streamed.
        ([{"choices": []}, {"choices": [], "x_groq": {"id": "r", "usage": CHAT}}], Usage(input_tokens=1000, output_tokens=97)),
        # Cohere's embeddings have no output.
        ({"embeddings": [], "meta": {"billed_units": {"input_tokens": 4}}}, Usage(input_tokens=4, output_tokens=0)),
    ],
)
def test_usage_that_is_wrapped_is_found(document: Any, expected: Usage) -> None:
    """By the wrappings that providers use."""
    usage = read(document)
    assert (usage.input_tokens, usage.output_tokens) == (expected.input_tokens, expected.output_tokens)


def test_a_callers_own_metadata_counts_for_nothing_beside_the_usage() -> None:
    """Responses give back what a caller sent with them."""
    usage = read({"usage": CHAT, "metadata": {"prompt_tokens": 5, "usage": {"prompt_tokens": 7}, "model": "mine"}})
    assert usage.input_tokens == 1000
    assert usage.response_model == ""


def test_contradictions_are_passed_on() -> None:
    """Pricing settles and flags them."""
    contradiction = {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens": 0}
    assert read(contradiction) == Usage(input_tokens=1, output_tokens=0, cache_read_input_tokens=2)


@pytest.mark.parametrize(
    ("document", "model"),
    [
        ({"model": "gpt-4o-2024-08-06", "usage": CHAT}, "gpt-4o-2024-08-06"),
        ({"model": "claude-sonnet-4-5-20250929", "usage": MESSAGE}, "claude-sonnet-4-5-20250929"),
        ({"modelVersion": "gemini-2.5-pro", "usageMetadata": GEMINI}, "gemini-2.5-pro"),
        ({"model": "", "modelVersion": "gemini-2.5-pro", "usageMetadata": GEMINI}, "gemini-2.5-pro"),
        ({"model": 5, "usage": CHAT}, ""),
        (CHAT, ""),
        ([{"usage": CHAT}], ""),
        # Of a stream, and of an envelope.
        ([{"model": "gpt-4o-2024-08-06"}, {"model": "gpt-4o-2024-08-06", "usage": CHAT}], "gpt-4o-2024-08-06"),
        (
            [
                {"type": "message_start", "message": {"model": "claude-haiku-4-5", "usage": MESSAGE}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 550}},
            ],
            "claude-haiku-4-5",
        ),
        ([{"type": "response.completed", "response": {"model": "gpt-5-2025-08-07", "usage": CHAT}}], "gpt-5-2025-08-07"),
        ({"response": {"modelVersion": "gemini-2.5-pro", "usageMetadata": GEMINI}}, "gemini-2.5-pro"),
        ({"result": {"model": "@cf/meta/llama-3.1-8b-instruct", "usage": CHAT}}, "@cf/meta/llama-3.1-8b-instruct"),
        ([[[[[[[[[[{"model": "too deep"}]]]]]]]]], {"usage": CHAT}], ""),
        # No name that a database, a message or a reader could take.
        ({"model": "x" * MAX_MODEL_NAME, "usage": CHAT}, "x" * MAX_MODEL_NAME),
        ({"model": "x" * (MAX_MODEL_NAME + 1), "usage": CHAT}, ""),
        ({"model": "gpt\0", "usage": CHAT}, ""),
        ({"model": "gpt\ud800", "usage": CHAT}, ""),
    ],
)
def test_a_whole_response_names_the_model_that_served(document: Any, model: str) -> None:
    """Unless the caller says which it was."""
    assert read(document).response_model == model
    assert read(document, response_model="gpt-5").response_model == "gpt-5"


# --- What is no usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["no", "{", "{'prompt_tokens': 1}", " ", "[" * 100_000, '{"prompt_tokens": ' + "9" * 5_000 + "}"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    """With what the parser says of it."""
    assert refusal(text).startswith("is not JSON: ")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        ("-1", "-1"),
        ("12.5", "12.5"),
        ("-0.5", "-0.5"),
        ("true", "true"),
        ("false", "false"),
        ('"twelve"', '"twelve"'),
        ('"-12"', '"-12"'),
        ('"12.5"', '"12.5"'),
        ('"1e3"', '"1e3"'),
        ('""', '""'),
        (f'"{MAX_TOKENS + 1}"', f'"{MAX_TOKENS + 1}"'),
        ('"\\ud800"', '"\\ud800"'),
        (f'"{"x" * 1_000}"', '"' + "x" * 39),
        ("[12]", "a list"),
        ('{"count": 12}', "an object"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1E+999"),
        ("1e300", "1E+300"),
        (str(MAX_TOKENS + 1), "1000000001"),
    ],
)
@pytest.mark.parametrize(
    ("document", "name"),
    [
        ('{{"prompt_tokens": {count}, "completion_tokens": 1}}', "prompt_tokens"),
        (
            '{{"prompt_tokens": 1, "completion_tokens_details": {{"reasoning_tokens": {count}}}}}',
            "completion_tokens_details.reasoning_tokens",
        ),
        ('{{"input_tokens": 1, "cache_read_input_tokens": {count}}}', "cache_read_input_tokens"),
        ('{{"inputTokens": 1, "cacheDetails": [{{"ttl": "1h", "inputTokens": {count}}}]}}', "cacheDetails.inputTokens"),
        ('{{"usageMetadata": {{"thoughtsTokenCount": {count}}}}}', "thoughtsTokenCount"),
        ('{{"gen_ai.usage.output_tokens": {count}}}', "gen_ai.usage.output_tokens"),
    ],
)
def test_what_is_no_count_is_refused(document: str, name: str, count: str, shown: str) -> None:
    """By its name, and as it is; it is never taken for 0 or rounded."""
    said = refusal(document.format(count=count))
    assert said == f"{name} must be a whole number from 0 to 1,000,000,000, and is {shown}"


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """As some gateways do; or as a text of digits."""
    expected = Usage(input_tokens=12, output_tokens=1000)
    assert read({"prompt_tokens": 12.0, "completion_tokens": 1e3}) == expected
    assert read({"prompt_tokens": "12", "completion_tokens": "1000.0"}) == expected


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"usage": None},
        {"usage": {}},
        {"usage": {"prompt_tokens": None}},
        {"tokens": 3},
        {"choices": [], "usage": None},
        [{"choices": [], "usage": None}, {"choices": [{"delta": {}}]}],
        {"totalTokenCount": 10},
        {"gen_ai.usage.cost": 3},
        {"error": {"message": "overloaded"}},
    ],
)
def test_no_known_count_is_no_usage(document: Any) -> None:
    """Nothing is guessed, and nothing is refused: it is as if no usage were given."""
    assert read(document) == Usage()


@pytest.mark.parametrize("text", ["3", "1.5", "true", '"prompt_tokens"', "3 4", '"a" {}'])
def test_what_is_no_document_is_refused(text: str) -> None:
    """And the caller is told what would do."""
    assert refusal(text).endswith(WHAT_TO_SEND)


def test_usage_is_not_looked_for_without_end() -> None:
    """A few levels down are enough for all that providers send."""
    nested: Any = CHAT
    for _ in range(MAX_DEPTH):
        nested = {"response": nested}
    assert read(nested) == Usage(input_tokens=1000, output_tokens=97)
    assert read({"response": nested}) == Usage()
    assert read_text("[" * 500 + json.dumps(CHAT) + "]" * 500) == Usage()


def test_a_count_may_not_be_any_depth_either() -> None:
    """What can just be read may be too deep to be written."""
    for depth in range(500, 1_000):
        assert refusal('{"prompt_tokens": ' + "[" * depth + "]" * depth + "}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "usage",
                        "prompt_tokens",
                        "input_tokens",
                        "promptTokenCount",
                        "gen_ai.usage.input_tokens",
                        "model",
                        "data",
                        "created",
                        "prompt_tokens_details",
                        "cached_tokens",
                        "cacheDetails",
                        "response",
                        "inputTokens",
                    ]
                ),
                each,
            )
        ),
    )
)
def test_anything_is_either_read_or_refused(document: Any) -> None:
    """And what is read can be kept."""
    try:
        usage = read(document)
    except UnknownUsageError:
        return
    counts = [value for name in Usage.__struct_fields__ if isinstance(value := getattr(usage, name), int)]
    assert all(0 <= count <= 3 * MAX_TOKENS for count in counts)
    assert usage.response_model.encode().decode().isprintable()
