"""The events of a report, gathered into responses, and each response read into counts.

Events of one id belong to one response; what has no id belongs to the response before it, and what comes before the first id
to that one. Without an id a response is one of its own if

* it is a whole one (of images, embeddings, chat completions, Bedrock Converse, the Agents SDK);
* the response before it has ended, or the event says that another one begins (`marks`);
* its usage names another model than the response before it;
* it is usage with nothing around it, and the report has such usage of several prompts, or with several costs: a stream has
  one of each.

The fields of all events of a response are merged before they are read.
Usage objects that stand in several places of one event are read each by itself: of
each class the largest count stands, so what one of them says more is never lost, and what two of them say is not added up.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from creditmeter.core.prices.reported.classes import COUNTS, UNITS, classes_in
from creditmeter.core.prices.reported.counting import Raw, sum_at
from creditmeter.core.prices.reported.envelopes import is_name
from creditmeter.core.prices.reported.events import Event, Facts
from creditmeter.core.prices.reported.marks import Mark
from creditmeter.core.prices.reported.merging import merged
from creditmeter.core.prices.reported.shapes import CAMEL, MESSAGES, OTEL, Shape
from creditmeter.core.prices.reported.steps import steps_in, with_rest
from creditmeter.core.prices.reported.tools import as_billed, both
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
    has_ended: bool = False
    is_step: bool = False
    is_total: bool = False

    def add(self, event: Event) -> None:
        """Take in one more event."""
        if event.facts != self.facts:
            self.facts = _joined(self.facts, event.facts)
        self.unread.update(dict.fromkeys(event.unread))
        self._mark(event)
        if event.shape is None:
            return
        for path, shape, usage in (("", event.shape, event.usage), *event.others):
            _, before = self.usage.get((path, shape.name), (shape, None))
            self.usage[path, shape.name] = shape, merged(before, usage)
        if event.facts.is_start:
            self.has_start = True
        elif any(sum_at(event.usage, each) is not None for each in event.shape.classes.get("output_tokens", ())):
            self.has_end = True

    def _mark(self, event: Event) -> None:
        """Note what an event says of where it stands."""
        marks = event.facts.marks
        if marks:
            self.has_ended |= Mark.END in marks and (event.shape is not None or bool(self.usage))
            self.is_step |= Mark.STEP in marks


@dataclass(slots=True)
class _Gathering:
    """The responses so far, by their ids or by what stands in for one, and the one that an event without an id belongs to."""

    responses: dict[str, Gathered] = field(default_factory=dict)
    running: str = ""
    last: str = ""
    has_steps: bool = False
    was_total: bool = False

    def add(self, event: Event) -> None:
        """Take in the next event. What failed without any usage used nothing."""
        if Mark.FAILED in event.facts.marks and event.shape is None:
            return
        if event.is_again:
            self.responses.setdefault(self.last, Gathered()).add(event)
            return
        is_total = event.shape is not None and Mark.TOTAL in event.facts.marks
        if self.was_total and not is_total:
            self.has_steps = False
        self.was_total = is_total
        if is_total and self.has_steps:
            self.last = f"\0{len(self.responses)}"
            self.responses[self.last] = Gathered(is_total=True)
        else:
            self.has_steps |= event.shape is not None and Mark.STEP in event.facts.marks
            self._begin(event)
            self.last = self.running
        self.responses.setdefault(self.last, Gathered()).add(event)

    def _begin(self, event: Event) -> None:
        """Make the response of an event the running one."""
        own, running = event.facts.response_id, self.responses.get(self.running)
        if not own and (event.facts.is_whole or _is_of_another(event, running)):
            own = f"\0{len(self.responses)}"
        if own and not self.running and running is not None and not _is_apart(event, running):
            self.responses[own] = self.responses.pop("")
        self.running = own or self.running


def gathered(events: Iterable[Event]) -> list[Gathered]:
    """The responses to which the events belong, in the order in which they began."""
    gathering = _Gathering()
    for event in sorted(_with_bare_apart(list(events)), key=_is_of_run):
        gathering.add(event)
    found = list(gathering.responses.values())
    return [each for each in found if each.usage or each.unread or each.facts.is_answer] or [
        each for each in found if each.facts.model
    ]


def _is_of_run(event: Event) -> bool:
    """Whether an event is the span of a run, which may come before those of its requests."""
    return event.shape is OTEL and Mark.TOTAL in event.facts.marks


def _is_apart(event: Event, running: Gathered) -> bool:
    """Whether what came before the first id is no part of the response of this event."""
    return running.has_ended or bool(running.usage and event.facts.is_whole) or _is_of_another(event, running)


def _is_of_another(event: Event, running: Gathered | None) -> bool:
    """Whether an event without an id is of another response than the running one."""
    facts = event.facts
    if running is None or not running.usage:
        return False
    if Mark.BEGIN in facts.marks:
        return True
    if event.shape is None:
        return False
    return running.has_ended or (not facts.response_id and bool(facts.model) and running.facts.model not in ("", facts.model))


def _with_bare_apart(events: list[Event]) -> list[Event]:
    """The events, with usage that has nothing around it as whole responses where it is of several."""
    bare = [each for each in events if each.is_bare and not each.facts.response_id and not each.facts.is_whole]
    if not bare[1:]:
        return events
    prompts = {id(each): prompt for each in bare if (prompt := _prompt_of(each))}
    costs = {id(each): each.facts.cost_usd for each in bare if "cost" in each.usage and each.facts.cost_usd is not None}
    if not any(len(set(each.values())) > 1 for each in (prompts, costs)):
        return events
    return [_whole(each) if id(each) in prompts else each for each in events]


def _prompt_of(event: Event) -> int:
    """The input of usage that is complete, without what tools add to it while it is answered; 0 of any other."""
    counts = classes_in(event.shape, event.usage, "") if event.shape is not None else {}
    prompt = counts.get("input_tokens", 0)
    is_complete = bool(counts.get("output_tokens")) or counts.get("total") == prompt
    return prompt - counts.get("tool_input_tokens", 0) if is_complete else 0


def _whole(event: Event) -> Event:
    return replace(event, facts=replace(event.facts, is_whole=True))


def read_responses(gathered: Gathered, provider: str, model: str) -> Iterator[ReportedResponse]:
    """A response as it was reported, step by step where its usage lists steps, and those that other models gave for it.

    `model` is the one that was asked for, where the response names none.

    Raises:
        UnknownUsageError: something that should be a count is none.
    """
    facts = gathered.facts
    name = (facts.model or model).lower()
    rules_of = "anthropic" if _ANTHROPIC_MODEL.search(name) else provider
    own: dict[str, int] = {}
    for shape, usage in gathered.usage.values():
        own = _larger(own, classes_in(shape, usage, rules_of))
    if gathered.has_start and not gathered.has_end:
        own.pop("output_tokens", None)
    own = as_billed(_larger(_with_model_rules(own, facts, name), _units(facts, name)), name)
    unread = [path for shape, usage in gathered.usage.values() for path in unread_in_usage(shape, usage)]
    whole = _response(facts, own, tuple(dict.fromkeys((*gathered.unread, *unread)))[:MAX_UNREAD])
    with_steps = () if gathered.is_total else gathered.usage.values()  # a total is settled by the steps before it
    listed = (list(_steps(shape, usage, rules_of, facts)) for shape, usage in with_steps)
    steps = max(listed, key=_size, default=[])
    first, *others = with_rest([each for each in steps if each.model == facts.model], whole)
    others += [each for each in steps if each.model != facts.model]
    is_shared = bool(others) and not facts.response_id  # nothing says that they belong together
    yield replace(first, reported_cost_usd=None if is_shared else facts.cost_usd)
    yield from others


def _units(facts: Facts, model: str) -> dict[str, int]:
    """What a response of this model shows that has a fee, and no counter of its usage."""
    context = {f"{facts.search_context}_context_requests": 1} if facts.search_context else {}
    return facts.tools.units(model) | context


def _size(steps: list[ReportedResponse]) -> int:
    """By what is compared which of several usage objects of one response lists more steps."""
    return sum(each.counts.get(name, 0) for each in steps for name in ("input_tokens", "output_tokens"))


def _steps(shape: Shape, usage: Raw, provider: str, facts: Facts) -> Iterator[ReportedResponse]:
    """The steps that a usage object lists, each a request of its own. The cost of the response is that of all of them.

    Anthropic lists the steps of one response as `iterations`; what compaction and other models used is in none of the totals
    (https://platform.claude.com/docs/en/build-with-claude/compaction): the sum of all steps is what is billed.
    """
    for step in steps_in(usage) if shape in (MESSAGES, CAMEL) else ():
        named = step.get("model", step.get("model_name"))
        model = named if isinstance(named, str) and facts.model and is_name(named) else facts.model
        counts = classes_in(shape, step, provider)
        if counts:
            yield _response(replace(facts, model=model, cost_usd=None), counts, ())


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
        tools=both(one.tools, other.tools),
        search_context=other.search_context or one.search_context,
        marks=one.marks | other.marks,
    )
