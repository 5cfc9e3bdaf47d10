"""What a provider reported, whatever it came as, as a `Usage`.

A worker hands over what it has: a value of its own, a dict, JSON, or an object of the provider's SDK. The sidecar maps the
names, so this only makes JSON of it. A field that is None is left out.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from creditmeter.client.values import Usage

MAX_REPORT_BYTES = 65_536
"""The largest report that a sidecar takes."""

USAGE_KEYS = ("usage", "usage_metadata", "usageMetadata", "usageInfo", "billed_units", "tokens")
"""The keys under which responses and events have their usage."""

AROUND_KEYS = ("message", "response", "metadata", "meta", "data", "delta", "chunk")
"""The keys of what has the usage in it, and what was generated beside it."""

_COUNT_KEYS = ("prompt_eval_count", "eval_count")
"""The counts that Ollama has beside what it generated."""

_NAMING_KEYS = ("id", "responseId", "response_id", "model", "modelVersion", "model_version", "service_tier", "type", "object")
"""What stays of a response that is too large: its usage, and what names it and its model."""

_LONGEST_TEXT = 256
"""What is longer, in characters, names nothing: it was generated."""

_MOST_LEVELS = 32


def usage_of(reported: object) -> Usage:
    """What was reported as a `Usage`: itself, or its JSON in `provider_usage_json`.

    Raises:
        TypeError: it is nothing that could be a report, such as a number.
        ValueError: it is larger than 64 KiB, also without what was generated.
    """
    if isinstance(reported, Usage):
        return reported
    if isinstance(reported, (bytes, bytearray)):
        reported = bytes(reported).decode()
    text = reported if isinstance(reported, str) else dumped(document_of(reported))
    return Usage(provider_usage_json=text if _fits(text) else _usage_part(text))


def document_of(reported: object) -> Any:
    """An object of an SDK, or a dict, as what JSON is made of.

    Raises:
        TypeError: it is nothing that could be a report.
    """
    document = _plain(reported, 0)
    if not isinstance(document, (dict, list)):
        raise TypeError(f"{type(reported).__name__} is no usage: hand over a Usage, a dict, JSON, or the provider's object")
    return document


def sent_events(text: str) -> Iterator[Any]:
    """The documents in the lines of server-sent events. None, if it has no such lines."""
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                yield json.loads(line[5:])
            except ValueError:  # such as [DONE]
                continue


def merged(known: Any, later: Any) -> Any:
    """What two reports of one call say together: the later one, and what only the earlier one had."""
    if not isinstance(known, dict) or not isinstance(later, dict):
        return later
    return {**known, **{key: merged(known.get(key), value) for key, value in later.items()}}


def grown(known: Any, later: Any) -> Any:
    """The same of two reports of one stream. Counts only grow: of one that falls the larger stays."""
    if isinstance(known, dict) and isinstance(later, dict):
        return {**known, **{key: grown(known.get(key), value) for key, value in later.items()}}
    if isinstance(known, int) and isinstance(later, int):
        return max(known, later)
    return known if later is None else later


def added(known: Any, later: Any) -> Any:
    """The same of two reports that each say what is new: the sum of the counts."""
    if isinstance(known, dict) and isinstance(later, dict):
        return {**known, **{key: added(known.get(key), value) for key, value in later.items()}}
    if isinstance(known, int) and isinstance(later, int):
        return known + later
    return known if later is None else later


def merged_usage(known: Usage, later: Usage) -> Usage:
    """The same of counts: what the later one does not say stays."""
    said = {each.name: getattr(later, each.name) for each in dataclasses.fields(later)}
    return dataclasses.replace(known, **{name: value for name, value in said.items() if value not in (None, "", {})})


def _fits(text: str) -> bool:
    return len(text) <= MAX_REPORT_BYTES and len(text.encode()) <= MAX_REPORT_BYTES


def _usage_part(text: str) -> str:
    """The usage of a response, and its model, without what it generated. Where none has a known name, all but long texts."""
    try:
        document = json.loads(text)
    except ValueError:
        document = list(sent_events(text))
    kept = usage_part(document) or _without_texts(document)
    part = dumped(kept) if kept else ""
    if not part or not _fits(part):
        raise ValueError(f"the usage is larger than {MAX_REPORT_BYTES} bytes: hand over its usage alone, such as reply.usage")
    return part


def usage_part(document: Any, level: int = 0) -> Any:
    """The usage in a response or an event, with the names of its model and of itself, without what it generated. None if it has
    no usage.
    """
    if isinstance(document, list) and level == 0:
        parts = [part for each in document if (part := usage_part(each, level + 1))]
        return parts or None
    if not isinstance(document, dict) or level > _MOST_LEVELS:
        return None
    usage = {key: document[key] for key in USAGE_KEYS if isinstance(document.get(key), dict)}
    usage |= {key: document[key] for key in _COUNT_KEYS if isinstance(document.get(key), int)}
    usage |= {key: part for key in AROUND_KEYS if (part := usage_part(document.get(key), level + 1))}
    naming = {key: document[key] for key in _NAMING_KEYS if isinstance(document.get(key), str)}
    return {**naming, **usage, **_tools_called(document)} if usage else None


def _tools_called(document: dict[str, Any]) -> dict[str, Any]:
    """Which of the provider's own tools a response says that it called: each may have a fee."""
    items = [
        each for each in document.get("output") or () if isinstance(each, dict) and str(each.get("type")).endswith("_call")
    ]
    calls = [{key: each[key] for key in ("type", "id", "status") if isinstance(each.get(key), str)} for each in items]
    searches = [
        {"groundingMetadata": {"webSearchQueries": found.get("webSearchQueries")}}
        for each in document.get("candidates") or ()
        if isinstance(each, dict) and isinstance(found := each.get("groundingMetadata"), dict)
    ]
    return {**({"output": calls} if calls else {}), **({"candidates": searches} if searches else {})}


def _without_texts(document: Any) -> Any:
    """A document without long texts, and lists of anything but objects, such as the numbers of an embedding."""
    if isinstance(document, list):
        return [part for each in document if isinstance(each, (dict, list)) and (part := _without_texts(each))]
    if isinstance(document, dict):
        parts = {key: _without_texts(each) for key, each in document.items()}
        return {key: part for key, part in parts.items() if part not in (None, {}, [])}
    return None if isinstance(document, str) and len(document) > _LONGEST_TEXT else document


def dumped(document: Any) -> str:
    """A document as JSON, without spaces."""
    return json.dumps(document, separators=(",", ":"))


def _plain(value: Any, level: int) -> Any:
    """What JSON can be made of; None for what it cannot, such as a stream or a function."""
    if level > _MOST_LEVELS:
        return None
    if isinstance(value, Enum):
        return _plain(value.value, level + 1)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    for kinds, made in _CONVERSIONS:
        if isinstance(value, kinds) and not hasattr(value, "_asdict"):
            return made(value, level + 1)
    fields = _fields_of(value)
    return None if fields is None else _plain(fields, level + 1)


def _plain_mapping(value: Mapping[Any, Any], level: int) -> dict[str, Any]:
    return {str(key): plain for key, each in value.items() if (plain := _plain(each, level)) is not None}


def _plain_items(value: Iterable[Any], level: int) -> list[Any]:
    return [_plain(each, level) for each in value]


_CONVERSIONS: tuple[tuple[Any, Callable[[Any, int], Any]], ...] = (
    (Mapping, _plain_mapping),
    ((list, tuple, set, frozenset), _plain_items),
    (Decimal, lambda value, _: str(value)),
    (date, lambda value, _: value.isoformat()),
    ((bytes, bytearray, memoryview, type), lambda *_: None),
)


def _fields_of(value: Any) -> Any:
    """The fields of an object: as pydantic, protobuf, proto-plus, a named tuple or a dataclass has them, or simply its own."""
    if isinstance(value, Message):
        return MessageToDict(value)
    for name in ("model_dump", "_asdict", "to_dict", "dict"):
        if callable(method := getattr(value, name, None)):
            return method()
    if callable(of_class := getattr(type(value), "to_dict", None)):  # proto-plus has it on the class of the class
        return of_class(value)
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    own = getattr(value, "__dict__", None)
    return None if own is None or callable(value) else {key: each for key, each in own.items() if key[:1] != "_"}
