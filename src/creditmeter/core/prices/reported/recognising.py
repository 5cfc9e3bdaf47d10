"""Which object of a document is usage, and of which shape; and the keys under which it is looked for."""

from creditmeter.core.prices.reported.attributes import PREFIXES
from creditmeter.core.prices.reported.counting import Raw, number_of
from creditmeter.core.prices.reported.shapes import OTEL, SHAPES, TOTAL_ONLY, Shape

MAX_DEPTH = 8
"""The depth to which events and responses are searched for usage."""

USAGE_KEYS = ("totalUsage", "usage", "usageMetadata", "usage_metadata", "token_usage", "tokenUsage")
"""The keys under which responses have their usage itself."""

AROUND = (
    *USAGE_KEYS,
    *("message", "response", "result", "body", "interaction", "modelOutput", "metadata", "meta", "x_groq", "delta"),
    *("billed_units", "billedUnits", "tokens", "choices", "amazon-bedrock-invocationMetrics", "event", "chunk", "attributes"),
    *("response_metadata", "llm_output", "kwargs", "additional_kwargs", "data", "raw"),
)
"""The keys under which responses and events have their usage, or what contains it. The first that has one applies."""

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
