"""The events of a report, gathered into responses, and each response read into counts.

Events of one id belong to one response; what has no id belongs to the response before it, and what comes before the first id to
that one. A whole response without an id (of images, embeddings, Bedrock Converse) is one of its own, and so is usage that names
another model than the response before it. The fields of all events of a response are
merged before they are read. Usage objects that stand in several places of one event are read each by itself: of each class the
largest count stands, so what one of them says more is never lost, and what two of them say is not added up.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from creditmeter.core.prices.reported.classes import COUNTS, UNITS, classes_in
from creditmeter.core.prices.reported.counting import Raw, sum_at
from creditmeter.core.prices.reported.envelopes import Event, Facts
from creditmeter.core.prices.reported.merging import merged
from creditmeter.core.prices.reported.shapes import MESSAGES, Shape
from creditmeter.core.prices.reported.unread import MAX_UNREAD, unread_in_usage
from creditmeter.core.prices.reported.values import ReportedResponse

_IMAGE_MODEL = re.compile(r"\bgpt-image|\bgemini-[^/]*-image\b")
_EMBEDDING_MODEL = re.compile(r"embed|rerank|\bvoyage-")
_ANTHROPIC_MODEL = re.compile(r"\bclaude")


@dataclass(slots=True)
class Gathered:
    """What the events of one response say together."""

    facts: Facts = field(default_factory=Facts)
    usage: dict[tuple[str, str], tuple[Shape, Any]] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    has_start: bool = False
    has_end: bool = False

    def add(self, event: Event) -> None:
        """Take in one more event."""
        if event.facts != self.facts:
            self.facts = _joined(self.facts, event.facts)
        self.unread.update(dict.fromkeys(event.unread))
        if event.shape is None:
            return
        for path, shape, usage in (("", event.shape, event.usage), *event.others):
            _, before = self.usage.get((path, shape.name), (shape, None))
            self.usage[path, shape.name] = shape, merged(before, usage)
        if event.facts.is_start:
            self.has_start = True
        elif any(sum_at(event.usage, each) is not None for each in event.shape.classes.get("output_tokens", ())):
            self.has_end = True


def gathered(events: Iterable[Event]) -> list[Gathered]:
    """The responses to which the events belong, in the order in which they began."""
    responses: dict[str, Gathered] = {}
    running = ""
    for event in events:
        own, is_another = event.facts.response_id, _is_of_another_model(event, responses.get(running))
        if not own and (event.facts.is_whole or is_another):
            own = f"\0{len(responses)}"
        if own and not running and not is_another and "" in responses:
            responses[own] = responses.pop("")
        running = own or running
        responses.setdefault(running, Gathered()).add(event)
    found = list(responses.values())
    return [each for each in found if each.usage or each.unread or each.facts.is_answer] or [
        each for each in found if each.facts.model
    ]


def _is_of_another_model(event: Event, running: Gathered | None) -> bool:
    """Whether usage without an id is of another response than the running one."""
    facts = event.facts
    if running is None or event.shape is None or facts.response_id or not facts.model:
        return False
    return running.facts.model not in ("", facts.model)


def read_responses(gathered: Gathered, provider: str, model: str) -> Iterator[ReportedResponse]:
    """A response as it was reported, and those that other models gave for it, which its usage lists.

    `model` is the one that was asked for, where the response names none.

    Raises:
        UnknownUsageError: something that should be a count is none.
    """
    facts = gathered.facts
    name = (facts.model or model).lower()
    rules_of = "anthropic" if _ANTHROPIC_MODEL.search(name) else provider
    found: dict[str, dict[str, int]] = {"": {}}
    for shape, usage in gathered.usage.values():
        for each, counts in _of_models(shape, usage, rules_of, facts.model):
            found[each] = _larger(found.get(each, {}), counts)
    own = found.pop("")
    if gathered.has_start and not gathered.has_end:
        own.pop("output_tokens", None)
    own = _larger(_with_model_rules(own, facts, name), dict(facts.units))
    unread = [path for shape, usage in gathered.usage.values() for path in unread_in_usage(shape, usage)]
    yield _response(facts, own, tuple(dict.fromkeys((*gathered.unread, *unread)))[:MAX_UNREAD])
    for each, counts in found.items():
        yield _response(replace(facts, model=each, cost_usd=None), counts, ())


def _of_models(shape: Shape, usage: Raw, provider: str, model: str) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The counts of a usage object by model; an empty name is the response's own.

    Anthropic lists the steps of one response as `iterations`; what compaction and other models used is in none of the totals
    (https://platform.claude.com/docs/en/build-with-claude/compaction): the sum of all steps is what is billed.
    """
    steps = usage.get("iterations") if shape is MESSAGES else None
    sums: dict[str, dict[str, int]] = {}
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict):
            named = step.get("model")
            own = named if isinstance(named, str) and model and named != model else ""
            total = sums.setdefault(own, {})
            for name, count in classes_in(shape, step, provider).items():
                total[name] = total.get(name, 0) + count
    yield "", _larger(classes_in(shape, usage, provider), sums.pop("", {}))
    yield from sums.items()


def _with_model_rules(found: Mapping[str, int], facts: Facts, model: str) -> dict[str, int]:
    """The counts with what a model of this kind leaves unsaid: embeddings have no output, and that of images is images."""
    counts = dict(found)
    searches_only = "rerank_searches" in counts and "input_tokens" not in counts
    if searches_only or (counts and (not facts.has_output or _EMBEDDING_MODEL.search(model))):
        counts.setdefault("output_tokens", 0)
    if searches_only:
        counts["input_tokens"] = 0
    output = counts.get("output_tokens")
    if output and "image_output_tokens" not in counts and (facts.is_image or _IMAGE_MODEL.search(model)):
        rest = output - counts.get("reasoning_output_tokens", 0) - counts.get("text_output_tokens", 0)
        counts["image_output_tokens"] = max(0, rest)
    return counts


def _response(facts: Facts, found: Mapping[str, int], unread: tuple[str, ...]) -> ReportedResponse:
    return ReportedResponse(
        response_id=facts.response_id,
        model=facts.model,
        counts={name: found[name] for name in COUNTS if name in found},
        units={name: found[name] for name in UNITS if found.get(name)},
        service_tier=facts.service_tier,
        speed=facts.speed,
        region=facts.region,
        reported_cost_usd=facts.cost_usd,
        unread=unread,
    )


def _larger(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in (*one, *other)}


def _joined(one: Facts, other: Facts) -> Facts:
    """What two events of one response say: the first model and id, the last tier, the highest cost."""
    costs = [each.cost_usd for each in (one, other) if each.cost_usd is not None]
    return Facts(
        response_id=one.response_id or other.response_id,
        model=one.model or other.model,
        service_tier=other.service_tier or one.service_tier,
        speed=other.speed or one.speed,
        region=other.region or one.region,
        cost_usd=max(costs, default=None),
        has_output=one.has_output and other.has_output,
        is_image=one.is_image or other.is_image,
        is_answer=one.is_answer or other.is_answer,
        units=tuple(_larger(dict(one.units), dict(other.units)).items()),
    )
