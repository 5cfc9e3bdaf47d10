"""What stands beside a usage object: the provider's own words in the AI SDK's result, and what frameworks keep of a response.

* AI SDK: `providerMetadata`, by provider. Some have whole usage there (`usage`, `usageMetadata`), others single counts that the
  SDK's usage has no place for: `cacheCreationInputTokens` (Anthropic), `cachedPromptTokens` (OpenAI, in version 4),
  `usage.cacheWriteInputTokens` (Bedrock). https://ai-sdk.dev/providers/ai-sdk-providers
* LangChain: `response_metadata`; the tier that served the call is in the names of details, too (`priority_cache_read`).
* pydantic-ai: `provider_details`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from creditmeter.core.prices.reported.counting import Raw, number_of
from creditmeter.core.prices.reported.recognising import in_camel_case, shape_of
from creditmeter.core.prices.reported.shapes import CAMEL, CAMEL_CHAT, Shape
from creditmeter.core.prices.reported.unread import is_about_tokens, unread_numbers

SDK_SHAPES = (CAMEL, CAMEL_CHAT)
"""The shapes in which the AI SDK writes usage itself."""

UNSURE_TIERS = frozenset(("", "standard", "default"))
"""Tiers that another one, which is said beside, goes before."""

_METADATA = ("providerMetadata", "provider_metadata", "experimental_providerMetadata")
"""The keys under which the AI SDK has what the provider itself reported, by provider."""

_BESIDE = ("response_metadata", "additional_kwargs", "provider_details", "llm_output", "response", "message", "result", "body")
"""The keys under which an object has more of what is said of its call."""

_READ = frozenset(name for shape in SDK_SHAPES for names in shape.first_names.values() for name in names)
_USAGE = ("usage", "usageMetadata", "usage_metadata")
_NOT_COUNTS = (*_USAGE, "groundingMetadata", "grounding_metadata", "iterations")
_DETAILS = ("input_token_details", "output_token_details")
_TIERS_OF_DETAILS = ("priority", "flex")


@dataclass(frozen=True, slots=True)
class Words:
    """What a provider itself reported: whole usage of some shape, single counts, and the paths of what is in neither."""

    path: str
    shape: Shape | None
    usage: Raw
    counts: Raw
    unread: tuple[str, ...]


def objects_beside(document: Raw) -> Iterator[Raw]:
    """The objects of a response that may say what served it, what it cost and which tools it called."""
    for name in _BESIDE:
        each = document.get(name)
        if isinstance(each, dict):
            yield each
    for _, one in _by_provider(document):
        yield one
        yield from (each for name in _USAGE if isinstance(each := one.get(name), dict))


def words_of_providers(document: Raw) -> Iterator[Words]:
    """What the providers of a response, or of the AI SDK's usage object, say in their own words."""
    raw = document.get("raw")
    if isinstance(raw, dict) and shape_of(document) is not None:
        yield _words("raw", {"usage": raw})
    for path, one in _by_provider(document):
        yield _words(path, one)


def tier_of_details(usage: Raw) -> str:
    """The tier that served a call, by the names that LangChain gives its details; empty if they say nothing."""
    found = [details for name in _DETAILS if isinstance(details := usage.get(name), dict)]
    names = {tier: (tier, f"{tier}_cache_read", f"{tier}_reasoning") for tier in _TIERS_OF_DETAILS}
    return next((tier for tier in names for details in found if any(number_of(details.get(each)) for each in names[tier])), "")


def _by_provider(document: Raw) -> Iterator[tuple[str, Raw]]:
    for name in _METADATA:
        found = document.get(name)
        for metadata in found if isinstance(found, list) else [found]:
            for provider, one in metadata.items() if isinstance(metadata, dict) else ():
                if isinstance(one, dict):
                    yield f"{name}.{provider}", one


def _words(path: str, one: Raw) -> Words:
    """What one provider says. Beside whole usage its single counts are copies."""
    usage: Raw = in_camel_case(next((each for name in _USAGE if isinstance(each := one.get(name), dict)), {}))
    shape = shape_of(usage)
    is_whole = _has_totals(shape, usage)
    if shape in SDK_SHAPES and not is_whole:
        shape = None
    single = {name: value for name, value in one.items() if is_about_tokens(name) and number_of(value) is not None}
    said: dict[str, Any] = {**single, **({} if shape else usage)}
    counts = {name: value for name, value in said.items() if name in _READ}
    rest = {name: value for name, value in {**one, **said}.items() if name not in counts and name not in _NOT_COUNTS}
    return Words(path, shape, usage, {} if is_whole else counts, tuple(unread_numbers(rest, (path,))))


def _has_totals(shape: Shape | None, usage: Raw) -> bool:
    names = () if shape is None else (shape.first_names["input_tokens"], shape.first_names["output_tokens"])
    return any(not each.isdisjoint(usage) for each in names)
