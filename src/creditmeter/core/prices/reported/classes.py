"""The counts of one usage object: each class of tokens, with all that is beside a total added to it.

What a total of both sides says beyond input and output belongs to the class that the provider counts so:

* Google and xAI count reasoning beside the output. Where the total is no more than input and output, it is inside.
* Anthropic and Bedrock, at their gateways too, leave cached tokens out of the prompt: what the total has more is input.
* Perplexity's total leaves out reasoning and citations: it says nothing, and reasoning is beside the output.
* Anywhere else it is input if it is exactly what was cached, and output if not, which costs more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from creditmeter.core.prices.reported.counting import BESIDE, BESIDE_AT_SOME, Place, Raw, sum_at, total_of
from creditmeter.core.prices.reported.shapes import CHAT, GEMINI, INTERACTIONS, TOTAL_ONLY, Shape

UNITS = (
    *("cached_audio_input_tokens", "cached_image_input_tokens", "video_input_tokens", "video_output_tokens", "citation_tokens"),
    *("web_searches", "social_searches", "storage_searches", "code_executions", "search_sources", "rerank_searches"),
    *("web_search_previews", "map_prompts", "map_searches", "image_generations"),
    *("code_executions_4g", "code_executions_16g", "code_executions_64g"),
    *("low_context_requests", "medium_context_requests", "high_context_requests"),
)
"""What no field of a usage counts."""

COUNTS = (
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("cache_creation_1h_input_tokens", "reasoning_output_tokens", "audio_input_tokens", "audio_output_tokens"),
    *("image_input_tokens", "image_output_tokens"),
)
"""What fields of a usage count, by their names."""

REASONING_BESIDE = frozenset(("x-ai", "xai", "perplexity"))
"""Providers that count reasoning beside the output, if no total says otherwise."""

REST_IS_OUTPUT = frozenset(("google", "x-ai", "xai"))
REST_IS_INPUT = frozenset(("anthropic", "aws"))
REST_IS_NOTHING = frozenset(("perplexity",))
"""Whose tokens are those that only the total has. Of any other provider, see above."""


@dataclass(slots=True)
class Found:
    """What was found of each class, and which classes are beside the total of their side."""

    counts: dict[str, int]
    beside: set[str]

    def of(self, *classes: str) -> int:
        """The sum of these classes; what is unknown is 0."""
        return total_of(*map(self.counts.get, classes))


def classes_in(shape: Shape, raw: Raw, provider: str) -> Mapping[str, int]:
    """The counts of each class that a usage object has. `provider` is the one whose rules apply.

    Raises:
        UnknownUsageError: something that should be a count is none.
    """
    found = _found(shape, raw, provider)
    _settle_cache_writes(found)
    prompt, spoken = found.counts.get("input_tokens"), found.counts.get("output_tokens")
    if prompt is not None:
        found.counts["input_tokens"] = _input(shape, found, prompt)
    if spoken is None and "reasoning_output_tokens" in found.beside:
        spoken = 0
    if shape is TOTAL_ONLY:
        found.counts["output_tokens"] = 0
    elif spoken is not None:
        found.counts["output_tokens"] = spoken
        _settle_reasoning(shape, found, provider)
    _settle_total(shape, found, provider)
    return found.counts


def _found(shape: Shape, raw: Raw, provider: str) -> Found:
    found = Found({}, set())
    for name, first_names in shape.first_names.items():
        for each in () if first_names.isdisjoint(raw) else shape.classes[name]:
            count = sum_at(raw, each)
            if count is None or (name in found.counts and not count):
                continue
            found.counts[name] = count
            if _is_beside(each[0], provider):
                found.beside.add(name)
            if count:
                break
    return found


def _is_beside(where: Place, provider: str) -> bool:
    return where.mark == BESIDE or (where.mark == BESIDE_AT_SOME and provider in REST_IS_INPUT)


def _settle_cache_writes(found: Found) -> None:
    """Written tokens by how long they are kept are all that was written, where no count of all is given, or a smaller one:
    LangChain writes 0 there.
    """
    kept, whole = ("cache_creation_5m_input_tokens", "cache_creation_1h_input_tokens"), "cache_creation_input_tokens"
    if not any(name in found.counts for name in kept):
        return
    if whole not in found.counts and not found.beside.isdisjoint(kept):
        found.beside.add(whole)
    found.counts[whole] = max(found.of(whole), found.of(*kept))


def _input(shape: Shape, found: Found, prompt: int) -> int:
    """The prompt, what is counted beside it, and what is listed by modality and cannot be inside it."""
    if shape in (GEMINI, INTERACTIONS):
        other = found.of("audio_input_tokens", "image_input_tokens", "video_input_tokens")
        listed = other + found.of("text_input_tokens") if "text_input_tokens" in found.counts else other
        whole = prompt + found.of("tool_input_tokens")
        if listed > whole:
            return listed if "text_input_tokens" in found.counts else whole + other
    beside = ("tool_input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return prompt + found.of(*(name for name in beside if name in found.beside))


def _settle_reasoning(shape: Shape, found: Found, provider: str) -> None:
    """Add reasoning to the output where it is beside it."""
    reasoning, output = found.of("reasoning_output_tokens"), found.of("output_tokens")
    is_beside = "reasoning_output_tokens" in found.beside or (shape is CHAT and provider in REASONING_BESIDE)
    if not is_beside or not reasoning:
        return
    total, prompt = found.counts.get("total"), found.counts.get("input_tokens")
    if total is not None and prompt is not None and provider not in REST_IS_NOTHING and output >= reasoning:
        is_inside = total == prompt + output
        if is_inside:
            return
    found.counts["output_tokens"] = output + reasoning


def _settle_total(shape: Shape, found: Found, provider: str) -> None:
    """Give what only the total has to the side that the provider counts it to."""
    total, prompt, output = (found.counts.get(name) for name in ("total", "input_tokens", "output_tokens"))
    if total is None or provider in REST_IS_NOTHING:
        return
    if prompt is None or output is None:
        if prompt is not None or output is not None:
            missing = "input_tokens" if prompt is None else "output_tokens"
            found.counts[missing] = max(0, total - total_of(prompt, output))
        return
    rest = total - prompt - output
    if rest > 0:
        found.counts["input_tokens" if _is_input(shape, found, rest, provider) else "output_tokens"] += rest


def _is_input(shape: Shape, found: Found, rest: int, provider: str) -> bool:
    if shape in (GEMINI, INTERACTIONS):
        return rest == found.of("audio_input_tokens")
    if provider in REST_IS_OUTPUT:
        return False
    read, written = found.of("cache_read_input_tokens"), found.of("cache_creation_input_tokens")
    return provider in REST_IS_INPUT or rest in (read, written, read + written)
