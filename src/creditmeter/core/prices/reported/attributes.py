"""The words in which the attributes of spans report counts: OpenTelemetry's, and what pydantic-ai and the AI SDK write beside;
and OpenInference's.

* OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
* pydantic-ai: https://ai.pydantic.dev/logfire
* AI SDK: https://ai-sdk.dev/docs/ai-sdk-core/telemetry
* OpenInference: https://arize-ai.github.io/openinference/spec/semantic_conventions.html
"""

from collections.abc import Mapping

PREFIX = "gen_ai.usage."
_OPEN_INFERENCE = "llm.token_count."
PREFIXES = (PREFIX, "ai.usage.", _OPEN_INFERENCE)
"""With what the names of all such attributes begin."""


def _spans(*names: str) -> tuple[str, ...]:
    return tuple(f"{PREFIX}{each}" for each in names)


def _details(*names: str) -> tuple[str, ...]:
    """What pydantic-ai writes beside the attributes of the convention."""
    return _spans(*(f"details.{each}" for each in names))


def _counts(*names: str) -> tuple[str, ...]:
    """OpenInference's, in which the details of a side are parts of its count."""
    return tuple(f"{_OPEN_INFERENCE}{each}" for each in names)


ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "input_tokens": (
        *_spans("input_tokens", "prompt_tokens"),
        *("ai.usage.inputTokens", "ai.usage.promptTokens"),
        *_counts("prompt"),
    ),
    "output_tokens": (
        *_spans("output_tokens", "completion_tokens"),
        *("ai.usage.outputTokens", "ai.usage.completionTokens"),
        *_counts("completion"),
    ),
    "cache_read_input_tokens": (
        *_spans("cache_read.input_tokens", "cache_read_input_tokens", "input_tokens.cached"),
        *_details("cache_read_tokens", "cache_read_input_tokens", "cached_tokens", "cached_content_tokens"),
        "ai.usage.cachedInputTokens",
        *_counts("prompt_details.cache_read"),
    ),
    "cache_creation_input_tokens": (
        *_spans("cache_creation.input_tokens", "cache_creation_input_tokens", "input_tokens.cache_write"),
        *_details("cache_write_tokens", "cache_creation_input_tokens"),
        *_counts("prompt_details.cache_write"),
    ),
    "cache_creation_5m_input_tokens": _details("ephemeral_5m_input_tokens"),
    "cache_creation_1h_input_tokens": _details("ephemeral_1h_input_tokens"),
    "reasoning_output_tokens": (
        *_spans("reasoning.output_tokens", "reasoning_tokens", "output_tokens.reasoning"),
        *_details("reasoning_tokens", "thoughts_tokens"),
        "ai.usage.reasoningTokens",
        *_counts("completion_details.reasoning"),
    ),
    "audio_input_tokens": (*_details("input_audio_tokens", "audio_prompt_tokens"), *_counts("prompt_details.audio")),
    "image_input_tokens": _details("image_prompt_tokens"),
    "audio_output_tokens": (
        *_details("output_audio_tokens", "audio_candidates_tokens", "audio_tokens"),
        *_counts("completion_details.audio"),
    ),
    "image_output_tokens": _details("image_candidates_tokens"),
    "cached_audio_input_tokens": _details("cache_audio_read_tokens", "audio_cache_tokens"),
    "total": (*_spans("total_tokens"), "ai.usage.totalTokens", *_counts("total")),
}
"""The attributes of each class of tokens, as places in `shapes` are written."""
