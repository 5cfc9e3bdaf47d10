"""The events and responses in documents: where the usage of each stands, whose it is, and what else is said of the call.

Usage stands a few levels down in what providers, gateways and frameworks wrap it in. Responses are told apart by their ids.

Several usage objects of one response are all kept: each is read by its own words, and of each class the largest count stands.
They are of one response if they stand under different keys of one object, unless both are in responses with ids that differ.
What stands beside the usage (`beside`) says what served the call, what it cost and which tools were called.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from creditmeter.core.prices.reported.beside import (
    SDK_SHAPES,
    UNSURE_TIERS,
    objects_beside,
    tier_of_details,
    words_of_providers,
)
from creditmeter.core.prices.reported.costs import cost_in
from creditmeter.core.prices.reported.counting import Raw
from creditmeter.core.prices.reported.merging import merged
from creditmeter.core.prices.reported.recognising import AROUND, MAX_DEPTH, USAGE_KEYS, in_camel_case, shape_of
from creditmeter.core.prices.reported.shapes import CAMEL, Shape
from creditmeter.core.prices.reported.tools import tool_calls_in
from creditmeter.core.prices.reported.unread import has_counts, largest_count, unread_around, unread_numbers

MAX_MODEL_NAME = 256
"""Most characters in a name: of a model, an id, a tier. A longer one is ignored."""

_PLACE_OF = {name: place for place, name in enumerate(AROUND)}

_READ_INSTEAD = {"tokens": frozenset({"billed_units", "billedUnits"})}
"""What is no usage to be billed where one of the keys beside it is: Cohere bills less than its models read."""

_NAMED_IN = ("message", "response", "result", "response_metadata")
"""The keys under which an event has what names its model and id, if it does not do so itself."""

_MODEL = ("model", "modelVersion", "model_version", "modelId", "model_name", "gen_ai.response.model")
_ID = ("id", "responseId", "response_id", "provider_response_id", "gen_ai.response.id", "custom_id", "recordId")
_TIER = (
    *("service_tier", "serviceTier", "trafficType", "traffic_type"),
    *("openai.response.service_tier", "gen_ai.openai.response.service_tier"),
)
_SPEED = ("speed",)
_REGION = ("inference_geo", "inferenceGeo")
_TIERS = {"on_demand": "standard", "on_demand_priority": "priority", "on_demand_flex": "flex"}
"""The tiers that Gemini names as types of traffic, as everybody else names them."""

_SAYS_NOTHING = ("auto", "not_available", "unspecified", "traffic_type_unspecified")
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
    units: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event or response: its facts, its usage if it has one, and the paths of what is read nowhere in it.

    `path` is where its usage stands. `others` are further usage objects of the same response, each with its path.
    """

    facts: Facts
    shape: Shape | None = None
    usage: Raw = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    path: str = ""
    others: tuple[tuple[str, Shape, Raw], ...] = ()


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
        yield replace(first, unread=(*first.unread, *unread))
        yield from others


def _events_of(document: Raw, around: Facts, depth: int) -> list[Event]:
    """The object itself if it is usage, or else the usage that it has within; if it has none, what it says beside."""
    document = in_camel_case(document)
    facts = _facts(document, around)
    for each in objects_beside(document):
        facts = _filled(facts, _facts(each, facts))
    shape = shape_of(document, has_output=facts.has_output)
    if shape is not None:
        return [_with_words(Event(facts, shape, document), document)]
    found: list[list[Event]] = []
    for name in sorted(_PLACE_OF.keys() & document, key=_PLACE_OF.__getitem__) if depth < MAX_DEPTH else ():
        if _READ_INSTEAD.get(name, _NO_NAMES).isdisjoint(document):
            within = [each for one in _objects(document.get(name)) for each in _events_of(one, facts, depth + 1)]
            found.append([_below(name, each) for each in within if each.shape is not None])
    with_counts = [events for events in found if any(has_counts(each.usage) for each in events)]
    shared = _name((document,), _ID) or around.response_id
    together = _together(with_counts or [events for events in found if events][:1], shared)
    events = _without_shared_cost(together, facts.cost_usd)
    if len(events) > 1:
        words = (Event(facts, each.shape, each.usage) for each in words_of_providers(document))
        return [*events, *(each for each in words if each.shape is not None)]
    return [_with_words(events[0] if events else Event(facts), document)]


_NO_NAMES: frozenset[str] = frozenset()
_OF_CALLERS = "metadata"
"""The key under which responses give back what a caller sent with them. It counts only where there is no other usage."""


def _together(found: list[list[Event]], shared_id: str) -> list[Event]:
    """The usage under several keys of one object: all of one response, or of several where their own ids say so.

    `shared_id` is the id of the object, which is that of all that has none of its own.
    Where one key has several responses and another says more than all of them, what it says is named as unread.
    """
    kept = found[0] if found else []
    for events in found[1:]:
        own_ids = [*{each.facts.response_id for each in (*kept, *events)} - {"", shared_id}]
        are_single = len(kept) == len(events) == 1 and not events[0].path.startswith(_OF_CALLERS)
        if are_single:
            are_two = bool(own_ids[1:]) and kept[0].path not in USAGE_KEYS
            kept = [*kept, *events] if are_two else [_joined(kept[0], events[0])]
        elif _size(events) > _size(kept):
            kept = [replace(kept[0], unread=(*kept[0].unread, *_paths(events))), *kept[1:]]
    return kept


def _size(events: list[Event]) -> int:
    return sum(int(largest_count(each.usage)) for each in events)


def _paths(events: list[Event]) -> Iterator[str]:
    """The paths of the counts of events that are not read."""
    for each in events:
        yield from unread_numbers(each.usage, (each.path,))


def _below(name: str, event: Event) -> Event:
    """An event that was found under a key."""
    return replace(event, path=f"{name}.{event.path}".rstrip("."))


def _joined(event: Event, other: Event) -> Event:
    """One response whose usage stands in two places."""
    others = [(f"{other.path}.{path}", shape, usage) for path, shape, usage in other.others]
    if other.shape is not None:
        others.insert(0, (other.path, other.shape, other.usage))
    return replace(
        event,
        facts=_filled(event.facts, other.facts),
        unread=(*event.unread, *other.unread),
        others=(*event.others, *others),
    )


def _with_words(event: Event, document: Raw) -> Event:
    """An event with what its provider says in its own words.

    Whole usage there is another usage object of the response. Single counts are laid beside those of the AI SDK's own.
    """
    for words in words_of_providers(document):
        event = replace(event, unread=(*event.unread, *words.unread))
        if words.shape is not None:
            own = Event(_facts(words.usage, event.facts), words.shape, words.usage, path=words.path)
            event = _joined(event, own) if event.shape is not None else replace(own, unread=event.unread)
        if words.counts and event.shape in (None, *SDK_SHAPES):
            event = replace(event, shape=event.shape or CAMEL, usage=merged(words.counts, event.usage))
        elif words.counts:
            event = replace(event, unread=(*event.unread, *unread_numbers(words.counts, (words.path,))))
    return event


def _filled(facts: Facts, others: Facts) -> Facts:
    """What is said of a response in two places: the first model and id, the tier that is a special one, the highest cost."""
    costs = [each.cost_usd for each in (facts, others) if each.cost_usd is not None]
    units = dict(others.units)
    return replace(
        facts,
        response_id=facts.response_id or others.response_id,
        model=facts.model or others.model,
        service_tier=others.service_tier or facts.service_tier if facts.service_tier in UNSURE_TIERS else facts.service_tier,
        speed=facts.speed or others.speed,
        region=facts.region or others.region,
        cost_usd=max(costs, default=None),
        units=tuple((units | {name: max(count, units.get(name, 0)) for name, count in facts.units}).items()),
    )


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
        service_tier=tier
        or ("batch" if is_batch else _word(document, _TIER) or tier_of_details(document))
        or around.service_tier,
        speed=_word(document, _SPEED) or around.speed,
        region=_word(document, _REGION) or around.region,
        cost_usd=around.cost_usd if cost is None else cost,
        has_output=around.has_output and not _is_embedding(document),
        is_image=around.is_image or _is_image(document),
        is_start=around.is_start or document.get("type") == "message_start",
        is_whole=around.is_whole or _is_whole(document),
        is_answer=around.is_answer or any(document.get(name) for name in _BODIES),
        units=tuple(tool_calls_in(document, model).items()) or around.units,
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
