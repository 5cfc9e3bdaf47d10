"""Values of the client as messages of the contract, and the other way round.

A value has the names of its message, so both ways go field by field. How a field is read follows from its type in the value.
"""

import dataclasses
import types
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.client.values import FrozenDict, Usage, Work
from creditmeter.client.words import UsageSource, Word
from creditmeter.v1 import work_pb2

_Value = TypeVar("_Value")
_Reader = Callable[[Any], Any]


def decoded(value: type[_Value], message: Message) -> _Value:
    """A message as a value of this class, which has its fields."""
    return value(*(read(message) for read in _fields(value)))  # type: ignore[arg-type]  # a class is hashable


def encoded_work(work: Work) -> work_pb2.Work:
    """Work as a message. What is None is not set."""
    return _encoded(work_pb2.Work(), work)


def encoded_usage(usage: Usage) -> work_pb2.Usage:
    """Usage as a message. What is None is not set."""
    return _encoded(work_pb2.Usage(), usage)


def duration(span: timedelta | float | None) -> Duration | None:
    """A span of time, in seconds where it is a number, as a message."""
    if span is None:
        return None
    made = Duration()
    made.FromTimedelta(span if isinstance(span, timedelta) else timedelta(seconds=span))
    return made


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as a message.

    Raises:
        ValueError: it has no time zone, so it names no moment.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: give it one, such as datetime.timezone.utc")
    made = Timestamp()
    made.FromDatetime(moment)
    return made


_Encoded = TypeVar("_Encoded", work_pb2.Work, work_pb2.Usage)


def _encoded(message: _Encoded, value: Work | Usage) -> _Encoded:
    for name in _names(type(value)):  # type: ignore[arg-type]  # a class is hashable
        given = getattr(value, name)
        if not given and given != 0:  # most fields are not said
            continue
        if isinstance(given, Word):
            setattr(message, name, 0 if given is UsageSource.PROVIDER else given.number)
        elif isinstance(given, Mapping):
            getattr(message, name).update(given)
        else:
            setattr(message, name, given)
    return message


@cache
def _names(kind: type[Work | Usage]) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind))


@cache
def _fields(value: Hashable) -> list[_Reader]:
    """What reads each field of a value from its message, in their order."""
    return [_field(name, hint) for name, hint in get_type_hints(value).items() if not name.startswith("_")]


def _field(name: str, hint: Any) -> _Reader:
    if get_origin(hint) in {Union, types.UnionType}:  # X | None: None while it is not set
        present, read = get_args(hint)[0], _reader(get_args(hint)[0])
        if present is Decimal:
            return lambda message: read(getattr(message, name)) if getattr(message, name) else None
        return lambda message: read(getattr(message, name)) if message.HasField(name) else None
    read = _reader(hint)
    return lambda message: read(getattr(message, name))


def _reader(hint: Any) -> _Reader:
    """What makes a value of this type from what stands in a message."""
    if get_origin(hint) is tuple:
        item = _reader(get_args(hint)[0])
        return lambda items: tuple(map(item, items))
    if get_origin(hint) is not None:
        return FrozenDict
    if hint is datetime:
        return lambda moment: moment.ToDatetime(timezone.utc)
    if hint is Decimal:
        return lambda text: Decimal(text or 0)
    if issubclass(hint, Word):
        return cache(hint.of)
    kind: Any = hint
    return (lambda message: decoded(kind, message)) if dataclasses.is_dataclass(hint) else kind
