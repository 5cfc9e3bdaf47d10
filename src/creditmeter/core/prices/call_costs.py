"""What a whole call cost: each of its responses by itself, summed exactly, and rounded once.

The list price of each is found first. Then its rule says whether that is charged or what is reported (`cost_basis`).

Minimum, cap and increment are of the call. What a response leaves out is completed by itself, at the bound of the reservation:
that may be more than the reservation as a whole, but never less than the response can have used, and it is flagged ESTIMATED.
So output that nobody counted is of the class that costs the most at its model, as it was held.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import pairwise

from creditmeter.core.credit.charges import Cost, PricedPart, StandIn
from creditmeter.core.credit.cost_lines import CostLine
from creditmeter.core.instants import Instant
from creditmeter.core.prices.completing import complete_usage, of_any_class
from creditmeter.core.prices.cost_basis import Listed, charged
from creditmeter.core.prices.fallback import priced_model, stand_ins, text_rule
from creditmeter.core.prices.fees import counted
from creditmeter.core.prices.image_variants import is_unsaid, known_parts, variant_price
from creditmeter.core.prices.no_price import NoPrice, explained
from creditmeter.core.prices.rate_card import IMAGE, TEXT, RateCard
from creditmeter.core.prices.reported.calls import ReportedCall, belongs_to, common_served, sum_of_units
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, rounded_cost
from creditmeter.core.prices.usage_costs import TOKEN_COUNTS, price_usage, within_limit
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage, UsageSource, Work

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
    is_split = action == TEXT and bool(call.responses)
    if action == IMAGE and call.variant:
        call = _with_reported_variant(card, call)
    listed: list[Listed] = []
    for usage in call.responses if is_split else call.alternatives or (call.whole,):
        found = _completed(card, usage, at, reserved, is_fact=is_fact)
        if not isinstance(found, Listed):
            return found
        listed.append(found)
    if is_split:
        costs = list(_costs_of_responses(card, call, listed))
        total = _total(card, call.whole, costs, is_fact=is_fact)
    else:
        highest = _highest([charged(card, [each], call.cost_usd)[0] for each in listed])
        costs = [highest] if highest.usage and counted(highest.usage.units) else []
        total = within_limit(highest, call.whole, is_fact=is_fact)
    if not isinstance(total, Cost):
        return total
    flags = _with(total.flags, ChargeFlag.ESTIMATED) if call.whole.source is UsageSource.ESTIMATED else total.flags
    total = replace(total, stand_in=_stand_in(total, action, reserved.work), flags=flags)
    if not costs and not call.unread and call.cost_usd is None:
        return total
    reported = call.costs_usd if is_split else (call.cost_usd,)
    parts = tuple(map(_part, costs[:MAX_PRICED_PARTS], reported))
    flags = _with(total.flags, *((ChargeFlag.UNREAD_USAGE,) if call.unread else ()))
    return replace(total, flags=flags, priced_parts=parts, unread=call.unread, reported_cost_usd=call.cost_usd)


def _with_reported_variant(card: RateCard, call: ReportedCall) -> ReportedCall:
    """The call with the variant of the images that came back, as far as the card tells variants apart, if its worker did not
    name one.
    """
    rule = card.image_rule(*priced_model(call.whole))
    if rule is None or not is_unsaid(rule.variants, call.whole.variant):
        return call
    said = known_parts(rule.variants, call.variant)
    if not said or variant_price(rule.variants, said) is None:
        return call
    alternatives = tuple(replace(each, variant=said) for each in call.alternatives)
    return dataclasses.replace(call, whole=replace(call.whole, variant=said), alternatives=alternatives)


def _stand_in(cost: Cost, action: str, work: Work | None) -> StandIn | None:
    """What a call was reserved for, if it had a say in its cost because a model had no price."""
    if work is None or work.action != action or ChargeFlag.FALLBACK_PRICE not in cost.flags:
        return None
    return StandIn(work.provider, work.request_model, work.variant)


def cost_without_report(card: RateCard, usage: Usage, at: Instant, *, is_fact: bool) -> Cost | NoPrice:
    """The cost of a usage of which no provider reports any cost."""
    found = listed_by_any_model(card, usage, at, None, is_fact=is_fact)
    if not isinstance(found, Listed):
        return found
    return found.cost if found.rule is None else charged(card, [found], None)[0]


def listed_by_any_model(card: RateCard, usage: Usage, at: Instant, work: Work | None, *, is_fact: bool) -> Listed | NoPrice:
    """The list price at the model that served the call. If that has none, or (of a fact) not in the variant that was served,
    the highest price of what stands in for it (`fallback.stand_ins`) and of the card's fallback, flagged.
    """
    served = price_usage(card, usage, at, by_fallback=False, is_fact=is_fact)
    if isinstance(served, Cost):
        return _with_rule(card, served)
    has_others = isinstance(served, UnpricedWork) or (is_fact and _is_about_variant(served))
    others = stand_ins(card, usage, work) if has_others else ()
    by_others = [price_usage(card, each, at, by_fallback=False, is_fact=is_fact) for each in others]
    priced = [each for each in (*by_others, price_usage(card, usage, at, is_fact=is_fact)) if isinstance(each, Cost)]
    if not priced:
        return explained(card, usage, served)
    dearest = max(priced, key=_size)
    flags = (flag for flag in dearest.flags if flag is not ChargeFlag.FALLBACK_PRICE)
    cost, rule = _with_rule(card, dearest)
    return Listed(replace(cost, usage=usage, flags=(ChargeFlag.FALLBACK_PRICE, *flags)), rule)


def _with_rule(card: RateCard, cost: Cost) -> Listed:
    """A list price with the text rule that it is by, where the card has one that may charge another."""
    usage = cost.usage
    if not card.may_charge_reported or usage is None or usage.action != TEXT or TEXT in card.free:
        return Listed(cost)
    return Listed(cost, text_rule(card, usage)[0])


def _costs_of_responses(card: RateCard, call: ReportedCall, listed: Sequence[Listed]) -> Iterator[Cost]:
    """What each response costs by its rule. What other models did for one is in what is reported of it."""
    begins = [0, *(n for n in range(1, len(listed)) if not belongs_to(call.responses[n - 1], call.responses[n]))]
    for begin, end in pairwise((*begins, len(listed))):
        yield from charged(card, listed[begin:end], call.costs_usd[begin])


def _is_about_variant(refusal: InvalidRequest) -> bool:
    return refusal.violations[0][0] == "usage.variant"


def _completed(card: RateCard, usage: Usage, at: Instant, reserved: Reserved, *, is_fact: bool) -> Listed | NoPrice:
    """The list price of a usage with what it leaves out; ESTIMATED if that is a count of tokens."""
    if reserved is NOT_RESERVED:
        return listed_by_any_model(card, usage, at, None, is_fact=is_fact)
    work = reserved.work or Work(action=usage.action)
    complete, is_estimated = complete_usage(usage, work, reserved.bound_output_tokens)
    found = listed_by_any_model(card, complete, at, reserved.work, is_fact=is_fact)
    if not isinstance(found, Listed) or not is_estimated:
        return found
    for other in of_any_class(complete) if usage.output_tokens is None else ():
        dearer = listed_by_any_model(card, other, at, reserved.work, is_fact=is_fact)
        if isinstance(dearer, Listed) and _size(dearer.cost) > _size(found.cost):
            found = dearer
    return Listed(replace(found.cost, flags=(*found.cost.flags, ChargeFlag.ESTIMATED)), found.rule)


def _highest(costs: Sequence[Cost]) -> Cost:
    """The highest of the costs that a call may have; ESTIMATED if they differ."""
    highest = max(costs, key=_size)
    if all(_size(each) == _size(highest) for each in costs):
        return highest
    return replace(highest, flags=_with(highest.flags, ChargeFlag.ESTIMATED))


def _with(flags: Iterable[ChargeFlag], *more: ChargeFlag) -> tuple[ChargeFlag, ...]:
    return tuple(dict.fromkeys((*flags, *more)))


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
    return tuple(dataclasses.replace(line, response=number) for number, each in enumerate(costs, 1) for line in each.lines)


def _sum(whole: Usage, usages: Sequence[Usage]) -> Usage:
    """The usage of a call as it was priced, of those of its responses."""
    counts = {name: _sum_of_known(getattr(each, name) for each in usages) for name in TOKEN_COUNTS}
    first = usages[0]
    return replace(
        whole,
        **counts,
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


def _part(cost: Cost, reported_usd: Decimal | None) -> PricedPart:
    usage = cost.usage
    assert usage is not None, "a response has a usage"
    counts = {name: count for name in TOKEN_COUNTS if (count := getattr(usage, name)) is not None}
    served = usage.served
    return PricedPart(
        usage.response_id,
        priced_model(usage)[1],
        served.service_tier,
        counts,
        usage.units,
        cost.usd,
        _own_flags(cost),
        served.speed,
        served.region,
        served.search_type,
        reported_usd,
    )
