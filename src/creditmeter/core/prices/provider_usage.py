"""The counts that prices need, read from what a provider reported of a call in its own words.

A worker hands over the usage object as it came, the whole response around it, or the events of a stream that carry it. The
names in it say whose words they are; where they do not, the name of the provider does:

* OpenAI's chat completions, and all providers with the same words (OpenRouter, DeepSeek, Mistral, Groq): cached tokens are
  part of the prompt, reasoning is part of the completion. Where the total is more than prompt and completion, the rest was
  counted beside the completion: reasoning at xAI, and at Gemini thoughts, which are in the total only. Without a total,
  reasoning is added if the provider is xAI. At Perplexity it is always added, because its total leaves it out.
* OpenAI's responses and images: the same under other names.
* Anthropic's messages: cached tokens are counted beside `input_tokens`; a stream's counts are cumulative, so the last one of
  each kind counts.
* Bedrock's Converse: as Anthropic's, in camel case.
* Llama's at Bedrock: two counts.
* Gemini's: thoughts are counted beside the candidates, and the prompt of tools beside the prompt.
* OpenTelemetry's `gen_ai.usage.*` attributes (https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/).

A list may have the events of one response, or several responses. Events of one id belong to one response, and the last count of
each kind applies. An event without an id belongs to the response before it. The counts of different responses are added up.

A count that is missing or null stays unknown. Counts that contradict each other are passed on as they are: pricing settles and
flags them (`usage_costs`).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.rate_card import MAX_TOKENS
from creditmeter.core.work import Usage

MAX_DEPTH = 4
"""The depth to which events and responses are searched for usage."""

MAX_MODEL_NAME = 256
"""Most characters in the name of a model. A longer one is ignored."""

_Counts = dict[str, int | None]
_Reported = Mapping[str, Any]

_ENVELOPES = ("message", "response", "result")
"""The keys under which events and envelopes have the response."""

_AROUND = ("usage", "usageMetadata", "usage_metadata", *_ENVELOPES, "metadata", "meta", "x_groq", "billed_units")
"""The keys under which responses and events have their usage, or what contains it. The first that has one applies."""

_MODEL = ("model", "modelVersion", "model_version", "gen_ai.response.model")
"""The keys under which they name the model that served the call."""

_ID = ("id", "responseId", "response_id", "gen_ai.response.id")
"""The keys under which they have their id."""

_OTEL_PREFIX = "gen_ai.usage."
_OTEL_NAMES: Mapping[str, tuple[str, ...]] = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cache_read_input_tokens": ("cache_read.input_tokens", "cache_read_input_tokens"),
    "cache_creation_input_tokens": ("cache_creation.input_tokens", "cache_creation_input_tokens"),
    "reasoning_output_tokens": ("reasoning.output_tokens", "reasoning_tokens"),
}
"""The names of each count, the older one last."""

_ANTHROPIC_ONLY = ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "server_tool_use")
_XAI = {"x-ai", "xai"}
_PERPLEXITY = "perplexity"
_IMAGES = ("IMAGE", "DOCUMENT")
"""Gemini counts the pages of a document as images."""


class UnknownUsageError(ValueError):
    """The text is no usage in known words. The message says what is wrong with it."""


def with_provider_usage(usage: Usage) -> Usage:
    """The usage with the counts that its provider reported. A count that the usage gives itself stays as it is.

    Raises:
        UnknownUsageError: the report is not JSON, has no known count, or has a count that is not a whole number in range.
    """
    if not usage.provider_usage_json:
        return usage
    document = _parsed(usage.provider_usage_json)
    counts = _counts_in(document, price_list_name(usage.provider))
    images = _images_in(document)
    if not counts and images is None:
        raise UnknownUsageError("has no count of tokens that is known: give the provider's usage object as it came")
    if images is not None:
        counts["quantity"] = images
    missing = {name: count for name, count in counts.items() if getattr(usage, name) is None}
    return replace(usage, **missing, response_model=usage.response_model or _model_in(document))  # type: ignore[arg-type]  # counts


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownUsageError(f"is not JSON: {error}") from None


def _counts_in(document: Any, provider: str) -> dict[str, int]:
    """The sum of the counts of all responses in a document."""
    counts: Counter[str] = Counter()
    for reported in _responses_in(document):
        dialect = _dialect(reported, provider)
        if dialect is not None:
            counts.update({name: count for name, count in dialect(reported).items() if count is not None})
    return dict(counts)


def _responses_in(document: Any) -> Iterable[_Reported]:
    """The usage of each response in a document. The last count of each kind in its events applies."""
    responses: dict[str, dict[str, Any]] = {}
    running = ""
    for response_id, usage in _usages_in(document, "", 0):
        if response_id and not running:
            responses[response_id] = responses.pop("", {})
        running = response_id or running
        response = responses.setdefault(running, {})
        response.update({name: value for name, value in usage.items() if value is not None})
    return responses.values()


def _usages_in(document: Any, response_id: str, depth: int) -> Iterator[tuple[str, _Reported]]:
    """The usage objects in a document, in the order in which they came, each with the id of its response if it has one."""
    if depth > MAX_DEPTH:
        return
    if isinstance(document, list):
        for each in document:
            yield from _usages_in(each, response_id, depth + 1)
    elif isinstance(document, dict):
        response_id = next((each for name in _ID if isinstance(each := document.get(name), str) and each), response_id)
        if _dialect(document, "") is not None:
            yield response_id, document
        else:
            inside = (list(_usages_in(document.get(name), response_id, depth + 1)) for name in _AROUND)
            yield from next(filter(None, inside), [])


def _dialect(reported: _Reported, provider: str) -> Callable[[_Reported], _Counts] | None:
    """The function that reads a usage object of these words; None if they are not known."""
    if any(name.startswith(_OTEL_PREFIX) for name in reported):
        return _otel
    if not reported.keys().isdisjoint(("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")):
        return _gemini
    if "generation_token_count" in reported:
        return _llama
    if not reported.keys().isdisjoint(("prompt_token_count", "candidates_token_count", "total_token_count")):
        return _gemini_in_snake_case
    if not reported.keys().isdisjoint(("prompt_tokens", "completion_tokens")):
        return partial(_chat, provider=provider)
    if not reported.keys().isdisjoint(("inputTokens", "outputTokens")):
        return _bedrock
    if reported.keys().isdisjoint(("input_tokens", "output_tokens", *_ANTHROPIC_ONLY)):
        return None
    is_anthropic = provider == "anthropic" or not reported.keys().isdisjoint(_ANTHROPIC_ONLY)
    return _anthropic if is_anthropic else _responses


def _otel(reported: _Reported) -> _Counts:
    return {
        name: next((found for each in names if (found := _count(reported, _OTEL_PREFIX + each)) is not None), None)
        for name, names in _OTEL_NAMES.items()
    }


def _chat(reported: _Reported, provider: str) -> _Counts:
    inside, outside = ("prompt_tokens_details",), ("completion_tokens_details",)
    reasoning = _first(_count(reported, *outside, "reasoning_tokens"), _count(reported, "reasoning_tokens"))
    prompt, completion = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
    return {
        "input_tokens": prompt,
        "output_tokens": _chat_output(prompt, completion, reasoning, _count(reported, "total_tokens"), provider),
        "cache_read_input_tokens": _first(
            _count(reported, *inside, "cached_tokens"),
            _count(reported, "cache_read_input_tokens"),
            _count(reported, "prompt_cache_hit_tokens"),
            _count(reported, "cached_tokens"),
            _count(reported, "cached_prompt_text_tokens"),
        ),
        "cache_creation_input_tokens": _first(
            _count(reported, *inside, "cache_write_tokens"), _count(reported, "cache_creation_input_tokens")
        ),
        "reasoning_output_tokens": reasoning,
        "audio_input_tokens": _count(reported, *inside, "audio_tokens"),
        "audio_output_tokens": _count(reported, *outside, "audio_tokens"),
        "image_input_tokens": _count(reported, *inside, "image_tokens"),
        "image_output_tokens": _count(reported, *outside, "image_tokens"),
    }


def _chat_output(
    prompt: int | None, completion: int | None, reasoning: int | None, total: int | None, provider: str
) -> int | None:
    """The output tokens: the completion and what is counted beside it."""
    if completion is None:
        return None
    if provider != _PERPLEXITY and prompt is not None and total is not None:
        return max(completion, total - prompt)
    return _sum(completion, reasoning) if provider == _PERPLEXITY or provider in _XAI else completion


def _responses(reported: _Reported) -> _Counts:
    def detail(side: str, name: str) -> int | None:
        return _first(_count(reported, f"{side}_tokens_details", name), _count(reported, f"{side}_token_details", name))

    return {
        "input_tokens": _count(reported, "input_tokens"),
        "output_tokens": _count(reported, "output_tokens"),
        "cache_read_input_tokens": _first(detail("input", "cached_tokens"), detail("input", "cache_read_input_tokens")),
        "cache_creation_input_tokens": detail("input", "cache_write_tokens"),
        "reasoning_output_tokens": detail("output", "reasoning_tokens"),
        "audio_input_tokens": detail("input", "audio_tokens"),
        "audio_output_tokens": detail("output", "audio_tokens"),
        "image_input_tokens": detail("input", "image_tokens"),
        "image_output_tokens": detail("output", "image_tokens"),
    }


def _anthropic(reported: _Reported) -> _Counts:
    plain = _count(reported, "input_tokens")
    read, written = _count(reported, "cache_read_input_tokens"), _count(reported, "cache_creation_input_tokens")
    short, long = (_count(reported, "cache_creation", f"ephemeral_{kept}_input_tokens") for kept in ("5m", "1h"))
    if written is None and (short is not None or long is not None):
        written = _sum(short, long)
    return {
        "input_tokens": None if plain is None else _sum(plain, read, written),
        "output_tokens": _count(reported, "output_tokens"),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation_1h_input_tokens": long,
        "reasoning_output_tokens": _count(reported, "output_tokens_details", "thinking_tokens"),
    }


def _bedrock(reported: _Reported) -> _Counts:
    plain = _count(reported, "inputTokens")
    read, written = _count(reported, "cacheReadInputTokens"), _count(reported, "cacheWriteInputTokens")
    return {
        "input_tokens": None if plain is None else _sum(plain, read, written),
        "output_tokens": _count(reported, "outputTokens"),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation_1h_input_tokens": _listed(reported, "cacheDetails", "ttl", "1h", "inputTokens"),
    }


def _llama(reported: _Reported) -> _Counts:
    return {
        "input_tokens": _count(reported, "prompt_token_count"),
        "output_tokens": _count(reported, "generation_token_count"),
    }


def _gemini(reported: _Reported) -> _Counts:
    prompt, of_tools = _count(reported, "promptTokenCount"), _count(reported, "toolUsePromptTokenCount")
    spoken = _first(_count(reported, "candidatesTokenCount"), _count(reported, "responseTokenCount"))
    thought = _count(reported, "thoughtsTokenCount")
    total = _count(reported, "totalTokenCount")
    output = None if spoken is None and thought is None else _sum(spoken, thought)
    if output is None and total is not None and prompt is not None:  # a count of 0 is left out
        output = max(0, total - _sum(prompt, of_tools))

    def of_modality(modalities: tuple[str, ...], *details: str) -> int | None:
        found = [_listed(reported, each, "modality", modality, "tokenCount") for each in details for modality in modalities]
        return None if all(each is None for each in found) else _sum(*found)

    return {
        "input_tokens": None if prompt is None else _sum(prompt, of_tools),
        "output_tokens": output,
        "cache_read_input_tokens": _count(reported, "cachedContentTokenCount"),
        "reasoning_output_tokens": thought,
        "audio_input_tokens": of_modality(("AUDIO",), "promptTokensDetails", "toolUsePromptTokensDetails"),
        "image_input_tokens": of_modality(_IMAGES, "promptTokensDetails", "toolUsePromptTokensDetails"),
        "audio_output_tokens": of_modality(("AUDIO",), "candidatesTokensDetails", "responseTokensDetails"),
        "image_output_tokens": of_modality(_IMAGES, "candidatesTokensDetails", "responseTokensDetails"),
    }


def _gemini_in_snake_case(reported: _Reported) -> _Counts:
    """The same with the names of Google's Python client."""
    return _gemini({_camel_case(name): _renamed(value) for name, value in reported.items()})


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [{_camel_case(name): each[name] for name in each} if isinstance(each, dict) else each for each in value]
    return value


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def _count(reported: _Reported, *path: str) -> int | None:
    """The count at the end of a path of names; None if there is nothing.

    Raises:
        UnknownUsageError: the value there is no count.
    """
    found: Any = reported
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return _as_count(found, ".".join(path))


def _as_count(found: Any, name: str) -> int | None:
    if found is None:
        return None
    is_whole = isinstance(found, int | float) and not isinstance(found, bool) and found == found // 1
    if not is_whole or not 0 <= found <= MAX_TOKENS:
        raise UnknownUsageError(f"{name} must be a whole number from 0 to {MAX_TOKENS:,}, and is {_shown(found)}")
    return int(found)


def _shown(found: Any) -> str:
    """A value for a message. An object or a list is only named, because its parts may be too deep to write."""
    if isinstance(found, dict | list):
        return "an object" if isinstance(found, dict) else "a list"
    return json.dumps(found)[:40]


def _listed(reported: _Reported, name: str, key: str, value: str, count: str) -> int | None:
    """The sum of the counts of those items of a list whose `key` has this value; None if there are none."""
    items = reported.get(name)
    if not isinstance(items, list):
        return None
    found = [each.get(count) for each in items if isinstance(each, dict) and each.get(key) == value]
    return sum(_as_count(each, f"{name}.{count}") or 0 for each in found) if found else None


def _first(*counts: int | None) -> int | None:
    return next((each for each in counts if each is not None), None)


def _sum(*counts: int | None) -> int:
    return sum(each or 0 for each in counts)


def _images_in(document: Any) -> int | None:
    """The number of images in a response or in the events of one; None if it is no response of images."""
    found = [_images_of(each) for each in _items(document if isinstance(document, list) else [document])]
    return None if all(count is None for count in found) else _sum(*found)


def _images_of(response: _Reported) -> int | None:
    """The number of images in one response of OpenAI, Imagen or Gemini; None for one of Gemini without any, which is text."""
    if isinstance(data := response.get("data"), list) and "created" in response:
        return len(data)
    if isinstance(predictions := response.get("predictions"), list):
        return sum(map(_is_image, predictions))
    return sum(map(_is_image, _gemini_parts(response))) or None


def _gemini_parts(response: _Reported) -> Iterator[Any]:
    """The inline data of the candidates of a response."""
    for candidate in _items(response.get("candidates")):
        content = candidate.get("content")
        for part in _items(content.get("parts")) if isinstance(content, dict) else ():
            yield part.get("inlineData", part.get("inline_data"))


def _items(found: Any) -> Iterator[_Reported]:
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())


def _is_image(found: Any) -> bool:
    kind = found.get("mimeType", found.get("mime_type")) if isinstance(found, dict) else None
    return isinstance(kind, str) and kind.startswith("image/")


def _model_in(document: Any, depth: int = 0) -> str:
    """The model that served the call, by a name that can be kept; empty if the document names none."""
    if depth > MAX_DEPTH or not isinstance(document, dict | list):
        return ""
    if isinstance(document, dict):
        named = [each for name in _MODEL if isinstance(each := document.get(name), str) and _is_name(each)]
        if named:
            return named[0]
    inside = document if isinstance(document, list) else map(document.get, _ENVELOPES)
    return next(filter(None, (_model_in(each, depth + 1) for each in inside)), "")


def _is_name(text: str) -> bool:
    """Whether a text can be the name of a model. JSON can spell characters that no database keeps."""
    return 0 < len(text) <= MAX_MODEL_NAME and text.isprintable()
