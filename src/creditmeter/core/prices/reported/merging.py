"""The events of one response as one object: of each count the largest that was reported.

Counts of a stream are cumulative, so tokens that were once reported are not taken back by a later zero, null or absence.
Items of lists are the same item where their modality, ttl or type is the same, and otherwise where they stand at the same
position.
"""

from decimal import Decimal
from typing import Any

from creditmeter.core.prices.rate_card import MAX_TOKENS
from creditmeter.core.prices.reported.counting import number_of

_MAX_DEPTH = 32
_KEYS = ("modality", "ttl", "type")


def with_added_output(old: Any, new: Any) -> Any:
    """What two chunks of one response say, of which each has only the output that it adds. Their prompt is one."""
    found = merged(old, new)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return found
    return {**found, **{name: _sum(old.get(name), new.get(name)) for name in found if name.startswith("output_token")}}


def _sum(old: Any, new: Any) -> Any:
    """The sum of two counts, or of those of each name in two objects; of anything else what `merged` says."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _added(old.get(name), value) for name, value in new.items()}}
    return _added(old, new)


def _added(old: Any, new: Any) -> Any:
    before, after = number_of(old), number_of(new)
    if before is None or after is None or not (_is_count(before) and _is_count(after)):
        return merged(old, new)
    return before + after


def _is_count(number: Decimal) -> bool:
    return number.is_finite() and 0 <= number <= MAX_TOKENS


def merged(old: Any, new: Any, depth: int = 0) -> Any:
    """What two events say of one thing. A text is what the later one says, and so is what is too deep to be a count."""
    if old is None or new is None or depth > _MAX_DEPTH:
        return old if new is None else new
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: merged(old.get(name), value, depth + 1) for name, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return _merged_lists(old, new, depth + 1)
    before, after = number_of(old), number_of(new)
    if before is not None and after is not None:
        return old if before.is_nan() or (not after.is_nan() and before >= after) else new
    return old if before is None and isinstance(old, bool | float) else new


def _merged_lists(old: list[Any], new: list[Any], depth: int) -> list[Any]:
    items = dict(_with_keys(old))
    for key, value in _with_keys(new):
        items[key] = merged(items.get(key), value, depth)
    return list(items.values())


def _with_keys(items: list[Any]) -> list[tuple[Any, Any]]:
    """Each item with what tells it from the others."""
    seen: dict[Any, int] = {}
    keyed = []
    for each in items:
        named = next((str(each[name]) for name in _KEYS if each.get(name) is not None), "") if isinstance(each, dict) else ""
        seen[named] = seen.get(named, 0) + 1
        keyed.append(((named, seen[named]), each))
    return keyed
