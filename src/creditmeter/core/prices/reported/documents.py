"""The documents in a text: JSON, JSON lines, the raw events of a stream, and lists of any of these.

Raw events are those of https://html.spec.whatwg.org/multipage/server-sent-events.html: lines with a field name, of which `data`
has the JSON; an empty line ends an event. Data that is no JSON object (`[DONE]`, a sign of life) says nothing of usage.

A name may come twice in an object: neither value is lost (`_object`).

A text may be cut off where its stream broke: its last line, or its last event, may end before it is complete. What came before
counts, and the text is known to be cut off.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from creditmeter.core.prices.reported.merging import merged
from creditmeter.core.prices.reported.values import UnknownUsageError

WHAT_TO_SEND = "give the provider's usage object or response as it came, as JSON, JSON lines or server-sent events"

_FIELDS = ("data:", "event:", "id:", "retry:", ":")
_DOCUMENT_STARTS = ("{", "[", *_FIELDS)


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents in the order in which they came, and whether the text broke off within the last one."""

    found: tuple[Any, ...]
    is_cut: bool = False


class _CutOffError(Exception):
    """The text ends within its last document; `found` came before."""

    def __init__(self, found: list[Any]) -> None:
        super().__init__()
        self.found = found


def documents_in(text: str) -> Documents:
    """The documents in a text.

    Raises:
        UnknownUsageError: the text is no document.
    """
    stripped = text.strip().removeprefix("\ufeff").strip()
    try:
        found = _events(stripped) if stripped.startswith(_FIELDS) else _values(stripped)
    except _CutOffError as cut:
        return Documents(tuple(cut.found), is_cut=True)
    if any(isinstance(each, bool | int | float | Decimal) for each in found):
        raise UnknownUsageError(f"is no usage object, response or list of them: {WHAT_TO_SEND}")
    texts = [each for each in found if isinstance(each, str)]
    if not texts:
        return Documents(tuple(_unwrapped(each) for each in found))
    if len(found) > 1 or not texts[0].lstrip().startswith(_DOCUMENT_STARTS):
        raise UnknownUsageError(f"is a text and no document: {WHAT_TO_SEND}")
    return _parsed_text(texts[0])


def _parsed_text(text: str) -> Documents:
    """The documents in a text that was itself written as JSON. It is unwrapped once only."""
    stripped = text.strip()
    try:
        found = _events(stripped) if stripped.startswith(_FIELDS) else _values(stripped)
    except _CutOffError as cut:
        return Documents(tuple(cut.found), is_cut=True)
    return Documents(tuple(found))


def _unwrapped(document: Any) -> Any:
    """A list with its texts read as the documents that they are: lines of a file, events of a stream."""
    if not isinstance(document, list):
        return document
    return [list(_parsed_text(each).found) if _is_document(each) else each for each in document]


def _is_document(found: Any) -> bool:
    return isinstance(found, str) and found.lstrip().startswith(_DOCUMENT_STARTS)


def _values(text: str) -> list[Any]:
    """The JSON values in a text, one behind the other."""
    found: list[Any] = []
    at = 0
    while at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if found and text[at] in "{[" and "\n" not in text[at:]:
                raise _CutOffError(found) from None
            raise UnknownUsageError(f"is not JSON: {error}; {WHAT_TO_SEND}") from None
        found.append(value)
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
    if not found:
        raise UnknownUsageError(f"is not JSON: it is empty; {WHAT_TO_SEND}")
    return found


def _events(text: str) -> list[Any]:
    """The JSON in the data of the events of a stream."""
    found: list[Any] = []
    data = list(_data(text))
    for number, each in enumerate(data, 1):
        if not each.startswith(("{", "[")) or each.startswith("[DONE"):
            continue
        try:
            found.append(_DECODER.decode(each))
        except (ValueError, RecursionError) as error:
            if number == len(data):
                raise _CutOffError(found) from None
            raise UnknownUsageError(f"has an event, number {number}, whose data is not JSON: {error}") from None
    return found


def _data(text: str) -> Iterator[str]:
    """The data of each event. Lines of one event that are complete documents by themselves are events of their own."""
    lines: list[str] = []
    for line in (*text.splitlines(), ""):
        name, _, value = line.partition(":")
        if name == "data":
            lines.append(value.strip())
        elif not line.strip() and lines:
            whole = "\n".join(lines)
            yield from [whole] if len(lines) == 1 or not all(map(_is_json, lines)) else lines
            lines = []


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return text.startswith("[DONE")
    return True


def _number(text: str) -> Decimal | float:
    """A number with a point or an exponent, exactly; not a number if it is beyond all that a Decimal can be."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return float("nan")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. A name that comes twice says what both of its values say: of counts the larger one."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    said: dict[str, Any] = {}
    for name, value in pairs:
        said[name] = merged(said.get(name), value)
    return said


_DECODER = json.JSONDecoder(parse_float=_number, object_pairs_hook=_object)
