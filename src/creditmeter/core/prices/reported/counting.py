"""One count in a report: where it stands, and what is a count at all."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from creditmeter.core.prices.rate_card import MAX_TOKENS
from creditmeter.core.prices.reported.values import UnknownUsageError

Raw = Mapping[str, Any]
"""An object of a report, as it came."""

BESIDE, BESIDE_AT_SOME = "+", "~"
"""Written before a place: what is counted there is no part of the total of its side; at some providers only."""

_WRITTEN = re.compile(r"\d{1,20}(?:\.0*)?", re.ASCII)
_STEP = re.compile(r"([^\[]+)(\[(?:(\w+)=(\w+))?\])?")


@dataclass(frozen=True, slots=True)
class Step:
    """A name to follow; of a list all items, or only those of which the field `key` has this value."""

    name: str
    is_list: bool = False
    key: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a count stands in a usage object, written as `prompt_tokens_details/cached_tokens`, and within a list as
    `results[]/tokenCount` or `cacheDetails[ttl=1h]/inputTokens`. `mark` says whether it is beside the total of its side.
    """

    steps: tuple[Step, ...]
    mark: str
    names: tuple[str, ...]
    """The names on the way, without the choice of items."""


@cache
def place(text: str) -> Place:
    """A place as it is written in the table of shapes."""
    plain = text.lstrip(BESIDE + BESIDE_AT_SOME)
    matches = [_STEP.fullmatch(each) for each in plain.split("/")]
    found = [each.groups("") for each in matches if each is not None]
    steps = tuple(Step(name, bool(items), key, value) for name, items, key, value in found)
    return Place(steps, text[: len(text) - len(plain)], tuple(each.name for each in steps))


def count_at(raw: Raw, where: Place) -> int | None:
    """The count at a place; None if there is nothing. Items of a list are added up, and what one leaves out is 0. Where an
    object should be, it may be in a list: the Agents SDK writes details so.

    Raises:
        UnknownUsageError: what stands there is no count.
    """
    found: Any = raw
    for position, step in enumerate(where.steps):
        if isinstance(found, list) and len(where.steps) == position + 1:
            return _of_items(found, Step(step.name), where.names[position:], ".".join(where.names))
        found = found.get(step.name) if isinstance(found, dict) else None
        if found is None:
            return None
        if step.is_list:
            return _of_items(found, step, where.names[position + 1 :], ".".join(where.names))
    return as_count(found, ".".join(where.names))


def sum_at(raw: Raw, places: Iterable[Place]) -> int | None:
    """The sum of the counts at several places; None if there is none at any."""
    counts = [count for each in places if each.names[0] in raw and (count := count_at(raw, each)) is not None]
    return sum(counts) if counts else None


def _of_items(found: Any, step: Step, names: tuple[str, ...], path: str) -> int | None:
    items = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    chosen = [each for each in items if not step.key or str(each.get(step.key)).lower() == step.value.lower()]
    if not chosen:
        return None
    return sum(as_count(each.get(names[0]), path) or 0 for each in chosen)


def as_count(found: Any, name: str) -> int | None:
    """A value as a count; None if there is none. A whole number may be written with a point, or as a text of digits.

    Raises:
        UnknownUsageError: the value is no whole number in range.
    """
    if found is None or (type(found) is int and 0 <= found <= MAX_TOKENS):
        return found
    number = number_of(found)
    is_whole = number is not None and number.is_finite() and number == number.to_integral_value()
    if number is None or not is_whole or not 0 <= number <= MAX_TOKENS:
        raise UnknownUsageError(f"{name} must be a whole number from 0 to {MAX_TOKENS:,}, and is {shown(found)}")
    return int(number)


def number_of(found: Any) -> Decimal | None:
    """A value as a number, if it is one or is written like a count."""
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
        return Decimal(found)
    return Decimal(found) if isinstance(found, str) and _WRITTEN.fullmatch(found) else None


def shown(found: Any) -> str:
    """A value for a message. An object or a list is only named, because its parts may be too deep to write."""
    if isinstance(found, dict | list):
        return "an object" if isinstance(found, dict) else "a list"
    return (str(found) if isinstance(found, Decimal) else json.dumps(found))[:40]


def total_of(*counts: int | None) -> int:
    """The sum of the counts that are known."""
    return sum(each or 0 for each in counts)
