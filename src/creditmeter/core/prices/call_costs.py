"""What a whole call cost: each of its responses by itself, summed exactly, and rounded once.

Minimum, cap and increment are of the call. What a response leaves out is completed by itself, at the bound of the reservation:
that may be more than the reservation as a whole, but never less than the response can have used, and it is flagged ESTIMATED.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from creditmeter.core.credit.charges import Cost, PricedPart
from creditmeter.core.credit.cost_lines import CostLine
from creditmeter.core.instants import Instant
from creditmeter.core.prices.completing import complete_usage
from creditmeter.core.prices.fallback import priced_model, stand_ins
from creditmeter.core.prices.fees import counted
from creditmeter.core.prices.no_price import NoPrice, explained
from creditmeter.core.prices.rate_card import TEXT, RateCard
from creditmeter.core.prices.reported.calls import ReportedCall, common_served, sum_of_units
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, rounded_cost
from creditmeter.core.prices.usage_costs import TOKEN_COUNTS, price_usage, within_limit
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.work import ChargeFlag, Usage, Work

MAX_PRICED_PARTS = 64
"""Most responses of a call that are kept, the first ones. The cost is that of all."""

_OF_ROUNDING = (ChargeFlag.MINIMUM, ChargeFlag.CAPPED)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a call was reserved for: its work, if that was not an amount, and the most output tokens that were paid for."""

    work: Work | None = None
    bound_output_tokens: int | None = None


NOT_RESERVED = Reserved()


def call_cost(
    card: RateCard, call: ReportedCall, at: Instant, reserved: Reserved = NOT_RESERVED, *, is_fact: bool
) -> Cost | NoPrice:
    """The cost of a call that began at a moment, response by response where it is text and each of them is known.

    Where it is not, and what served the responses differs, it is the highest that the whole can have cost, flagged ESTIMATED.
    """
    action = call.whole.action or (reserved.work.action if reserved.work else "")
    costs: list[Cost] = []
    for usage in (action == TEXT and call.responses) or call.alternatives or (call.whole,):
        cost = _completed_cost(card, usage, at, reserved, is_fact=is_fact)
        if not isinstance(cost, Cost):
            return cost
        costs.append(cost)
    if action == TEXT and call.responses:
        total = _total(card, call.whole, costs, is_fact=is_fact)
        if not isinstance(total, Cost):
            return total
    else:
        total = _highest(costs)
        costs = [total] if total.usage and counted(total.usage.units) else []
    if not costs and not call.unread and call.cost_usd is None:
        return total
    parts = tuple(map(_part, costs[:MAX_PRICED_PARTS]))
    unread = (ChargeFlag.UNREAD_USAGE,) if call.unread else ()
    flags = tuple(dict.fromkeys((*total.flags, *unread)))
    return replace(total, flags=flags, priced_parts=parts, unread=call.unread, reported_cost_usd=call.cost_usd)


def cost_by_any_model(card: RateCard, usage: Usage, at: Instant, work: Work | None = None, *, is_fact: bool) -> Cost | NoPrice:
    """The cost at the model that served the call. If that has no price, or (of a fact) not in the variant that was served, the
    highest cost of what stands in for it (`fallback.stand_ins`) and of the card's fallback, flagged.
    """
    served = price_usage(card, usage, at, by_fallback=False, is_fact=is_fact)
    if isinstance(served, Cost):
        return served
    has_others = isinstance(served, UnpricedWork) or (is_fact and _is_about_variant(served))
    others = stand_ins(card, usage, work) if has_others else ()
    by_others = [price_usage(card, each, at, by_fallback=False, is_fact=is_fact) for each in others]
    priced = [each for each in (*by_others, price_usage(card, usage, at, is_fact=is_fact)) if isinstance(each, Cost)]
    if not priced:
        return explained(card, usage, served)
    dearest = max(priced, key=_size)
    flags = (flag for flag in dearest.flags if flag is not ChargeFlag.FALLBACK_PRICE)
    return replace(dearest, usage=usage, flags=(ChargeFlag.FALLBACK_PRICE, *flags))


def _is_about_variant(refusal: InvalidRequest) -> bool:
    return refusal.violations[0][0] == "usage.variant"


def _completed_cost(card: RateCard, usage: Usage, at: Instant, reserved: Reserved, *, is_fact: bool) -> Cost | NoPrice:
    """The cost of a usage with what it leaves out; ESTIMATED if that is a count of tokens."""
    if reserved is NOT_RESERVED:
        return cost_by_any_model(card, usage, at, is_fact=is_fact)
    work = reserved.work or Work(action=usage.action)
    complete, is_estimated = complete_usage(usage, work, reserved.bound_output_tokens)
    cost = cost_by_any_model(card, complete, at, reserved.work, is_fact=is_fact)
    if not isinstance(cost, Cost) or not is_estimated:
        return cost
    return replace(cost, flags=(*cost.flags, ChargeFlag.ESTIMATED))


def _highest(costs: Sequence[Cost]) -> Cost:
    """The highest of the costs that a call may have; ESTIMATED if they differ."""
    highest = max(costs, key=_size)
    if all(_size(each) == _size(highest) for each in costs):
        return highest
    return replace(highest, flags=tuple(dict.fromkeys((*highest.flags, ChargeFlag.ESTIMATED))))


def _size(cost: Cost) -> tuple[object, object]:
    return cost.amount, cost.exact_credits


def _total(card: RateCard, whole: Usage, costs: Sequence[Cost], *, is_fact: bool) -> Cost | NoPrice:
    """The cost of all responses of a call of text: their exact costs added up, then rounded."""
    credits, usd = NOTHING, NOTHING
    for each in costs:
        credits, usd = EXACTLY.add(credits, each.exact_credits), EXACTLY.add(usd, each.usd)
    flags = dict.fromkeys(flag for each in costs for flag in _own_flags(each))
    usage = _sum(whole, [each.usage for each in costs if each.usage is not None])
    cost = rounded_cost(card, usage, (credits, usd), card.minimum, tuple(flags), partial(_numbered_lines, tuple(costs)))
    return within_limit(cost, usage, is_fact=is_fact)


def _numbered_lines(costs: Sequence[Cost]) -> tuple[CostLine, ...]:
    """The lines of all responses, each with the number of its own."""
    return tuple(replace(line, response=number) for number, each in enumerate(costs, 1) for line in each.lines)


def _sum(whole: Usage, usages: Sequence[Usage]) -> Usage:
    """The usage of a call as it was priced, of those of its responses."""
    counts = {name: _sum_of_known(getattr(each, name) for each in usages) for name in TOKEN_COUNTS}
    first = usages[0]
    return replace(
        whole,
        **counts,  # type: ignore[arg-type]  # all are ints
        action=first.action,
        provider=first.provider,
        request_model=first.request_model,
        quantity=first.quantity,
        variant=first.variant,
        tool=first.tool,
        units=sum_of_units(each.units for each in usages),
        served=common_served(each.served for each in usages),
    )


def _sum_of_known(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _own_flags(cost: Cost) -> tuple[ChargeFlag, ...]:
    """The flags of a response: whether the cost is rounded or cut is said of the call."""
    return tuple(flag for flag in cost.flags if flag not in _OF_ROUNDING)


def _part(cost: Cost) -> PricedPart:
    usage = cost.usage
    assert usage is not None, "a response has a usage"
    counts = {name: count for name in TOKEN_COUNTS if (count := getattr(usage, name)) is not None}
    tier = usage.served.service_tier
    return PricedPart(usage.response_id, priced_model(usage)[1], tier, counts, usage.units, cost.usd, _own_flags(cost))
