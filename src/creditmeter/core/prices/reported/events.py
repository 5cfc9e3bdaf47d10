"""Events and responses of a report as values, and how usage in several places of one document goes together."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from creditmeter.core.prices.reported.beside import UNSURE_TIERS
from creditmeter.core.prices.reported.counting import Raw
from creditmeter.core.prices.reported.marks import NO_MARKS, Marks
from creditmeter.core.prices.reported.recognising import USAGE_KEYS
from creditmeter.core.prices.reported.shapes import Shape
from creditmeter.core.prices.reported.tools import NO_TOOLS, ToolCalls, both
from creditmeter.core.prices.reported.unread import has_counts, largest_count, unread_numbers

_OF_CALLERS = "metadata"
"""The key under which responses give back what a caller sent with them. It counts only where there is no other usage."""


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
    marks: Marks = NO_MARKS


@dataclass(frozen=True, slots=True)
class Event:
    """One event or response: its facts, its usage if it has one, and the paths of what is read nowhere in it.

    `path` is where its usage stands. `others` are further usage objects of the same response, each with its path. It is bare if
    there is nothing around its usage but names. `is_again` is what the same response reports once more, in other words.
    """

    facts: Facts
    shape: Shape | None = None
    usage: Raw = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    path: str = ""
    others: tuple[tuple[str, Shape, Raw], ...] = ()
    is_bare: bool = False
    is_again: bool = False


def together(found: list[list[Event]], shared_id: str) -> list[Event]:
    """The usage under several keys of one object: all of one response, or of several where their own ids say so.

    `shared_id` is the id of the object, which is that of all that has none of its own.
    Where one key has several responses and another says more than all of them, what it says is named as unread.
    """
    with_counts = [events for events in found if any(has_counts(each.usage) for each in events)]
    kept, *others = with_counts or [events for events in found if events][:1] or [[]]
    for events in others:
        own_ids = [*{each.facts.response_id for each in (*kept, *events)} - {"", shared_id}]
        are_single = len(kept) == len(events) == 1 and not events[0].path.startswith(_OF_CALLERS)
        if are_single:
            are_two = bool(own_ids[1:]) and kept[0].path not in USAGE_KEYS
            kept = [*kept, *events] if are_two else [joined(kept[0], events[0])]
        elif _size(events) > _size(kept):
            kept = [replace(kept[0], unread=(*kept[0].unread, *_paths(events))), *kept[1:]]
    return kept


def _size(events: list[Event]) -> int:
    return sum(int(largest_count(each.usage)) for each in events)


def _paths(events: list[Event]) -> Iterator[str]:
    """The paths of the counts of events that are not read."""
    for each in events:
        yield from unread_numbers(each.usage, (each.path,))


def below(name: str, event: Event) -> Event:
    """An event that was found under a key."""
    return replace(event, path=f"{name}.{event.path}".rstrip("."))


def joined(event: Event, other: Event) -> Event:
    """One response whose usage stands in two places."""
    others = [(f"{other.path}.{path}", shape, usage) for path, shape, usage in other.others]
    if other.shape is not None:
        others.insert(0, (other.path, other.shape, other.usage))
    return replace(
        event,
        facts=filled(event.facts, other.facts),
        unread=(*event.unread, *other.unread),
        others=(*event.others, *others),
    )


def filled(facts: Facts, others: Facts) -> Facts:
    """What is said of a response in two places: the first model and id, the tier that is a special one, the highest cost."""
    costs = [each.cost_usd for each in (facts, others) if each.cost_usd is not None]
    return replace(
        facts,
        response_id=facts.response_id or others.response_id,
        model=facts.model or others.model,
        service_tier=others.service_tier or facts.service_tier if facts.service_tier in UNSURE_TIERS else facts.service_tier,
        speed=facts.speed or others.speed,
        region=facts.region or others.region,
        cost_usd=max(costs, default=None),
        tools=both(facts.tools, others.tools),
        search_context=facts.search_context or others.search_context,
    )


def without_shared_cost(events: list[Event], around: Decimal | None) -> list[Event]:
    """The events without what is reported around several responses: it is of them together, and of none of them."""
    is_one = len(events) == 1 or (len({each.facts.response_id for each in events}) == 1 and not events[0].facts.is_whole)
    if around is None or is_one:
        return events
    return [
        replace(each, facts=replace(each.facts, cost_usd=None)) if each.facts.cost_usd is around else each for each in events
    ]
