"""What a provider's stream generated, event by event: the text in an event, and how many tokens a provider says that it was.

The sidecar reads the usage that providers report. This reads just enough to know, while a stream goes on, about how many
output tokens it has by now.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from creditmeter.client.usages import AROUND_KEYS, USAGE_KEYS

_TEXT_KEYS = frozenset(
    (
        *("arguments", "content", "delta", "input_json", "partial_json", "reasoning", "reasoning_content", "refusal", "text"),
        *("thinking", "thought"),
    )
)
"""The keys of what was generated, in the events of all providers. Its name is no text, nor is its id or its signature."""

_AROUND_KEYS = frozenset(
    (
        *("args", "candidates", "choices", "contentBlockDelta", "data", "function", "functionCall", "function_call", "input"),
        *("message", "parts", "reasoningContent", "response", "toolUse", "tool_calls"),
    )
)
"""The keys of what may have such keys in it."""

_OUTPUT_KEYS = (
    *("output_tokens", "completion_tokens", "outputTokens", "eval_count", "response_tokens"),
    *("candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"),
)
_BESIDE_KEYS = ("thoughtsTokenCount", "thoughts_token_count")
"""Gemini's reasoning, which is not among its output."""

_MOST_LEVELS = 16


def text_in(document: Any) -> str:
    """The text that was generated in an event: answer, reasoning, and the arguments of tool calls.

    An event that repeats as a whole what came in parts before has none.
    """
    if isinstance(document, str):
        return document
    if not isinstance(document, Mapping) or document.get("event_type") == "stream-end":
        return ""
    kind = str(document.get("type") or "delta").lower()
    if "arguments_delta" in document:  # OpenAI's helper has the arguments so far beside it
        return str(document["arguments_delta"])
    if not any(word in kind for word in ("delta", "chunk")) or ("audio" in kind and "transcript" not in kind):
        return ""
    return "".join(_texts(document, 0))


def _texts(value: Any, level: int) -> Iterator[str]:
    if level > _MOST_LEVELS:
        return
    if isinstance(value, list):
        for each in value:
            yield from _texts(each, level + 1)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key in _TEXT_KEYS:
                yield from [each] if isinstance(each, str) else _texts(each, level + 1)
            elif key in ("args", "input", "response") and isinstance(each, str):  # Gemini's, Bedrock's, Ollama's
                yield each
            elif key == "args":  # a call of Gemini comes whole
                yield json.dumps(each)
            elif key in _AROUND_KEYS:
                yield from _texts(each, level + 1)


def output_tokens_in(usage: Any) -> int | None:
    """The output tokens that a provider's usage says; None if it says none."""
    found = list(_counts(usage, 0))
    return max(found) if found else None


def _counts(value: Any, level: int) -> Iterator[int]:
    if not isinstance(value, Mapping) or level > _MOST_LEVELS:
        return
    beside = [count for each in _BESIDE_KEYS if (count := _count(value.get(each))) is not None]
    found = [count for each in _OUTPUT_KEYS if (count := _count(value.get(each))) is not None]
    if found or beside:
        yield max(found, default=0) + sum(beside)
    for key in (*USAGE_KEYS, *AROUND_KEYS):
        yield from _counts(value.get(key), level + 1)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
