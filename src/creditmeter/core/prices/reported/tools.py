"""The calls of a provider's own tools that a response shows without counting them, by the names of units that have fees.

* OpenAI's responses list them as items of their output: https://platform.openai.com/docs/guides/tools. Of web search only a
  search has a fee, not the opening of a page.
* Gemini names its searches in `groundingMetadata.webSearchQueries`. Up to Gemini 2.5 a grounded response has one fee, from
  Gemini 3 on each search: https://ai.google.dev/gemini-api/docs/pricing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

_ITEMS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
}
_SHOWN_IN = ("output", "candidates", "groundingMetadata", "grounding_metadata")
"""What has calls of tools. Frameworks have the grounding metadata of Gemini without its candidate."""

_FEE_FOR_ALL = ("gemini-1", "gemini-2")


def tool_calls_in(response: Raw, model: str) -> Mapping[str, int]:
    """How many calls of each tool a response shows."""
    if response.keys().isdisjoint(_SHOWN_IN):
        return {}
    calls = Counter(_ITEMS[kind] for each in _objects(response.get("output")) if (kind := _kind(each)) in _ITEMS)
    searches = sum(map(_searches, _objects(response.get("candidates")))) or _searches(response)
    if searches:
        calls["web_searches"] += 1 if model.rpartition("/")[2].startswith(_FEE_FOR_ALL) else searches
    return calls


def _kind(item: Raw) -> str:
    action = item.get("action")
    is_other = isinstance(action, dict) and action.get("type", "search") != "search"
    return "" if is_other else str(item.get("type"))


def _searches(candidate: Raw) -> int:
    metadata = candidate.get("groundingMetadata", candidate.get("grounding_metadata"))
    if not isinstance(metadata, dict):
        return 0
    queries = metadata.get("webSearchQueries", metadata.get("web_search_queries"))
    return len(queries) if isinstance(queries, list) else 0


def _objects(found: Any) -> Iterator[Raw]:
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())
