"""Which object of a document is usage, and of which shape; and the keys under which it is looked for."""

import re

from creditmeter.core.prices.reported.attributes import PREFIXES
from creditmeter.core.prices.reported.counting import Raw, as_count, number_of
from creditmeter.core.prices.reported.shapes import OTEL, SHAPES, TOTAL_ONLY, Shape

MAX_DEPTH = 8
"""The depth to which events and responses are searched for usage."""

USAGE_KEYS = ("totalUsage", "usage", "usageMetadata", "usage_metadata", "token_usage", "tokenUsage")
"""The keys under which responses have their usage itself."""

BY_MODEL = ("modelUsage", "model_usage")
"""The keys under which Claude Code has its usage by model, of which the usage beside it is the sum of some."""

AROUND = (
    *BY_MODEL,
    *USAGE_KEYS,
    *("message", "response", "result", "body", "interaction", "modelOutput", "metadata", "meta", "x_groq", "delta"),
    *("billed_units", "billedUnits", "tokens", "choices", "amazon-bedrock-invocationMetrics", "event", "chunk", "attributes"),
    *("response_metadata", "llm_output", "kwargs", "additional_kwargs", "data", "raw"),
    *("raw_responses", "rawResponses", "model_responses", "modelResponses", "context_wrapper", "messageMetadata"),
    *("inlinedResponses", "inlined_responses", "dest", "trace", "traces", "orchestrationTrace", "preProcessingTrace"),
    *("postProcessingTrace", "routingClassifierTrace", "customOrchestrationTrace", "modelInvocationOutput"),
)
"""The keys under which responses and events have their usage, or what contains it. The first that has one applies."""

_WORDS_BY_MODEL = (
    frozenset(("input_tokens", "output_tokens", "total_tokens")),
    frozenset(("inputTokens", "outputTokens", "cacheReadInputTokens")),
)
"""What usage by model has of each model: LangChain's, Claude Code's."""

_NO_MODEL = re.compile(r"usage|total|last", re.IGNORECASE)
_KNOWN = frozenset(name for shape in SHAPES for name in shape.known_by)
_KNOWN_ALONE = frozenset(name for shape in SHAPES for name in shape.or_by)
_SNAKE_GEMINI = frozenset(("prompt_token_count", "candidates_token_count", "thoughts_token_count", "total_token_count"))


def shape_of(found: Raw, *, has_output: bool = True) -> Shape | None:
    """The shape of an object that is usage; None if it is none. Usage of what has no output may be a total alone."""
    known = _KNOWN.intersection(found)
    if known:
        return next(shape for shape in SHAPES if not known.isdisjoint(shape.known_by))
    if any(name.startswith(PREFIXES) for name in found):
        return OTEL
    alone = _KNOWN_ALONE.intersection(found)
    if alone:
        return next(shape for shape in SHAPES if not alone.isdisjoint(shape.or_by))
    is_total = not has_output and any(number_of(found.get(name)) is not None for name in ("tokens", "total_tokens"))
    return TOTAL_ONLY if is_total else None


def by_model(found: Raw) -> bool:
    """Whether an object is usage by model: the names of models, each with a usage object of its own."""
    return bool(found) and all(map(_is_of_model, found, found.values()))


def _is_of_model(name: str, value: object) -> bool:
    if not isinstance(value, dict) or name in AROUND or _NO_MODEL.search(name):
        return False
    return any(words <= value.keys() for words in _WORDS_BY_MODEL)


def embedded_tokens(found: Raw) -> int | None:
    """How many tokens were embedded, by the statistics of Vertex AI; None if it is no response of embeddings that has any.

    https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api

    Raises:
        UnknownUsageError: a count in the statistics is none.
    """
    counts = _counts_of_embeddings(found)
    return sum(as_count(each, "embeddings.statistics.token_count") or 0 for each in counts) if counts else None


def has_embedded(found: Raw) -> bool:
    """Whether an object is a response of embeddings with statistics."""
    return bool(_counts_of_embeddings(found))


def _counts_of_embeddings(found: Raw) -> list[object]:
    listed = found.get("predictions", found.get("embeddings"))
    statistics = [_statistics(each) for each in listed] if isinstance(listed, list) else []
    counts = [each.get("token_count", each.get("tokenCount")) for each in statistics]
    return [each for each in counts if each is not None]


def _statistics(embedded: object) -> Raw:
    """The statistics of one text: of a prediction, or as Google's client has it."""
    inner = embedded.get("embeddings", embedded) if isinstance(embedded, dict) else None
    found = inner.get("statistics") if isinstance(inner, dict) else None
    return found if isinstance(found, dict) else {}


def in_camel_case(found: Raw) -> Raw:
    """An object of Gemini's with the names of Google's Python client, as Gemini itself writes it; any other as it is."""
    if _SNAKE_GEMINI.isdisjoint(found) or "generation_token_count" in found:
        return found
    return {_camel_case(name): _renamed(value) for name, value in found.items()}


def _renamed(value: object) -> object:
    if isinstance(value, list):
        return [{_camel_case(name): each[name] for name in each} if isinstance(each, dict) else each for each in value]
    return value


def _camel_case(name: str) -> str:
    head, *others = name.split("_")
    return head + "".join(each.capitalize() for each in others)
