"""The rules of google.protobuf for its own types, checked on a whole request before any field is read.

Protobuf decodes a Duration or Timestamp even if its numbers are out of range
(https://protobuf.dev/reference/protobuf/google.protobuf/#duration and #timestamp).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_MOST_SECONDS = 315_576_000_000
"""Most seconds of a Duration, positive or negative: 10,000 years."""

_FIRST_SECOND = -62_135_596_800
"""First second of a Timestamp: 0001-01-01T00:00:00Z."""

_LAST_SECOND = 253_402_300_799
"""Last second of a Timestamp: 9999-12-31T23:59:59Z."""

_MOST_NANOS = 999_999_999


def malformed(message: Message) -> Iterator[tuple[str, str]]:
    """The path of each malformed Duration and Timestamp in a message, at any depth, and what is wrong with it."""
    for field in _fields_to_check(message.DESCRIPTOR):
        for path, value in _values(message, field):
            rule = _RULES.get(value.DESCRIPTOR.full_name)
            if rule is None:
                yield from ((f"{path}.{inner}", why) for inner, why in malformed(value))
            elif why := rule(value):
                yield path, why


def _values(message: Message, field: FieldDescriptor) -> Iterator[tuple[str, Any]]:
    """The messages in a field, each with its path."""
    found = getattr(message, field.name)
    if _is_map(field):
        yield from ((f"{field.name}[{key!r}]", value) for key, value in found.items())
    elif field.is_repeated:
        yield from ((f"{field.name}[{number}]", value) for number, value in enumerate(found))
    elif message.HasField(field.name):
        yield field.name, found


@cache
def _fields_to_check(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message type that are, or contain, a type with rules. Most requests have none, so the check is cheap."""
    return tuple(each for each in kind.fields if _reaches_rules(each, ()))


def _reaches_rules(field: FieldDescriptor, seen: tuple[str, ...]) -> bool:
    kind = _message_of(field)
    if kind is None or kind.full_name in seen:
        return False
    return kind.full_name in _RULES or any(_reaches_rules(each, (*seen, kind.full_name)) for each in kind.fields)


def _message_of(field: FieldDescriptor) -> Descriptor | None:
    """The type of the messages in a field; of a map, that of its values."""
    kind = field.message_type
    return kind.fields_by_name["value"].message_type if kind is not None and _is_map(field) else kind


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _wrong_duration(value: Any) -> str:
    if abs(value.seconds) > _MOST_SECONDS:
        return f"must have seconds of -{_MOST_SECONDS:,} to {_MOST_SECONDS:,}"
    if abs(value.nanos) > _MOST_NANOS:
        return f"must have nanos of -{_MOST_NANOS:,} to {_MOST_NANOS:,}"
    return "must have seconds and nanos of one sign" if value.seconds * value.nanos < 0 else ""


def _wrong_timestamp(value: Any) -> str:
    if not _FIRST_SECOND <= value.seconds <= _LAST_SECOND:
        return "must be a time between the years 1 and 9999"
    return "" if 0 <= value.nanos <= _MOST_NANOS else f"must have nanos of 0 to {_MOST_NANOS:,}"


_RULES: Mapping[str, Callable[[Any], str]] = {
    "google.protobuf.Duration": _wrong_duration,
    "google.protobuf.Timestamp": _wrong_timestamp,
}
"""For each type with rules, a function that says what is wrong with a value; empty if nothing is."""
