"""Reports of each kind, and what may become of them on the way here: fields renamed, nested, repeated, written as text."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from tests.core.prices.reports import CACHED_AUDIO, CHAT, GEMINI, GROK, MESSAGE

Path = tuple[str | int, ...]

REPORTS: dict[str, tuple[str, str, Any]] = {
    "chat": ("openai", "gpt-4.1", {"model": "gpt-4.1", "usage": CHAT | {"prompt_tokens_details": {"cached_tokens": 400}}}),
    "message": ("anthropic", "claude-sonnet-4-5", {"model": "claude-sonnet-4-5", "usage": MESSAGE}),
    "searches": (
        "anthropic",
        "claude-sonnet-4-5",
        {"usage": MESSAGE | {"server_tool_use": {"web_search_requests": 3}}},
    ),
    "gemini": ("google", "gemini-2.5-flash", {"modelVersion": "gemini-2.5-flash", "usageMetadata": GEMINI}),
    "grok": ("x-ai", "grok-4", {"usage": GROK}),
    "realtime": ("openai", "gpt-realtime", {"usage": CACHED_AUDIO}),
    "responses": (
        "openai",
        "gpt-5",
        {
            "model": "gpt-5",
            "usage": {
                "input_tokens": 5_000,
                "input_tokens_details": {"cached_tokens": 1_000},
                "output_tokens": 700,
                "output_tokens_details": {"reasoning_tokens": 300},
                "total_tokens": 5_700,
            },
        },
    ),
    "converse": (
        "aws",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"usage": {"inputTokens": 900, "outputTokens": 80, "totalTokens": 1_180, "cacheReadInputTokens": 200}},
    ),
    "sdk": ("openai", "gpt-4.1", {"usage": {"inputTokens": 800, "outputTokens": 90, "cachedInputTokens": 100}}),
    "sdk 4": (
        "anthropic",
        "claude-sonnet-4-5",
        {
            "usage": {"promptTokens": 500, "completionTokens": 100, "totalTokens": 600},
            "providerMetadata": {"anthropic": {"cacheCreationInputTokens": 1_000, "cacheReadInputTokens": 1_500}},
        },
    ),
    "sdk 5": (
        "anthropic",
        "claude-sonnet-4-5",
        {
            "usage": {"inputTokens": 3, "outputTokens": 550, "totalTokens": 553},
            "providerMetadata": {"anthropic": {"usage": MESSAGE}},
        },
    ),
    "langchain": (
        "anthropic",
        "claude-sonnet-4-5",
        {
            "usage_metadata": {"input_tokens": 12_307, "output_tokens": 550, "total_tokens": 12_857},
            "response_metadata": {"usage": MESSAGE | {"server_tool_use": {"web_search_requests": 3}}},
        },
    ),
    "pydantic": (
        "google",
        "gemini-2.5-flash",
        {
            "model_name": "gemini-2.5-flash",
            "usage": {
                "input_tokens": 1_050,
                "output_tokens": 400,
                "cache_read_tokens": 400,
                "details": {"thoughts_tokens": 300, "cached_content_tokens": 400, "audio_prompt_tokens": 300},
            },
        },
    ),
    "ollama": ("openai", "gpt-4.1", {"model": "gpt-4.1", "prompt_eval_count": 700, "eval_count": 60}),
}
"""Of each way to write a report one: its provider, its model and the document."""


def counts(found: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all positive counts of tokens in a document."""
    items: Any = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for name, value in items:
        yield from counts(value, (*path, name))
    if isinstance(found, int) and found > 0 and path:
        yield path


def changed(document: Any, path: Path, change: Callable[[dict[str, Any], str], None]) -> Any:
    """A copy of a document in which the object at the end of a path was changed."""
    copy = deepcopy(document)
    *way, last = path
    inner = copy
    for step in way:
        inner = inner[step]
    change(inner, str(last))
    return copy


def renamed(inner: dict[str, Any], name: str) -> None:
    """As if the provider had found a new word."""
    inner[f"billed_{name}_tokens"] = inner.pop(name)


def capitalized(inner: dict[str, Any], name: str) -> None:
    """As if somebody had converted the names."""
    inner[name.upper()] = inner.pop(name)


def as_text(inner: dict[str, Any], name: str) -> None:
    """As a serializer of 64-bit numbers writes it."""
    inner[name] = str(inner[name])


def as_fraction(inner: dict[str, Any], name: str) -> None:
    """As a language without integers writes it."""
    inner[name] = float(inner[name])


def deeper(inner: dict[str, Any], name: str) -> None:
    """In an object of its own."""
    inner[name] = {"value": inner[name], "tokens": inner[name]}


def repeated(inner: dict[str, Any], name: str) -> None:
    """Beside itself, under a second name."""
    inner[f"{name}_copy"] = inner[name]


CHANGES = (renamed, capitalized, as_text, as_fraction, deeper, repeated)
WRAPPERS = ("response", "data", "result", "message", "usage", "body", "anything")
