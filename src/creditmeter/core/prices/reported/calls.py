"""A call as its worker and its provider report it together: what the worker says itself wins.

Where a provider reports several responses, each has a price of its own: its model, its tier and the length of its input are its
own. But counts that a worker gives beside several responses are those of all together, so they are priced as one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import pairwise

from creditmeter.core.prices.reported.classes import COUNTS
from creditmeter.core.prices.reported.reading import read
from creditmeter.core.prices.reported.unread import MAX_UNREAD
from creditmeter.core.prices.reported.values import Reported, ReportedResponse
from creditmeter.core.prices.rounding import NOTHING, plain
from creditmeter.core.values import astuple, replace
from creditmeter.core.work import Served, Usage

_SMALLEST = Decimal("1e-12")
"""To how much of a dollar a reported cost is kept."""

_LONG = Context(prec=60)
_TOTALS = ("input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """What is known of a call.

    `whole` is the call as one usage. `responses` are its usages response by response, without the report: empty if there is but
    one, if none has counts, or if the worker counted the whole. If the responses differ in their model or in what served them,
    `alternatives` are the whole as each of them was served.

    `unread` are the paths of numbers in the report that look like counts of tokens and were not read. `cost_usd` is what the
    provider or gateway says that the call costs, in dollars; None if it does not say so of each response. `costs_usd` has what
    it says of each of `responses`. `variant` is the size and the quality of the images that came back.
    """

    whole: Usage
    responses: tuple[Usage, ...] = ()
    alternatives: tuple[Usage, ...] = ()
    unread: tuple[str, ...] = ()
    cost_usd: Decimal | None = None
    costs_usd: tuple[Decimal | None, ...] = ()
    variant: str = ""


def reported_call(usage: Usage) -> ReportedCall:
    """The call that a usage and the provider's report in it describe.

    Raises:
        UnknownUsageError: the report cannot be read. The message says what to send.
    """
    if not usage.provider_usage_json:
        return ReportedCall(usage)
    reported = read(usage.provider_usage_json, usage.provider, usage.response_model or usage.request_model)
    responses = reported.responses
    usages = tuple(_usages(usage, responses)) if len(responses) > 1 else ()
    whole = _whole(usage, reported)
    unread = tuple(dict.fromkeys(path for each in responses for path in each.unread))[:MAX_UNREAD]
    is_split = any(each.counts for each in responses) and not _has_counts(usage)
    return ReportedCall(
        whole,
        responses=usages if is_split else (),
        alternatives=_alternatives(whole, usages),
        unread=unread,
        cost_usd=_reported_cost(responses),
        costs_usd=tuple(_kept_cost(each) for each in responses) if is_split and usages else (),
        variant=reported.variant,
    )


def belongs_to(before: Usage, usage: Usage) -> bool:
    """Whether a usage is what another model did for the response before it: its cost is in that of the response."""
    return usage.response_id == before.response_id != ""


def with_provider_usage(usage: Usage) -> Usage:
    """The usage of the whole call, with what its provider reported.

    Raises:
        UnknownUsageError: the report cannot be read. The message says what to send.
    """
    return reported_call(usage).whole


def sum_of(responses: Iterable[ReportedResponse]) -> dict[str, int]:
    """The sum of the counts of responses, without those of a total that one of them leaves unknown."""
    counts: dict[str, int] = {}
    unknown: set[str] = set()
    for each in responses:
        unknown.update(name for name in _TOTALS if name not in each.counts)
        _add(counts, each.counts)
    return {name: count for name, count in counts.items() if name not in unknown}


def sum_of_units(all_units: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of units, by their names."""
    units: dict[str, int] = {}
    for each in all_units:
        _add(units, each)
    return units


def common_served(served: Iterable[Served]) -> Served:
    """What served all responses alike; each field in which they differ is empty."""
    ways = tuple(dict.fromkeys(served))
    return ways[0] if len(ways) == 1 else Served(*map(_common, zip(*map(astuple, ways), strict=True)))


def _common(names: tuple[str, ...]) -> str:
    return names[0] if len(set(names)) == 1 else ""


def _has_counts(usage: Usage) -> bool:
    return bool(usage.units) or any(getattr(usage, name) is not None for name in COUNTS)


def _usages(usage: Usage, responses: tuple[ReportedResponse, ...]) -> Iterator[Usage]:
    """The usage of each response by itself. One that names no model has the one that was asked for, or else the first named."""
    first = next((each.model for each in responses if each.model), "")
    for each in responses:
        yield replace(
            usage,
            **{name: each.counts.get(name) for name in COUNTS},
            response_model=usage.response_model or each.model or ("" if usage.request_model else first),
            response_id=each.response_id,
            units=each.units,
            served=_served(usage.served, each),
            provider_usage_json="",
        )


def _whole(usage: Usage, reported: Reported) -> Usage:
    """The call as one: the sum of its responses, and what the usage says itself."""
    counts = sum_of(reported.responses)
    if reported.images is not None:
        counts["quantity"] = reported.images
    missing = {name: count for name, count in counts.items() if getattr(usage, name) is None}
    served = usage.served
    if reported.responses:
        served = common_served(_served(usage.served, each) for each in reported.responses)
    return replace(
        usage,
        **missing,
        response_model=usage.response_model or next((each.model for each in reported.responses if each.model), ""),
        units=sum_of_units(each.units for each in reported.responses) | dict(usage.units),
        served=served,
    )


def _alternatives(whole: Usage, usages: tuple[Usage, ...]) -> tuple[Usage, ...]:
    """The whole as each of its responses was served; nothing if all were served in the same way."""
    ways = dict.fromkeys((each.response_model, each.served) for each in usages)
    several = tuple(replace(whole, response_model=model, served=served) for model, served in ways)
    return several if several[1:] else ()


def _served(stated: Served, response: ReportedResponse) -> Served:
    return Served(
        stated.service_tier or response.service_tier,
        stated.speed or response.speed,
        stated.region or response.region,
        stated.search_type,
    )


def _reported_cost(responses: tuple[ReportedResponse, ...]) -> Decimal | None:
    """The sum of what the responses cost by their provider or gateway; None if that is not known of one of them.

    What another model did for a response is in the cost of that response, which is before it.
    """
    if not responses:
        return None
    later = (each.response_id == before.response_id != "" for before, each in pairwise(responses))
    total = NOTHING
    for each, is_part in zip(responses, (False, *later), strict=True):
        cost = _kept_cost(each)
        if cost is not None:
            total = _LONG.add(total, cost)
        elif not is_part:
            return None
    return plain(total)


def _kept_cost(response: ReportedResponse) -> Decimal | None:
    cost = response.reported_cost_usd
    return None if cost is None else _LONG.quantize(cost, _SMALLEST)


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
