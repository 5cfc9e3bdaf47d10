"""The calls of a provider's own tools that a response shows without counting them, by the names of units that have fees.

* OpenAI's responses list them as items of their output: https://platform.openai.com/docs/guides/tools. Of web search only a
  search has a fee, not the opening of a page; the fee of `web_search_preview` at a model that does not reason is another one.
  The code interpreter has one fee for each container, however often it is used: https://platform.openai.com/docs/pricing.
* OpenAI's models of search answer each chat completion after one search.
* Gemini names its searches in `groundingMetadata.webSearchQueries`, and what it found on the map among the `groundingChunks`.
  Up to Gemini 2.5 a grounded response has one fee, from Gemini 3 on each search: https://ai.google.dev/gemini-api/docs/pricing.
  Searches of the map are not listed: a response that shows any had at least one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from creditmeter.core.prices.reported.counting import Raw

_ITEMS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "image_generation_call": "image_generations",
}
LARGE_CONTAINERS = ("4g", "16g", "64g")
"""What the memory of a container may be, but for the usual 1 GB. Each has a fee of its own."""

_PREVIEW = "web_search_preview"
_DOES_NOT_REASON = re.compile(r"^(?:gpt-4|gpt-3|chatgpt-|gpt-5[^/]*-chat)")
_SEARCHES_ALWAYS = re.compile(r"^gpt-[^/]*-search-(preview|api)\b")
_FEE_FOR_ALL = ("gemini-1", "gemini-2")


_COPIED_IN = ("response_metadata", "providerMetadata", "provider_metadata", "experimental_providerMetadata")
"""Where LangChain and the AI SDK have what Gemini says of its searches."""

_SHOWN_IN = ("output", "candidates", "choices", "groundingMetadata", "grounding_metadata", *_COPIED_IN)


class ToolCalls(NamedTuple):
    """What a response shows of tools. Which fee that has may depend on its model.

    `counts` are the calls by unit, `previews` the searches by OpenAI's `web_search_preview`, `queries` those of Gemini.
    `containers` are the ids of the containers in which code ran, `memory` is what they have if it is not the usual (`4g`).
    """

    counts: Mapping[str, int] = {}
    previews: int = 0
    queries: int = 0
    containers: frozenset[str] = frozenset()
    memory: str = ""
    is_on_map: bool = False
    is_chat: bool = False

    def units(self, model: str) -> dict[str, int]:
        """The things with a fee, by unit, of a response of this model."""
        name = model.lower().rpartition("/")[2]
        units = Counter(self.counts)
        units[f"code_executions_{self.memory}" if self.memory else "code_executions"] += len(self.containers)
        units["web_searches"] += self.queries
        units["map_searches"] += self.is_on_map
        units["web_search_previews" if _DOES_NOT_REASON.match(name) else "web_searches"] += self.previews
        if self.is_chat and (found := _SEARCHES_ALWAYS.match(name)):
            units["web_search_previews" if found[1] == "preview" else "web_searches"] += 1
        return dict(+units)


NO_TOOLS = ToolCalls()


def as_billed(counts: Mapping[str, int], model: str) -> dict[str, int]:
    """The counts of a response of this model, with one fee for all searches where its prompt has one."""
    units = dict(counts)
    if not model.lower().rpartition("/")[2].startswith(_FEE_FOR_ALL):
        return units
    if searches := units.get("web_searches"):
        units["web_searches"] = min(searches, 1)
    if searches := units.pop("map_searches", 0):
        units["map_prompts"] = min(searches, 1)
    return units


def tool_calls_in(response: Raw) -> ToolCalls:
    """The calls of tools that a response shows."""
    if response.keys().isdisjoint(_SHOWN_IN):
        return NO_TOOLS
    items = list(_objects(response.get("output")))
    counts = Counter(_ITEMS[kind] for each in items if (kind := _kind(each)) in _ITEMS)
    previews = counts.pop("web_searches", 0) if _has_preview(response) else 0
    runs = [each.get("container_id") for each in items if each.get("type") == "code_interpreter_call"]
    containers = frozenset(each for each in runs if isinstance(each, str))
    counts["code_executions"] += sum(1 for each in runs if not isinstance(each, str))
    grounded = [found for each in _objects(response.get("candidates")) for found in _grounding(each)]
    copies = (response, *(each for name in _COPIED_IN for each in _inside(response.get(name))))
    copied = [found for each in copies for found in _grounding(each)]
    return ToolCalls(
        dict(+counts),
        previews,
        max(sum(map(_queries, grounded)), *map(_queries, copied), 0),
        containers,
        _memory(response),
        is_on_map=any(map(_is_on_map, (*grounded, *copied))),
        is_chat="choices" in response,
    )


def both(one: ToolCalls, other: ToolCalls) -> ToolCalls:
    """What two events of one response show: of each tool the higher count, and all containers."""
    if other is NO_TOOLS or one is NO_TOOLS:
        return one if other is NO_TOOLS else other
    names = one.counts.keys() | other.counts.keys()
    return ToolCalls(
        {name: max(one.counts.get(name, 0), other.counts.get(name, 0)) for name in sorted(names)},
        max(one.previews, other.previews),
        max(one.queries, other.queries),
        one.containers | other.containers,
        one.memory or other.memory,
        one.is_on_map or other.is_on_map,
        one.is_chat or other.is_chat,
    )


def _kind(item: Raw) -> str:
    """The type of an item that may have a fee; empty for the opening of a page, and for an image that did not come about."""
    action, kind = item.get("action"), str(item.get("type"))
    is_other = isinstance(action, dict) and action.get("type", "search") != "search"
    has_no_fee = (kind == "web_search_call" and is_other) or (
        kind == "image_generation_call" and item.get("status") == "failed"
    )
    return "" if has_no_fee else kind


def _has_preview(response: Raw) -> bool:
    """Whether the request, which OpenAI's responses repeat, asked for the earlier kind of web search."""
    return any(str(each.get("type")).startswith(_PREVIEW) for each in _objects(response.get("tools")))


def _memory(response: Raw) -> str:
    """The memory of the containers, if the request, which OpenAI's responses repeat, asked for more than the usual."""
    containers = (each.get("container") for each in _objects(response.get("tools")))
    limits = (each.get("memory_limit") for each in containers if isinstance(each, dict))
    return next((each for each in limits if each in LARGE_CONTAINERS), "")


def _inside(found: Any) -> Iterator[Raw]:
    """An object, and the objects in it: the AI SDK has what the provider says below the provider's name."""
    if isinstance(found, dict):
        yield found
        yield from (each for each in found.values() if isinstance(each, dict))


def _grounding(candidate: Raw) -> Iterator[Raw]:
    found = candidate.get("groundingMetadata", candidate.get("grounding_metadata"))
    if isinstance(found, dict):
        yield found


def _queries(grounding: Raw) -> int:
    queries = grounding.get("webSearchQueries", grounding.get("web_search_queries"))
    return len(queries) if isinstance(queries, list) else 0


def _is_on_map(grounding: Raw) -> bool:
    chunks = grounding.get("groundingChunks", grounding.get("grounding_chunks"))
    tokens = ("googleMapsWidgetContextToken", "google_maps_widget_context_token")
    return any("maps" in each for each in _objects(chunks)) or any(grounding.get(name) for name in tokens)


def _objects(found: Any) -> Iterator[Raw]:
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())
