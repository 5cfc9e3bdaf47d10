"""Numbers of a report that look like counts of tokens and that no rule reads: each is named, so none is lost in silence.

`INFORMATIVE` are names whose numbers say nothing new.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from creditmeter.core.prices.reported.attributes import PREFIX
from creditmeter.core.prices.reported.counting import MODALITIES, MODALITY, Raw, chosen_by, number_of
from creditmeter.core.prices.reported.recognising import AROUND, MAX_DEPTH, by_model, has_embedded, in_camel_case, shape_of
from creditmeter.core.prices.reported.shapes import Shape

STEPS = ("iterations", "request_usage_entries", "requestUsageEntries")
"""The keys under which a usage object lists its steps: Anthropic's and the OpenAI Agents SDK's."""

MAX_UNREAD = 16
"""Most paths that are named of one response."""

MAX_PATH = 128
"""Most characters of a path that are named."""

_MAX_NAMES = 32

TOTALS = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
INFORMATIVE: Mapping[str, str] = {
    **dict.fromkeys(TOTALS, "the sum of the counts that are read"),
    **dict.fromkeys(("text_tokens", "textTokens", "text", "cached_text_tokens"), "what the other classes of its side leave"),
    **dict.fromkeys(("noCacheTokens", "noCache", "prompt_cache_miss_tokens"), "what was not cached"),
    **dict.fromkeys(
        ("prompt_text_tokens", "input_text_tokens", "output_text_tokens"), "what the other classes of its side leave"
    ),
    **dict.fromkeys(("cache_text_read_tokens", "noCacheInputTokens"), "what the other classes of its side leave"),
    **dict.fromkeys(("promptCacheMissTokens",), "what was not cached"),
    **dict.fromkeys(("accepted_prediction_tokens", "rejected_prediction_tokens"), "a part of the completion, at its rate"),
    **dict.fromkeys(("acceptedPredictionTokens", "rejectedPredictionTokens"), "a part of the completion, at its rate"),
    **dict.fromkeys(("priority", "flex"), "the tokens of a tier, which are those that are read"),
    **dict.fromkeys(("cleared_input_tokens", "clearedInputTokens"), "what was taken out of the prompt before it was counted"),
    **dict.fromkeys(("original_input_tokens", "originalInputTokens"), "what the prompt was before something was taken out"),
    **dict.fromkeys(
        ("max_tokens", "max_output_tokens", "max_completion_tokens", "maxTokens", "maxTokenCount"), "what was asked for"
    ),
    **dict.fromkeys(("maxOutputTokens", "max_new_tokens", "budget_tokens", "max_input_tokens"), "what was asked for"),
    **dict.fromkeys(
        ("raw", "nativeUsage", "providerMetadata", "provider_metadata"), "the provider's words, which are read apart"
    ),
    **dict.fromkeys(("experimental_providerMetadata",), "the provider's words, which are read apart"),
    **dict.fromkeys(("context_details", "model_invocation_token_counts"), "the same tokens by step"),
    **dict.fromkeys(("steps",), "what the whole is the sum of"),
    **dict.fromkeys(("modality",), "what kind of tokens a count is of"),
    **dict.fromkeys(("tokens_prompt", "tokens_completion"), "what the router's own tokenizer counts"),
    **dict.fromkeys(("tokensPrompt", "tokensCompletion"), "what the router's own tokenizer counts"),
    **dict.fromkeys(("modelInput", "request", "modelInvocationInput"), "what was asked for"),
    **dict.fromkeys(("web_fetch_requests", "mcp_calls"), "calls of tools that have no fee"),
}

_CONTENT = ("content", "output", "tools", "input", "arguments", "instructions", "messages", "logprobs", "candidates")
_CALLS_BY_TOOL = "server_side_tool_usage_details"
_COUNTED_TOO = frozenset((_CALLS_BY_TOOL, "num_server_side_tools_used"))
"""Of xAI's calls of tools, those of each tool and all of them."""

_OF_TOOLS = re.compile(r"search|queries|server_?(side_?)?tool", re.IGNORECASE)
"""What providers count in usage that may have a fee."""

TIER = (
    *("service_tier", "serviceTier", "trafficType", "traffic_type"),
    *("openai.response.service_tier", "gen_ai.openai.response.service_tier"),
)
SPEED = ("speed",)
"""The names under which the tier and the speed are read that served a call."""

_SERVED = frozenset((*TIER, *SPEED, "latency"))
_DEARER = frozenset(("priority", "fast", "optimized"))
"""Words for ways of serving that cost more than the standard one. Under another name they are not read, so they are named."""

_TOKENS = re.compile(r"tokens|token_?(count|details)|^server_side_tools_used$", re.IGNORECASE)
_BY_KIND = ("TokensDetails", "_by_modality")
_COPIED = re.compile(r"(input|output)_tokens|text_\w+_tokens|(\w+_)?tool_use_prompt_tokens|video_cache_tokens")
_COST = re.compile(r"cost", re.IGNORECASE)


def unread_in_usage(shape: Shape, usage: Raw) -> Iterator[str]:
    """The paths in a usage object that nothing reads."""
    counted_too = _COUNTED_TOO if _CALLS_BY_TOOL in usage else frozenset[str]()
    for names, value in _leaves(usage, ()):
        place = names[1:] if names[0] in STEPS else names
        if place in shape.read_names or _is_copy(place) or names[-1] in counted_too:
            continue
        is_count = _is_positive(value) and (is_about_tokens(*names) or _is_of_tools(*names))
        if is_count or _is_dearer(names[-1], value):
            yield _path(names)
    yield from _of_unknown_kinds(usage)


def _is_dearer(name: str, value: Any) -> bool:
    """Whether a value that is not read says that a call was served in a way that costs more."""
    is_word = isinstance(value, str) and value.lower() in _DEARER
    return is_word and name not in _SERVED and not _TOKENS.search(name)


def _is_of_tools(*names: str) -> bool:
    return any(map(_OF_TOOLS.search, names)) and not _COST.search(names[-1])


def _of_unknown_kinds(usage: Raw) -> Iterator[str]:
    """The paths of lists by modality that count tokens of a kind that no rule knows, or of none."""
    for name, listed in usage.items():
        if name.endswith(_BY_KIND) and isinstance(listed, list):
            items = (each for each in listed if isinstance(each, dict) and chosen_by(each, MODALITY) not in MODALITIES)
            if any(_is_positive(each.get("tokenCount", each.get("tokens"))) for each in items):
                yield _path((name, MODALITY))


def _is_copy(names: tuple[str, ...]) -> bool:
    """Whether a count is one that pydantic-ai copies from Gemini, which says nothing that its own counts do not say."""
    around, details, last = ".".join(names).rpartition("details.")
    return bool(details) and around in ("", PREFIX) and bool(_COPIED.fullmatch(last))


def unread_numbers(found: Raw, around: tuple[str, ...]) -> Iterator[str]:
    """The paths of all that looks like counts of tokens in an object of which nothing is read. It stands below these names."""
    for names, value in _leaves(found, ()):
        if is_about_tokens(*names) and names[0] not in _CONTENT and _is_positive(value):
            yield _path((*around, *names))


def is_about_tokens(*names: str) -> bool:
    """Whether names on the way to a number say that it counts tokens. A price of tokens is none."""
    return any(map(_TOKENS.search, names)) and not _COST.search(names[-1])


def largest_count(usage: Raw) -> Decimal:
    """The largest number in a usage object."""
    numbers = (number_of(value) for _, value in _leaves(usage, ()))
    return max((each for each in numbers if each is not None and each.is_finite()), default=Decimal(0))


def unread_around(document: Raw, depth: int, *, has_output: bool) -> Iterator[str]:
    """The paths in an event or response that nothing reads, outside its usage objects. It stands at this depth."""
    yield from _around(document, (), depth, has_output=has_output)


def has_counts(usage: Raw) -> bool:
    """Whether any number in a usage object is above 0."""
    return any(_is_positive(value) for _, value in _leaves(usage, ()))


def _around(found: Any, names: tuple[str, ...], depth: int, *, has_output: bool) -> Iterator[str]:
    """`depth` is how deep the object was looked for, above MAX_DEPTH if it was not."""
    if len(names) > _MAX_NAMES:
        return
    if isinstance(found, list):
        for each in _objects(found):
            yield from _around(each, names, depth, has_output=has_output)
    elif isinstance(found, dict) and not (depth <= MAX_DEPTH and _is_usage(found, has_output=has_output)):
        for name, value in found.items():
            if isinstance(value, dict | list):
                if name not in _CONTENT and name not in INFORMATIVE:
                    inside = depth + 1 if name in AROUND else MAX_DEPTH + 1
                    yield from _around(value, (*names, name), inside, has_output=has_output)
            elif _is_dearer(name, value) or _is_count_around(name, value):
                yield _path((*names, name))


def _is_count_around(name: str, value: Any) -> bool:
    is_new = _last(name) not in INFORMATIVE or name in TOTALS
    return is_new and bool(_TOKENS.search(name)) and _is_positive(value)


def _is_usage(found: Raw, *, has_output: bool) -> bool:
    """Whether an object is usage in known words."""
    if by_model(found) or has_embedded(found):
        return True
    return shape_of(in_camel_case(found), has_output=has_output) is not None


def _leaves(found: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values in an object with the names on the way to them, but for what is known to say nothing new."""
    if len(names) > _MAX_NAMES:
        return
    if isinstance(found, list):
        for each in _objects(found):
            yield from _leaves(each, names)
    elif isinstance(found, dict):
        for name, value in found.items():
            if _last(name) not in INFORMATIVE:
                yield from _leaves(value, (*names, name))
    elif names:
        yield names, found


def _objects(listed: list[Any]) -> Iterator[Raw]:
    """The objects in a list, and those in lists in it."""
    for each in listed:
        inner = each if isinstance(each, list) else [each]
        yield from (one for one in inner if isinstance(one, dict))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _is_positive(value: Any) -> bool:
    number = number_of(value)
    return number is not None and not number.is_nan() and number > 0


def _path(names: tuple[str, ...]) -> str:
    return "".join(each if each.isprintable() else "?" for each in ".".join(names))[:MAX_PATH]
