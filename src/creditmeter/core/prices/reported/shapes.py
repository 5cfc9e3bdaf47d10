"""The words in which counts are reported: a table of shapes, classes of tokens and the places of their counts.

From this table reports are read and docs/prices.md is generated. A place is written as in `counting.Place`; of several places
of one class the first that has more than 0 counts, or else the first that has 0. `+` marks what is counted beside the total of
its side: it is added to it. `~` marks what is beside it at Anthropic and Bedrock only. Places with `&` between are added up.

Where the words come from:

* OpenAI: https://platform.openai.com/docs/api-reference (chat/object, responses/object, realtime-server-events, images)
* Anthropic: https://platform.claude.com/docs/en/api/messages
* Bedrock: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
* Gemini: https://ai.google.dev/api/generate-content#UsageMetadata, https://ai.google.dev/gemini-api/docs/interactions
* OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
* AI SDK: https://ai-sdk.dev/docs/reference/ai-sdk-core/generate-text
* LangChain: https://reference.langchain.com/python/langchain-core/messages/ai/UsageMetadata
* pydantic-ai: https://ai.pydantic.dev/api/usage
* OpenRouter: https://openrouter.ai/docs/api/api-reference/generations/get-generation
* Claude Code: https://code.claude.com/docs/en/agent-sdk/cost-tracking
* Ollama: https://docs.ollama.com/api/usage
* Cohere: https://docs.cohere.com/reference/chat
* LiteLLM: https://docs.litellm.ai/docs/completion/prompt_caching
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from creditmeter.core.prices.reported.attributes import ATTRIBUTES, PREFIXES
from creditmeter.core.prices.reported.counting import Place, place
from creditmeter.core.prices.reported.places import AND, TIERS, Places, all_details, details, modality


@dataclass(frozen=True)
class Shape:
    """One way to write usage. It is known by any of the names in `known_by` (one that ends with a point is a prefix), and where
    there is none of any shape by those in `or_by`, which an event may have alone.
    """

    name: str
    known_by: tuple[str, ...]
    places: Mapping[str, Places]
    or_by: tuple[str, ...] = ()

    @cached_property
    def classes(self) -> Mapping[str, tuple[tuple[Place, ...], ...]]:
        """The places of each class, ready to be followed: alternatives, each of which is the sum of its places."""
        return {
            name: tuple(tuple(map(place, each.split(AND))) for each in alternatives)
            for name, alternatives in self.places.items()
        }

    @cached_property
    def first_names(self) -> Mapping[str, frozenset[str]]:
        """Of each class the names with which its places begin: without any of them there is no count of it."""
        return {
            name: frozenset(each.steps[0].name for places in alternatives for each in places)
            for name, alternatives in self.classes.items()
        }

    @cached_property
    def read_names(self) -> frozenset[tuple[str, ...]]:
        """The names on the way to everything that is read."""
        return frozenset(each.names for alternatives in self.classes.values() for places in alternatives for each in places)


_CREATED = ("cache_creation", "prompt_tokens_details/cache_creation_token_details", "prompt_tokens_details/cache_creation")
_SEARCHES = {
    "web_searches": (
        *("server_tool_use/web_search_requests", "num_search_queries", "server_side_tool_usage_details/web_search_calls"),
        *("tool_calls_details/search_web/invocation", "prompt_tokens_details/web_search_requests"),
    ),
    "social_searches": ("server_side_tool_usage_details/x_search_calls",),
    "storage_searches": (
        "server_side_tool_usage_details/file_search_calls & server_side_tool_usage_details/document_search_calls",
    ),
    "code_executions": ("server_tool_use/code_execution_requests", "server_side_tool_usage_details/code_interpreter_calls"),
    "search_sources": ("num_sources_used",),
}

OTEL = Shape("OpenTelemetry attributes, also those of pydantic-ai and the AI SDK", PREFIXES, ATTRIBUTES)

_PROMPTS, _ANSWERS = ("promptTokensDetails", "toolUsePromptTokensDetails"), ("candidatesTokensDetails", "responseTokensDetails")
_PAGES = ("IMAGE", "DOCUMENT")
GEMINI = Shape(
    "Gemini generateContent and Live",
    ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount", "responseTokenCount"),
    {
        "input_tokens": ("promptTokenCount",),
        "tool_input_tokens": ("+toolUsePromptTokenCount",),
        "output_tokens": ("candidatesTokenCount", "responseTokenCount"),
        "reasoning_output_tokens": ("+thoughtsTokenCount",),
        "cache_read_input_tokens": ("cachedContentTokenCount",),
        "text_input_tokens": ("promptTokensDetails[modality=TEXT]/tokenCount",),
        "audio_input_tokens": modality(_PROMPTS, ("AUDIO",), "tokenCount"),
        "image_input_tokens": modality(_PROMPTS, _PAGES, "tokenCount"),
        "video_input_tokens": modality(_PROMPTS, ("VIDEO",), "tokenCount"),
        "text_output_tokens": modality(_ANSWERS, ("TEXT",), "tokenCount"),
        "audio_output_tokens": modality(_ANSWERS, ("AUDIO",), "tokenCount"),
        "image_output_tokens": modality(_ANSWERS, _PAGES, "tokenCount"),
        "video_output_tokens": modality(_ANSWERS, ("VIDEO",), "tokenCount"),
        "cached_audio_input_tokens": modality(("cacheTokensDetails",), ("AUDIO",), "tokenCount"),
        "cached_image_input_tokens": modality(("cacheTokensDetails",), _PAGES, "tokenCount"),
        "total": ("totalTokenCount",),
    },
    ("toolUsePromptTokenCount", "cachedContentTokenCount", *_PROMPTS, *_ANSWERS, "cacheTokensDetails"),
)

_BY_INPUT = ("input_tokens_by_modality", "tool_use_tokens_by_modality")
INTERACTIONS = Shape(
    "Gemini Interactions",
    ("total_input_tokens", "total_output_tokens", "total_thought_tokens", "total_tool_use_tokens"),
    {
        "input_tokens": ("total_input_tokens",),
        "tool_input_tokens": ("+total_tool_use_tokens",),
        "output_tokens": ("total_output_tokens",),
        "reasoning_output_tokens": ("+total_thought_tokens",),
        "cache_read_input_tokens": ("total_cached_tokens",),
        "text_input_tokens": ("input_tokens_by_modality[modality=text]/tokens",),
        "audio_input_tokens": modality(_BY_INPUT, ("audio",), "tokens"),
        "image_input_tokens": modality(_BY_INPUT, ("image", "document"), "tokens"),
        "video_input_tokens": modality(_BY_INPUT, ("video",), "tokens"),
        "text_output_tokens": modality(("output_tokens_by_modality",), ("text",), "tokens"),
        "audio_output_tokens": modality(("output_tokens_by_modality",), ("audio",), "tokens"),
        "image_output_tokens": modality(("output_tokens_by_modality",), ("image", "document"), "tokens"),
        "video_output_tokens": modality(("output_tokens_by_modality",), ("video",), "tokens"),
        "cached_audio_input_tokens": modality(("cached_tokens_by_modality",), ("audio",), "tokens"),
        "cached_image_input_tokens": modality(("cached_tokens_by_modality",), ("image", "document"), "tokens"),
        "web_searches": ("grounding_tool_count[type=google_search]/count",),
        "map_searches": ("grounding_tool_count[type=google_maps]/count",),
        "total": ("total_tokens",),
    },
    ("total_cached_tokens", *_BY_INPUT, "output_tokens_by_modality", "cached_tokens_by_modality"),
)

LLAMA = Shape(
    "Bedrock Llama",
    ("generation_token_count",),
    {"input_tokens": ("prompt_token_count",), "output_tokens": ("generation_token_count",)},
)

CHAT = Shape(
    "OpenAI chat completions and embeddings, and all who write like them",
    ("prompt_tokens", "completion_tokens"),
    {
        "input_tokens": ("prompt_tokens", "input_tokens"),
        "output_tokens": ("completion_tokens", "output_tokens"),
        "cache_read_input_tokens": (
            *all_details("input", "cached_tokens", "cache_read_input_tokens", "cache_read"),
            *("cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens", "cached_prompt_text_tokens"),
        ),
        "cache_creation_input_tokens": (
            *all_details("input", "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
            *("cache_creation_input_tokens", "cache_write_tokens", "cache_write_input_tokens"),
        ),
        "cache_creation_5m_input_tokens": tuple(f"{each}/ephemeral_5m_input_tokens" for each in _CREATED),
        "cache_creation_1h_input_tokens": tuple(f"{each}/ephemeral_1h_input_tokens" for each in _CREATED),
        "reasoning_output_tokens": (
            *details("output", "reasoning_tokens"),
            "reasoning_tokens",
        ),
        "audio_input_tokens": details("input", "audio_tokens"),
        "image_input_tokens": (*details("input", "image_tokens"), "prompt_image_tokens"),
        "video_input_tokens": details("input", "video_tokens"),
        "audio_output_tokens": details("output", "audio_tokens"),
        "image_output_tokens": details("output", "image_tokens"),
        "video_output_tokens": details("output", "video_tokens"),
        "cached_audio_input_tokens": (
            *details("input", "cached_tokens_details/audio_tokens"),
            "prompt_tokens_details/cached_audio_tokens",
        ),
        "cached_image_input_tokens": details("input", "cached_tokens_details/image_tokens"),
        "citation_tokens": ("citation_tokens",),
        **_SEARCHES,
        "total": ("total_tokens",),
    },
    ("prompt_tokens_details", "completion_tokens_details", "prompt_cache_hit_tokens", "citation_tokens", "num_search_queries"),
)

CODEX = Shape(
    "Codex",
    ("cached_input_tokens",),
    {
        "input_tokens": ("input_tokens",),
        "output_tokens": ("output_tokens",),
        "cache_read_input_tokens": ("cached_input_tokens",),
        "cache_creation_input_tokens": ("cache_write_input_tokens",),
        "reasoning_output_tokens": ("reasoning_output_tokens",),
        "total": ("total_tokens",),
    },
)

MESSAGES = Shape(
    "OpenAI responses, images and realtime; Anthropic messages; LangChain; pydantic-ai; Cohere; DashScope",
    (
        *("input_tokens", "output_tokens", "request_tokens", "response_tokens"),
        *("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "server_tool_use"),
    ),
    {
        "input_tokens": ("input_tokens", "request_tokens", "details/input_tokens"),
        "output_tokens": ("output_tokens", "response_tokens", "details/output_tokens"),
        "cache_read_input_tokens": (
            *all_details("input", "cached_tokens", "cache_read_input_tokens", "cache_read"),
            *all_details("input", *(f"{tier}_cache_read" for tier in TIERS)),
            *("cache_read_tokens", "cached_tokens", "+cache_read_input_tokens"),
            *("details/cache_read_input_tokens", "details/cached_content_tokens", "details/cache_read_tokens"),
            "details/cached_tokens",
        ),
        "cache_creation_input_tokens": (
            *all_details("input", "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
            *("input_tokens_details/cache_creation", "input_token_details/cache_creation"),
            *("cache_write_tokens", "+cache_creation_input_tokens", "+cache_write_input_tokens"),
            *("details/cache_creation_input_tokens", "details/cache_write_tokens"),
        ),
        "cache_creation_5m_input_tokens": (
            *details("input", "ephemeral_5m_input_tokens"),
            *("prompt_tokens_details/cache_creation/ephemeral_5m_input_tokens", "cache_write_5m_tokens"),
            *("details/ephemeral_5m_input_tokens", "+cache_creation/ephemeral_5m_input_tokens"),
            "+cache_details[ttl=5m]/input_tokens",
        ),
        "cache_creation_1h_input_tokens": (
            *details("input", "ephemeral_1h_input_tokens"),
            *("prompt_tokens_details/cache_creation/ephemeral_1h_input_tokens", "cache_write_1h_tokens"),
            *("details/ephemeral_1h_input_tokens", "+cache_creation/ephemeral_1h_input_tokens"),
            "+cache_details[ttl=1h]/input_tokens",
        ),
        "reasoning_output_tokens": (
            *all_details("output", "reasoning_tokens", "thinking_tokens", "reasoning"),
            *all_details("output", *(f"{tier}_reasoning" for tier in TIERS)),
            *("reasoning_output_tokens", "output_reasoning_tokens", "reasoning_tokens", "details/reasoning_tokens"),
            "details/thoughts_tokens",
        ),
        "audio_input_tokens": (
            *all_details("input", "audio_tokens", "audio"),
            *("input_audio_tokens", "details/audio_prompt_tokens"),
        ),
        "image_input_tokens": (
            *all_details("input", "image_tokens", "image"),
            *("input_image_tokens", "details/image_prompt_tokens & details/document_prompt_tokens"),
        ),
        "video_input_tokens": (
            *all_details("input", "video_tokens", "video"),
            *("input_video_tokens", "details/video_prompt_tokens"),
        ),
        "text_output_tokens": all_details("output", "text_tokens", "text"),
        "audio_output_tokens": (
            *all_details("output", "audio_tokens", "audio"),
            *("output_audio_tokens", "details/audio_candidates_tokens"),
        ),
        "image_output_tokens": (
            *all_details("output", "image_tokens", "image"),
            *("output_image_tokens", "details/image_candidates_tokens"),
        ),
        "video_output_tokens": (
            *all_details("output", "video_tokens", "video"),
            *("output_video_tokens", "details/video_candidates_tokens"),
        ),
        "cached_audio_input_tokens": (
            *details("input", "cached_tokens_details/audio_tokens"),
            *("cache_audio_read_tokens", "details/audio_cache_tokens"),
        ),
        "cached_image_input_tokens": (
            *details("input", "cached_tokens_details/image_tokens"),
            *("cache_image_read_tokens", "details/image_cache_tokens"),
        ),
        "citation_tokens": ("citation_tokens",),
        **_SEARCHES,
        "rerank_searches": ("search_units",),
        "total": ("total_tokens",),
    },
    (
        *("input_tokens_details", "output_tokens_details", "input_token_details", "output_token_details"),
        *("iterations", "reasoning_output_tokens", "server_side_tool_usage_details"),
    ),
)

CAMEL = Shape(
    "Bedrock Converse; AI SDK 5 and 6; Cursor; Claude Code by model",
    ("inputTokens", "outputTokens"),
    {
        "input_tokens": ("inputTokens/total", "inputTokens"),
        "output_tokens": ("outputTokens/total", "outputTokens"),
        "cache_read_input_tokens": (
            *(
                "inputTokenDetails/cacheReadTokens",
                "inputTokens/cacheRead",
                "inputTokensDetails/cached_tokens",
                "+cacheReadInputTokens",
            ),
            *("+cacheReadInputTokenCount", "+cacheReadTokens", "cachedPromptTokens", "promptCacheHitTokens"),
            "~cachedInputTokens",
        ),
        "cache_creation_input_tokens": (
            *("inputTokenDetails/cacheWriteTokens", "inputTokens/cacheWrite", "+cacheWriteInputTokens"),
            *("+cacheWriteInputTokenCount", "+cacheCreationInputTokens", "+cacheWriteTokens"),
        ),
        "cache_creation_5m_input_tokens": (
            *("+cacheDetails[ttl=5m]/inputTokens", "raw/cache_creation/ephemeral_5m_input_tokens"),
        ),
        "cache_creation_1h_input_tokens": (
            *("+cacheDetails[ttl=1h]/inputTokens", "raw/cache_creation/ephemeral_1h_input_tokens"),
        ),
        "reasoning_output_tokens": (
            *("outputTokenDetails/reasoningTokens", "outputTokens/reasoning", "reasoningTokens"),
            "outputTokensDetails/reasoning_tokens",
        ),
        "audio_input_tokens": (
            "raw/prompt_tokens_details/audio_tokens",
            *modality(("raw/promptTokensDetails",), ("AUDIO",), "tokenCount"),
        ),
        "audio_output_tokens": (
            "raw/completion_tokens_details/audio_tokens",
            *modality(("raw/candidatesTokensDetails",), ("AUDIO",), "tokenCount"),
        ),
        "image_output_tokens": modality(("raw/candidatesTokensDetails",), ("IMAGE",), "tokenCount"),
        "citation_tokens": ("citationTokens",),
        "web_searches": ("numSearchQueries", "webSearchRequests"),
        "rerank_searches": ("searchUnits",),
        "total": ("totalTokens",),
    },
    (
        *("inputTokenDetails", "outputTokenDetails", "cachedInputTokens"),
        *("cacheReadInputTokens", "cacheWriteInputTokens", "cacheDetails"),
    ),
)

CAMEL_CHAT = Shape(
    "AI SDK 4, with the counts of its provider's metadata; OpenRouter in the AI SDK",
    ("promptTokens", "completionTokens"),
    {
        "input_tokens": ("promptTokens",),
        "output_tokens": ("completionTokens",),
        "cache_read_input_tokens": (
            *("promptTokensDetails/cachedTokens", "cachedPromptTokens", "cachedInputTokens", "promptCacheHitTokens"),
            "+cacheReadInputTokens",
        ),
        "cache_creation_input_tokens": (
            *("promptTokensDetails/cacheWriteTokens", "+cacheCreationInputTokens", "+cacheWriteInputTokens"),
        ),
        "reasoning_output_tokens": ("completionTokensDetails/reasoningTokens", "reasoningTokens"),
        "audio_input_tokens": ("promptTokensDetails/audioTokens",),
        "image_input_tokens": ("promptTokensDetails/imageTokens",),
        "video_input_tokens": ("promptTokensDetails/videoTokens",),
        "audio_output_tokens": ("completionTokensDetails/audioTokens",),
        "image_output_tokens": ("completionTokensDetails/imageTokens",),
        "citation_tokens": ("citationTokens",),
        "web_searches": ("numSearchQueries",),
        "total": ("totalTokens",),
    },
)

INVOCATION = Shape(
    "Bedrock invocation metrics and Titan",
    ("inputTokenCount", "outputTokenCount", "inputTextTokenCount"),
    {
        "input_tokens": ("inputTokenCount", "inputTextTokenCount"),
        "output_tokens": ("outputTokenCount", "totalOutputTextTokenCount", "results[]/tokenCount"),
        "cache_read_input_tokens": ("+cacheReadInputTokenCount",),
        "cache_creation_input_tokens": ("+cacheWriteInputTokenCount",),
        "total": ("totalTokenCount",),
    },
    ("cacheReadInputTokenCount", "cacheWriteInputTokenCount"),
)

OLLAMA = Shape(
    "Ollama",
    ("prompt_eval_count", "eval_count"),
    {"input_tokens": ("prompt_eval_count",), "output_tokens": ("eval_count",)},
)

GENERATION = Shape(
    "OpenRouter's record of a generation",
    ("native_tokens_prompt", "native_tokens_completion", "nativeTokensPrompt", "nativeTokensCompletion"),
    {
        "input_tokens": ("native_tokens_prompt", "nativeTokensPrompt"),
        "output_tokens": ("native_tokens_completion", "nativeTokensCompletion"),
        "cache_read_input_tokens": ("native_tokens_cached", "nativeTokensCached"),
        "reasoning_output_tokens": ("native_tokens_reasoning", "nativeTokensReasoning"),
        "image_output_tokens": ("native_tokens_completion_images", "nativeTokensCompletionImages"),
    },
)

SEARCHES = Shape("Cohere rerank", ("search_units",), {"rerank_searches": ("search_units",)})

TOTAL_ONLY = Shape(
    "Embeddings and rerankers of AI SDK, Voyage and Jina, whose usage has a total alone",
    (),
    {"input_tokens": ("tokens", "total_tokens")},
)

SHAPES = (OTEL, INVOCATION, GEMINI, LLAMA, INTERACTIONS, CHAT, CAMEL, CAMEL_CHAT, OLLAMA, GENERATION, CODEX, MESSAGES, SEARCHES)
"""All shapes. The first of which a name is there is that of an object."""
