"""The words in which the attributes of spans report counts: OpenTelemetry's, and what pydantic-ai and the AI SDK write beside.

* OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
* pydantic-ai: https://ai.pydantic.dev/logfire
* AI SDK: https://ai-sdk.dev/docs/ai-sdk-core/telemetry
"""

from collections.abc import Mapping

PREFIX = "gen_ai.usage."
PREFIXES = (PREFIX, "ai.usage.")
"""With what the names of all such attributes begin."""


def _spans(*names: str) -> tuple[str, ...]:
    return tuple(f"{PREFIX}{each}" for each in names)


def _details(*names: str) -> tuple[str, ...]:
    """What pydantic-ai writes beside the attributes of the convention."""
    return _spans(*(f"details.{each}" for each in names))


ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "input_tokens": (*_spans("input_tokens", "prompt_tokens"), "ai.usage.inputTokens", "ai.usage.promptTokens"),
    "output_tokens": (*_spans("output_tokens", "completion_tokens"), "ai.usage.outputTokens", "ai.usage.completionTokens"),
    "cache_read_input_tokens": (
        *_spans("cache_read.input_tokens", "cache_read_input_tokens", "input_tokens.cached"),
        *_details("cache_read_tokens", "cache_read_input_tokens", "cached_tokens", "cached_content_tokens"),
        "ai.usage.cachedInputTokens",
    ),
    "cache_creation_input_tokens": (
        *_spans("cache_creation.input_tokens", "cache_creation_input_tokens", "input_tokens.cache_write"),
        *_details("cache_write_tokens", "cache_creation_input_tokens"),
    ),
    "cache_creation_5m_input_tokens": _details("ephemeral_5m_input_tokens"),
    "cache_creation_1h_input_tokens": _details("ephemeral_1h_input_tokens"),
    "reasoning_output_tokens": (
        *_spans("reasoning.output_tokens", "reasoning_tokens", "output_tokens.reasoning"),
        *_details("reasoning_tokens", "thoughts_tokens"),
        "ai.usage.reasoningTokens",
    ),
    "audio_input_tokens": _details("input_audio_tokens", "audio_prompt_tokens"),
    "image_input_tokens": _details("image_prompt_tokens"),
    "audio_output_tokens": _details("output_audio_tokens", "audio_candidates_tokens", "audio_tokens"),
    "image_output_tokens": _details("image_candidates_tokens"),
    "cached_audio_input_tokens": _details("cache_audio_read_tokens", "audio_cache_tokens"),
    "total": (*_spans("total_tokens"), "ai.usage.totalTokens"),
}
"""The attributes of each class of tokens, as places in `shapes` are written."""
