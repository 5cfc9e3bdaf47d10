"""The steps of a response or of a run: each is a request of its own, and what is billed is their sum.

Reports say the sum of the steps beside them. It is never added to them: only what it has more is used, too, and belongs to the
largest step, whose rates are the highest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from creditmeter.core.prices.reported.counting import Raw
from creditmeter.core.prices.reported.unread import MAX_UNREAD, STEPS
from creditmeter.core.prices.reported.values import ReportedResponse

_TOTALS = ("input_tokens", "output_tokens")


def steps_in(usage: Raw) -> Iterator[Raw]:
    """The usage objects of the steps that a usage object lists."""
    for name in STEPS:
        listed = usage.get(name)
        yield from (each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()


def with_rest(steps: Sequence[ReportedResponse], total: ReportedResponse) -> list[ReportedResponse]:
    """Steps that come to at least the total: what it has more is added to the largest step, or is that of a step without it."""
    if not steps:
        return [total]
    largest = max(range(len(steps)), key=lambda n: steps[n].counts.get("input_tokens", 0))
    counts, units = [dict(each.counts) for each in steps], [dict(each.units) for each in steps]
    _add_rest(counts, total.counts, largest)
    _add_rest(units, total.units, largest)
    unread = tuple(dict.fromkeys((*steps[largest].unread, *total.unread)))[:MAX_UNREAD]
    found = [replace(each, counts=one, units=other) for each, one, other in zip(steps, counts, units, strict=True)]
    found[largest] = replace(found[largest], unread=unread)
    return found


def _add_rest(counts: Sequence[dict[str, int]], total: Mapping[str, int], largest: int) -> None:
    for name, whole in total.items():
        rest = max(0, whole - sum(each.get(name, 0) for each in counts))
        unknown = [each for each in counts if name not in each] if name in _TOTALS else []
        for each in unknown:
            each[name] = 0
        target = unknown[0] if unknown else counts[largest]
        if rest or name in target:
            target[name] = target.get(name, 0) + rest


@dataclass(frozen=True, slots=True)
class Group:
    """What was read of the events of one response, and whether that is a step or the total of the steps before it."""

    responses: tuple[ReportedResponse, ...]
    is_step: bool = False
    is_total: bool = False


def settled(groups: Iterable[Group]) -> list[ReportedResponse]:
    """The responses of a report, with each total settled by the steps before it that are of its model."""
    found: list[ReportedResponse] = []
    steps: list[int] = []
    was_total = False
    for group in groups:
        if was_total and not group.is_total:
            steps = []
        was_total = group.is_total
        for each in group.responses:
            own = _of_same_model(found, steps, each.model) if group.is_total else []
            if own:
                for n, step in zip(own, with_rest([found[n] for n in own], each), strict=True):
                    found[n] = step
            else:
                if group.is_step:
                    steps.append(len(found))
                found.append(each)
    return found


def _of_same_model(found: Sequence[ReportedResponse], steps: Sequence[int], model: str) -> list[int]:
    """The steps that are in the total of a model: it may be written with more around its name there."""
    same = [n for n in steps if found[n].model in ("", model) or not model]
    return same or [n for n in steps if found[n].model in model or model in found[n].model]
