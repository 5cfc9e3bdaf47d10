"""The events and responses in documents: where the usage of each stands, whose it is, and what else is said of the call.

Usage stands a few levels down in what providers, gateways and frameworks wrap it in. Responses are told apart by their ids.

Several usage objects of one response are all kept: each is read by its own words, and of each class the largest count stands.
They are of one response if they stand under different keys of one object, unless both are in responses with ids that differ.
What stands beside the usage (`beside`) says what served the call, what it cost and which tools were called.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from creditmeter.core.prices.reported.beside import SDK_SHAPES, objects_beside, tier_of_details, words_of_providers
from creditmeter.core.prices.reported.costs import cost_in
from creditmeter.core.prices.reported.counting import Raw, as_count
from creditmeter.core.prices.reported.events import Event, Facts, below, filled, joined, together, without_shared_cost
from creditmeter.core.prices.reported.marks import Mark, marks_of
from creditmeter.core.prices.reported.merging import merged
from creditmeter.core.prices.reported.recognising import (
    AROUND,
    BY_MODEL,
    MAX_DEPTH,
    by_model,
    embedded_tokens,
    in_camel_case,
    shape_of,
)
from creditmeter.core.prices.reported.sessions import TRANSCRIPT
from creditmeter.core.prices.reported.shapes import CAMEL, TOTAL_ONLY
from creditmeter.core.prices.reported.tools import NO_TOOLS, both, tool_calls_in
from creditmeter.core.prices.reported.unread import SPEED, TIER, has_counts, unread_around, unread_numbers

MAX_MODEL_NAME = 256
"""Most characters in a name: of a model, an id, a tier. A longer one is ignored."""

_PLACE_OF = {name: place for place, name in enumerate(AROUND)}

_READ_INSTEAD = {"tokens": frozenset({"billed_units", "billedUnits"})}
"""What is no usage to be billed where one of the keys beside it is: Cohere bills less than its models read."""

_NAMED_IN = ("message", "response", "result", "response_metadata", "modelInvocationInput", "modelInvocationOutput")
"""The keys under which an event has what names its model and id, if it does not do so itself."""

_MODEL = (
    "model",
    "modelVersion",
    "model_version",
    "modelId",
    "model_name",
    "gen_ai.response.model",
    "foundationModel",
    "llm.model_name",
)
_ID = (
    "id",
    "responseId",
    "response_id",
    "provider_response_id",
    "gen_ai.response.id",
    "custom_id",
    "recordId",
    "generation_id",
)
_REGION = ("inference_geo", "inferenceGeo")
_TIERS = {"on_demand": "standard", "on_demand_priority": "priority", "on_demand_flex": "flex"}
"""The tiers that Gemini names as types of traffic, as everybody else names them."""

_FOR_AN_HOUR = "ephemeral_1h_input_tokens"
_INLINED = ("inlinedResponses", "inlined_responses")
"""The keys under which a batch of Gemini has its responses, if they are not in a file."""

_SAYS_NOTHING = ("auto", "not_available", "unspecified", "traffic_type_unspecified")
_BETA = re.compile(r"\[[^\]]*\]$")
"""What Claude Code writes behind the name of a model: the length of its context."""

_USAGE = ("usage", "usageMetadata", "usage_metadata", "token_usage", "tokenUsage")
_BARE = frozenset((*_USAGE, *_MODEL, "provider", "provider_name"))
"""What stands beside usage that has nothing around it but names."""

SEARCH_CONTEXTS = ("low", "medium", "high")
"""How much of the web a model of Perplexity may search."""

_BODIES = ("choices", "content", "candidates", "output")
"""What only a response of a model has."""


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
        yield replace(first, unread=(*first.unread, *unread), is_bare=first.is_bare or document.keys() <= _BARE)
        yield from others


def _events_of(document: Raw, around: Facts, depth: int) -> list[Event]:
    """The object itself if it is usage, or else the usage that it has within; if it has none, what it says beside."""
    document = in_camel_case(document)
    facts = _facts(document, around)
    for each in objects_beside(document):
        facts = filled(facts, _facts(each, facts))
    shape = shape_of(document, has_output=facts.has_output)
    if shape is not None:
        return [replace(_with_words(Event(facts, shape, document), document), is_bare=around is _NOTHING)]
    if apart := _steps_of(document, facts, depth) or _of_models(document, facts, depth) or _of_predictions(document, facts):
        return apart
    found: list[list[Event]] = []
    of_trace: list[Event] = []
    for name in sorted(_PLACE_OF.keys() & document, key=_PLACE_OF.__getitem__) if depth < MAX_DEPTH else ():
        if not _READ_INSTEAD.get(name, _NO_NAMES).isdisjoint(document):
            continue
        within = [each for one in _objects(document.get(name)) for each in _events_of(one, facts, depth + 1)]
        with_usage = [below(name, each) for each in within if each.shape is not None]
        if name in BY_MODEL and any(has_counts(each.usage) for each in with_usage):
            return without_shared_cost(_with_longer_writes(with_usage, document), facts.cost_usd)
        found.append(with_usage)
        of_trace = of_trace or (within[:1] if name.lower().endswith("trace") else [])
    shared = _name((document,), _ID) or around.response_id
    events = without_shared_cost(together(found, shared), facts.cost_usd)
    if len(events) > 1:
        words = (Event(facts, each.shape, each.usage, is_again=True) for each in words_of_providers(document))
        return [*events, *(each for each in words if each.shape is not None)]
    return [_with_words(event, document) for event in events or of_trace[:1] or [Event(facts)]]


def _steps_of(document: Raw, facts: Facts, depth: int) -> list[Event]:
    """The steps of a call of the AI SDK, each a response, and the total that stands beside them; nothing if it has none."""
    listed = _objects(document.get("steps")) if depth < MAX_DEPTH else []
    of_step = replace(facts, response_id="", tools=NO_TOOLS, is_whole=True, marks=facts.marks | {Mark.STEP}, cost_usd=None)
    found = [each for one in listed for each in _events_of(one, of_step, depth + 1) if each.shape is not None]
    if not any(has_counts(each.usage) for each in found):
        return []
    of_total = replace(facts, marks=facts.marks | {Mark.TOTAL})
    rest = {name: value for name, value in document.items() if name != "steps"}
    totals = [each for each in _events_of(rest, of_total, depth) if each.shape is not None]
    return [*found, *totals]


def _of_models(document: Raw, facts: Facts, depth: int) -> list[Event]:
    """The usage of each model where it is listed by model; nothing if it is not."""
    if depth >= MAX_DEPTH or not by_model(document):
        return []
    ways = {name: replace(facts, model=_BETA.sub("", name) if is_name(name) else "", is_whole=True) for name in document}
    found = [each for name, usage in document.items() for each in _events_of(usage, ways[name], depth + 1)]
    return [each for each in found if has_counts(each.usage)] or found


def _with_longer_writes(events: list[Event], document: Raw) -> list[Event]:
    """The usage by model with what was kept in the cache for an hour, which only the sum beside it says."""
    usage = document.get("usage")
    written = usage.get("cache_creation") if isinstance(usage, dict) else None
    kept = as_count(written.get(_FOR_AN_HOUR), _FOR_AN_HOUR) if isinstance(written, dict) else 0
    for number, each in sorted(enumerate(events), key=lambda one: -_written(one[1])) if kept else ():
        part = min(kept or 0, _written(each))
        details = [{"ttl": "1h", "inputTokens": part}]
        events[number], kept = replace(each, usage={**each.usage, "cacheDetails": details}), (kept or 0) - part
    return events


def _written(event: Event) -> int:
    return as_count(event.usage.get("cacheCreationInputTokens"), "cacheCreationInputTokens") or 0


def _of_predictions(document: Raw, facts: Facts) -> list[Event]:
    """The tokens that Vertex AI embedded; nothing if it is no response of embeddings."""
    tokens = embedded_tokens(document)
    return [] if tokens is None else [Event(replace(facts, has_output=False, is_whole=True), TOTAL_ONLY, {"tokens": tokens})]


_NO_NAMES: frozenset[str] = frozenset()


def _with_words(event: Event, document: Raw) -> Event:
    """An event with what its provider says in its own words.

    Whole usage there is another usage object of the response. Single counts are laid beside those of the AI SDK's own.
    """
    for words in words_of_providers(document):
        event = replace(event, unread=(*event.unread, *words.unread))
        if words.shape is not None:
            own = Event(_facts(words.usage, event.facts), words.shape, words.usage, path=words.path)
            event = joined(event, own) if event.shape is not None else replace(own, unread=event.unread)
        if words.counts and event.shape in (None, *SDK_SHAPES):
            event = replace(event, shape=event.shape or CAMEL, usage=merged(words.counts, event.usage))
        elif words.counts:
            event = replace(event, unread=(*event.unread, *unread_numbers(words.counts, (words.path,))))
    return event


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
        response_id=_name(named, _ID)
        or _item_of(document)
        or _step_of_agent(named)
        or _moment_of(document)
        or around.response_id,
        model=model,
        service_tier=tier
        or ("batch" if is_batch else _word(document, TIER) or tier_of_details(document))
        or around.service_tier,
        speed=_word(document, SPEED) or _latency_of(document) or around.speed,
        region=_word(document, _REGION) or around.region,
        cost_usd=around.cost_usd if cost is None else cost,
        has_output=around.has_output and not _is_embedding(document),
        is_image=around.is_image or _is_image(document),
        is_start=around.is_start or document.get("type") == "message_start",
        is_whole=around.is_whole or _is_whole(document),
        marks=around.marks | marks_of(document),
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
    is_inline = not document.keys().isdisjoint(_INLINED)
    return is_line or is_inline or is_of_gemini or is_of_vertex or document.get("object") == "batch"


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


def _item_of(document: Raw) -> str:
    """What tells a transcript of realtime input from the responses beside it: another model made it, which counts by itself."""
    kind, item = document.get("type"), document.get("item_id")
    is_transcript = isinstance(kind, str) and kind.startswith(TRANSCRIPT)
    return item if is_transcript and isinstance(item, str) and is_name(item) else ""


def _step_of_agent(named: tuple[Raw, ...]) -> str:
    """What tells the model calls of a Bedrock agent apart: the input and the output of each are traced under one id."""
    return _name(named[1:], ("traceId",)) if "modelInvocationInput" in named[0] or "modelInvocationOutput" in named[0] else ""


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
    is_of_agent = isinstance(output, list) and isinstance(document.get("usage"), dict) and "type" not in document
    kind = document.get("type")
    is_of_framework = kind == "ai" or document.get("kind") == "response"  # LangChain, pydantic-ai
    is_message = is_of_framework or (kind == "message" and bool(document.get("stop_reason")))
    is_completion = document.get("object") == "chat.completion" or _has_message(document)
    is_inlined = not document.keys().isdisjoint(_INLINED)
    is_of_one = is_conversation or is_of_images or is_of_agent or is_message or is_completion
    return is_of_one or is_inlined or _is_list(document)


def _has_message(document: Raw) -> bool:
    """Whether an object is a completion with whole messages, and no piece of a stream."""
    choices = _objects(document.get("choices"))
    return any("message" in each for each in choices) and not any("delta" in each for each in choices)


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
