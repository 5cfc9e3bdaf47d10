"""What a call cost, by its usage.

Where a long input makes a call dearer, all of its tokens are priced by the rates of its length. Where the parts of a count
contradict it (cache read and write above the input, reasoning above the output), neither is believed to be less than it is:
the larger of the count and the sum of its parts is priced at the plain rate, without a discount, and flagged. What served the
call may change its rates (`tiers`), and what it counts beside tokens may have fees (`fees`).
"""

from functools import partial
from operator import attrgetter

from creditmeter.core.amounts import MAX_AMOUNT, ZERO
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant
from creditmeter.core.prices.fallback import text_rule
from creditmeter.core.prices.fees import Fee, total_usd, unpriced_units, usage_fees, without_other_fee
from creditmeter.core.prices.item_prices import Items, items_of
from creditmeter.core.prices.line_costs import free_lines, item_lines, text_lines
from creditmeter.core.prices.no_price import NoPrice, invalid, out_of_range, too_dear, unpriced_model
from creditmeter.core.prices.providers import OPEN_GATEWAY
from creditmeter.core.prices.rate_card import MAX_TOKENS, TEXT, RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, in_dollars, rounded_cost
from creditmeter.core.prices.tiers import served_prices
from creditmeter.core.prices.token_costs import (
    Tokens,
    all_input,
    all_output,
    citations,
    exact_price,
    input_classes,
    input_parts,
    output_classes,
    output_parts,
    sum_of_tokens,
)
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage

TOKEN_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_1h_input_tokens",
    "reasoning_output_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
)
"""The counts of tokens that a usage may have."""

_token_counts = attrgetter(*TOKEN_COUNTS)


def price_usage(
    card: RateCard, usage: Usage, at: Instant, *, by_fallback: bool = True, is_fact: bool = False
) -> Cost | NoPrice:
    """The cost of a call that began at a moment, at the model that served it if that is known, else at the one asked for.

    Text needs `input_tokens` and `output_tokens` (see `completing.complete_usage`). Everything else counts items, 1 if it does
    not say how many. A model of text that has no price takes that of the card's fallback, unless `by_fallback` is false. A cost
    above MAX_AMOUNT is invalid; but if it `is_fact`, which must not be lost, it is MAX_AMOUNT and flagged CAPPED.
    """
    if not usage.action:
        return invalid(usage, "action", "is needed to find a price")
    if usage.action in card.free:
        return Cost(ZERO, NOTHING, NOTHING, card.version, usage, make_lines=partial(free_lines, usage))
    cost = _price_text(card, usage, at, by_fallback=by_fallback) if usage.action == TEXT else _price_items(card, usage)
    return within_limit(cost, usage, is_fact=is_fact) if isinstance(cost, Cost) else cost


def within_limit(cost: Cost, usage: Usage, *, is_fact: bool) -> Cost | NoPrice:
    """The cost if it is no more than any amount may be: a fact above that is cut and flagged CAPPED, anything else invalid."""
    if cost.amount <= MAX_AMOUNT:
        return cost
    if not is_fact:
        return too_dear(usage, cost.amount)
    return replace(cost, amount=MAX_AMOUNT, flags=(*cost.flags, ChargeFlag.CAPPED))


def price_text(
    card: RateCard,
    rule: TextRule,
    usage: Usage,
    tokens: tuple[int, int],
    at: Instant,
    flags: tuple[ChargeFlag, ...] = (),
) -> Cost:
    """The cost of so many tokens of input and of output by a rule. `usage` tells their classes apart."""
    found = served_prices(card, rule, usage, at)
    flags += found.flags
    fees, unread = _fees(card, rule, found.prices, usage) if usage.units else ((), ())
    if fees:
        found = found._replace(prices=without_other_fee(found.prices, fees))
    prices = found.prices
    classes, input_tokens, contradictions = _classes(prices, usage, tokens)
    if usage.image_output_tokens and _lacks_image_rate(rule, prices):
        unread = (ChargeFlag.UNREAD_USAGE,)
    cost = sum_of_tokens(classes)
    if found.factor != 1:
        cost = EXACTLY.multiply(cost, found.factor)
    exact = exact_price(card, rule, prices, cost, total_usd(fees))
    make_lines = partial(text_lines, card, rule, usage, found, classes, input_tokens, fees)
    return rounded_cost(card, usage, exact, card.minimum, flags + contradictions + unread, make_lines)


def _lacks_image_rate(rule: TextRule, prices: TextPrices) -> bool:
    """Whether no list has a rate for the images that a model of OpenRouter makes (`left_out_rates`). They are priced as text,
    which is too little, so it is said.
    """
    is_listed_there = rule.listed is not None and rule.listed.provider == OPEN_GATEWAY
    return is_listed_there and prices.rates.image_output == prices.rates.output


def _classes(
    prices: TextPrices, usage: Usage, tokens: tuple[int, int]
) -> tuple[tuple[Tokens, ...], int, tuple[ChargeFlag, ...]]:
    """So many tokens of input and of output by their classes, the length of the input that decides the rates, and a flag for a
    contradiction.
    """
    input_tokens, output_tokens = tokens
    flags: tuple[ChargeFlag, ...] = ()
    rates = prices.for_input(input_tokens)
    of_input = input_classes(usage, rates, input_tokens)
    if of_input is None:
        input_tokens, flags = max(input_tokens, input_parts(usage)), (ChargeFlag.CONTRADICTORY_USAGE,)
        rates = prices.for_input(input_tokens)
        of_input = [all_input(rates, input_tokens)]
    of_output = output_classes(usage, rates, output_tokens)
    if of_output is None:
        output_tokens, flags = max(output_tokens, output_parts(usage)), (ChargeFlag.CONTRADICTORY_USAGE,)
        of_output = [all_output(rates, output_tokens)]
    beside = citations(usage, rates) if usage.units else ()
    return (*of_input, *of_output, *beside), input_tokens, flags


def _fees(card: RateCard, rule: TextRule, prices: TextPrices, usage: Usage) -> tuple[tuple[Fee, ...], tuple[ChargeFlag, ...]]:
    """The fees of a usage, and a flag if it counts something that has no price."""
    fees = usage_fees(card, rule, prices, usage)
    return fees, (ChargeFlag.UNREAD_USAGE,) if unpriced_units(usage.units, fees) else ()


def _price_text(card: RateCard, usage: Usage, at: Instant, *, by_fallback: bool) -> Cost | NoPrice:
    for number, count in enumerate(_token_counts(usage)):
        if count is not None and not 0 <= count <= MAX_TOKENS:
            return out_of_range(usage, TOKEN_COUNTS[number], count, MAX_TOKENS)
    for unit, count in usage.units.items():
        if not 0 <= count <= MAX_TOKENS:
            return out_of_range(usage, f"units.{unit}", count, MAX_TOKENS)
    if usage.input_tokens is None or usage.output_tokens is None:
        missing = "input_tokens" if usage.input_tokens is None else "output_tokens"
        return invalid(usage, missing, "is needed to price text")
    rule, flags = text_rule(card, usage, by_fallback=by_fallback)
    if rule is None:
        return unpriced_model(usage)
    return price_text(card, rule, usage, (usage.input_tokens, usage.output_tokens), at, flags)


def _price_items(card: RateCard, usage: Usage) -> Cost | NoPrice:
    items = items_of(card, usage)
    if not isinstance(items, Items):
        return items
    credits = EXACTLY.multiply(items.credits_each, items.quantity)
    return rounded_cost(card, usage, (credits, in_dollars(card, credits)), ZERO, make_lines=partial(item_lines, usage, items))
