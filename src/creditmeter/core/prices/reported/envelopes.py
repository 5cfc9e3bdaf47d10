"""The events and responses in documents: where the usage of each stands, whose it is, and what else is said of the call.

Usage stands a few levels down in what providers, gateways and frameworks wrap it in. Responses are told apart by their ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from creditmeter.core.prices.reported.costs import cost_in
from creditmeter.core.prices.reported.counting import Raw
from creditmeter.core.prices.reported.recognising import AROUND, MAX_DEPTH, in_camel_case, shape_of
from creditmeter.core.prices.reported.shapes import Shape
from creditmeter.core.prices.reported.tools import NO_TOOLS, ToolCalls, both, tool_calls_in
from creditmeter.core.prices.reported.unread import has_counts, unread_around

MAX_MODEL_NAME = 256
"""Most characters in a name: of a model, an id, a tier. A longer one is ignored."""

_PLACE_OF = {name: place for place, name in enumerate(AROUND)}

_METADATA = ("providerMetadata", "provider_metadata", "experimental_providerMetadata")
"""The keys under which the AI SDK has what the provider itself reported, by provider."""

_NAMED_IN = ("message", "response", "result", "response_metadata")
"""The keys under which an event has what names its model and id, if it does not do so itself."""

_MODEL = ("model", "modelVersion", "model_version", "modelId", "model_name", "gen_ai.response.model")
_ID = ("id", "responseId", "response_id", "provider_response_id", "gen_ai.response.id", "custom_id", "recordId")
_TIER = ("service_tier", "serviceTier", "trafficType", "traffic_type")
_SPEED = ("speed",)
_REGION = ("inference_geo", "inferenceGeo")
_TIERS = {"on_demand": "standard", "on_demand_priority": "priority", "on_demand_flex": "flex"}
"""The tiers that Gemini names as types of traffic, as everybody else names them."""

_SAYS_NOTHING = ("auto", "not_available", "unspecified", "traffic_type_unspecified")
SEARCH_CONTEXTS = ("low", "medium", "high")
"""How much of the web a model of Perplexity may search."""

_BODIES = ("choices", "content", "candidates", "output")
"""What only a response of a model has."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an event or response says of its call beside the usage. Empty is unknown."""

    response_id: str = ""
    model: str = ""
    service_tier: str = ""
    speed: str = ""
    region: str = ""
    cost_usd: Decimal | None = None
    has_output: bool = True
    is_image: bool = False
    is_start: bool = False
    is_whole: bool = False
    is_answer: bool = False
    tools: ToolCalls = NO_TOOLS
    search_context: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event or response: its facts, its usage if it has one, and the paths of what is read nowhere in it."""

    facts: Facts
    shape: Shape | None = None
    usage: Raw = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def events_in(document: Any, depth: int = 0) -> Iterator[Event]:
    """The events and responses in a document, in the order in which they came. What is too deep is not looked at."""
    if depth > MAX_DEPTH:
        return
    if isinstance(document, list):
        for each in document:
            yield from events_in(each, depth + 1)
    elif isinstance(document, dict):
        first, *others = _events_of(document, _NOTHING, depth)
        unread = unread_around(document, depth, has_output=first.facts.has_output)
        yield replace(first, unread=tuple(unread))
        yield from others


def _events_of(document: Raw, around: Facts, depth: int) -> list[Event]:
    """The object itself if it is usage, or else the usage that it has within; if it has none, what it says beside."""
    document = in_camel_case(document)
    facts = _facts(document, around)
    shape = shape_of(document, has_output=facts.has_output)
    if shape is not None:
        return [Event(facts, shape, document)]
    of_zeros: list[Event] = []
    for name in sorted(_PLACE_OF.keys() & document, key=_PLACE_OF.__getitem__) if depth < MAX_DEPTH else ():
        found = [each for one in _objects(document.get(name)) for each in _events_of(one, facts, depth + 1)]
        with_usage = [each for each in found if each.shape is not None]
        if any(has_counts(each.usage) for each in with_usage):
            return [*_without_shared_cost(with_usage, facts.cost_usd), *_in_providers_words(document, facts)]
        of_zeros = of_zeros or with_usage
    return _without_shared_cost(of_zeros, facts.cost_usd) or [Event(facts)]


def _in_providers_words(document: Raw, facts: Facts) -> Iterator[Event]:
    """The usage that the AI SDK keeps beside its own: as the provider wrote it, and with what the SDK's words leave out."""
    for name in _METADATA:
        for by_provider in _objects(document.get(name)):
            for one in by_provider.values():
                usage = one.get("usage") if isinstance(one, dict) else None
                if isinstance(usage, dict) and (shape := shape_of(usage)) is not None:
                    yield Event(facts, shape, usage)


def _without_shared_cost(events: list[Event], around: Decimal | None) -> list[Event]:
    """The events without what is reported around several responses: it is of them together, and of none of them."""
    is_one = len(events) == 1 or (len({each.facts.response_id for each in events}) == 1 and not events[0].facts.is_whole)
    if around is None or is_one:
        return events
    return [
        replace(each, facts=replace(each.facts, cost_usd=None)) if each.facts.cost_usd is around else each for each in events
    ]


def _objects(found: Any) -> list[Raw]:
    """The object, or those of a list, that stand under a key."""
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def _facts(document: Raw, around: Facts) -> Facts:
    """What an object says, on top of what the objects around it say."""
    named = (document, *(each for name in _NAMED_IN if isinstance(each := document.get(name), dict)))
    is_batch = _is_of_batch(document)
    tier = around.service_tier if around.service_tier == "batch" else ""
    cost = cost_in(document)
    model = around.model or _name(named, _MODEL)
    return replace(
        around,
        response_id=_name(named, _ID) or _moment_of(document) or around.response_id,
        model=model,
        service_tier=tier or ("batch" if is_batch else _word(document, _TIER)) or around.service_tier,
        speed=_word(document, _SPEED) or _latency_of(document) or around.speed,
        region=_word(document, _REGION) or around.region,
        cost_usd=around.cost_usd if cost is None else cost,
        has_output=around.has_output and not _is_embedding(document),
        is_image=around.is_image or _is_image(document),
        is_start=around.is_start or document.get("type") == "message_start",
        is_whole=around.is_whole or _is_whole(document),
        is_answer=around.is_answer or any(document.get(name) for name in _BODIES),
        tools=both(around.tools, tool_calls_in(document)),
        search_context=_search_context(document) or around.search_context,
    )


_NOTHING = Facts()


def _is_of_batch(document: Raw) -> bool:
    """Whether an object is a line of a batch's output (of OpenAI, Anthropic, Bedrock, Google), or OpenAI's sum of it.

    Logs of single calls have requests and responses, too: only what a batch alone writes makes a call cheaper.
    """
    is_line = not document.keys().isdisjoint(("custom_id", "recordId"))
    is_of_gemini = document.keys() == {"key", "response"}
    is_of_vertex = document.keys() >= {"processed_time", "request", "response"}
    return is_line or is_of_gemini or is_of_vertex or document.get("object") == "batch"


def _name(documents: tuple[Raw, ...], names: tuple[str, ...]) -> str:
    found = (document.get(name) for document in documents for name in names)
    return next((each for each in found if isinstance(each, str) and is_name(each)), "")


def _word(document: Raw, names: tuple[str, ...]) -> str:
    """What a document says of how it was served, in lower case."""
    for name in names:
        found = document.get(name)
        word = found.get("type") if isinstance(found, dict) else found
        if isinstance(word, str) and is_name(word) and word.lower() not in _SAYS_NOTHING:
            return _TIERS.get(word.lower(), word.lower())
    return ""


def _latency_of(document: Raw) -> str:
    """The latency that Bedrock served a call with: `optimized` has prices of its own.

    https://docs.aws.amazon.com/bedrock/latest/userguide/latency-optimized-inference.html
    """
    found = document.get("performanceConfig")
    return _word(found, ("latency",)) if isinstance(found, dict) else ""


def _search_context(document: Raw) -> str:
    """How much of the web a model of Perplexity searched: what its fee for a request depends on."""
    asked = document.get("web_search_options")
    places = (document, asked if isinstance(asked, dict) else {})
    return next((size for each in places if (size := str(each.get("search_context_size")).lower()) in SEARCH_CONTEXTS), "")


def _moment_of(document: Raw) -> str:
    """What tells the responses of Ollama apart, which have no id: when the last event of each was made."""
    moment = document.get("created_at")
    return moment if document.get("done") is True and isinstance(moment, str) and is_name(moment) else ""


def _is_whole(document: Raw) -> bool:
    """Whether an object is a whole response of a kind that may have no id, and never an event of a stream."""
    output = document.get("output")
    is_conversation = isinstance(output, dict) and "message" in output  # Bedrock Converse
    is_of_images = "created" in document and isinstance(document.get("data"), list)
    return is_conversation or is_of_images or _is_list(document) or document.get("object") == "chat.completion"


def _is_list(document: Raw) -> bool:
    return document.get("object") == "list"


def _is_embedding(document: Raw) -> bool:
    """Whether a response is one of embeddings or of ranks, which have no output."""
    if _is_list(document) or not document.keys().isdisjoint(("embedding", "embeddings")):
        return True
    ranks = document.get("results")
    return isinstance(ranks, list) and any(isinstance(each, dict) and "relevance_score" in each for each in ranks)


def _is_image(document: Raw) -> bool:
    """Whether a response, or an event, is one of OpenAI's image API."""
    kind = document.get("type")
    is_event = isinstance(kind, str) and kind.startswith(("image_generation.", "image_edit."))
    return is_event or ("created" in document and isinstance(document.get("data"), list) and not _is_list(document))


def is_name(text: str) -> bool:
    """Whether a text can be a name. JSON can spell characters that no database keeps."""
    return 0 < len(text) <= MAX_MODEL_NAME and text.isprintable()
