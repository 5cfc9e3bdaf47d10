"""What work may cost before it is done: at most, at least, and how much of it a budget pays for.

The most is the worst case of what the work says (`worst_cases`): plain input, its bound of output, and no more tokens written
to caches, no more audio, images, video and things with a fee than it names. No usage within that, at the model and the
service tier asked for, costs more.
"""

from bisect import bisect_right
from decimal import Decimal

from creditmeter.core.amounts import MAX_AMOUNT, ZERO, Microcredits
from creditmeter.core.credit.reservations import Hold
from creditmeter.core.instants import Instant
from creditmeter.core.prices.fallback import text_rule
from creditmeter.core.prices.fees import REQUESTS, Fee, total_usd, usage_fees, without_other_fee
from creditmeter.core.prices.item_prices import item_credits
from creditmeter.core.prices.no_price import NoPrice, invalid, out_of_range, too_dear, unpriced_model
from creditmeter.core.prices.rate_card import MAX_TOKENS, TEXT, RateCard, TextRule
from creditmeter.core.prices.rounding import EXACTLY, rounded
from creditmeter.core.prices.tiers import ServedPrices, served_prices
from creditmeter.core.prices.token_costs import cost_of, exact_price
from creditmeter.core.prices.worst_cases import worst_cost, wrong_parts
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Work


def price_bound(card: RateCard, work: Work, at: Instant) -> Hold | NoPrice:
    """The hold that covers the worst case of work that begins at a moment.

    Text needs `input_tokens`. Text of no tokens is invalid where tokens have a price, and so are a worst case above MAX_AMOUNT
    and parts of the input that are more than the input.
    """
    hold = _hold(card, work, at)
    if not isinstance(hold, Hold):
        return hold
    if hold.amount > MAX_AMOUNT:
        return too_dear(work, hold.amount)
    if work.action == TEXT and not hold.amount and not (work.input_tokens or bounded_output_tokens(card, work)):
        some = _hold(card, replace(work, input_tokens=1, max_output_tokens=1), at)
        if isinstance(some, Hold) and some.amount:
            return invalid(work, "input_tokens", "or max_output_tokens must be 1 or more for work that has a price")
    return hold


def bounded_output_tokens(card: RateCard, work: Work) -> int | None:
    """The most output tokens that the work may have: its own bound, or else the card's default. None if it is not priced by
    tokens.
    """
    if work.action != TEXT or TEXT in card.free:
        return None
    return card.default_max_output_tokens if work.max_output_tokens is None else work.max_output_tokens


def affordable_output_tokens(card: RateCard, work: Work, budget: Microcredits, at: Instant) -> int | None:
    """The most output tokens, within the work's bound, whose worst case the budget covers.

    None if the budget does not even cover the input, or if the work is not text with a price.
    """
    hold, most = price_bound(card, work, at), bounded_output_tokens(card, work)
    if not isinstance(hold, Hold) or most is None:
        return None
    if hold.amount <= budget:
        return most

    def worst_case(output_tokens: int) -> Microcredits:
        smaller = _hold(card, replace(work, max_output_tokens=output_tokens), at)
        assert isinstance(smaller, Hold), "less work than what has a bound has one too"
        return smaller.amount

    covered = bisect_right(range(most + 1), budget, key=worst_case)
    return covered - 1 if covered else None


def low_price(card: RateCard, work: Work, hold: Hold, at: Instant) -> Microcredits:
    """The low end of a quote for work that this hold covers, in microcredits.

    For text it is the price of the input at the rate of its cheapest class, nearly always that of the cache, without any
    output. Anything else costs what is held.
    """
    if work.action != TEXT or work.action in card.free:
        return hold.amount
    rule, _ = text_rule(card, work)
    assert rule is not None, "what has a bound has a price"
    assert work.input_tokens is not None, "what has a bound has an input"
    found = served_prices(card, rule, work, at)
    for_request = {name: count for name, count in work.units.items() if name in REQUESTS}
    fees = usage_fees(card, rule, found.prices, replace(work, units=for_request)) if for_request else ()
    least = cost_of(work.input_tokens, found.prices.for_input(work.input_tokens).lowest_input)
    return _rounded_text(card, rule, found, least, fees)


def _hold(card: RateCard, work: Work, at: Instant) -> Hold | NoPrice:
    """The hold for the worst case, however large."""
    if not work.action:
        return invalid(work, "action", "is needed to find a price")
    if work.action in card.free:
        return Hold(ZERO, card.version, work)
    if work.action == TEXT:
        return _hold_for_text(card, work, at)
    credits = item_credits(card, work)
    return Hold(rounded(card, credits, ZERO)[0], card.version, work) if isinstance(credits, Decimal) else credits


def _hold_for_text(card: RateCard, work: Work, at: Instant) -> Hold | NoPrice:
    if work.input_tokens is None:
        return invalid(work, "input_tokens", "is needed to bound the price of text")
    output_tokens = card.default_max_output_tokens if work.max_output_tokens is None else work.max_output_tokens
    for field, count in (("input_tokens", work.input_tokens), ("max_output_tokens", output_tokens)):
        if not 0 <= count <= MAX_TOKENS:
            return out_of_range(work, field, count, MAX_TOKENS)
    for unit, count in work.units.items():
        if not 0 <= count <= MAX_TOKENS:
            return out_of_range(work, f"units.{unit}", count, MAX_TOKENS)
    if wrong := tuple(wrong_parts(work)):
        return InvalidRequest(tuple((f"work.{field}", why) for field, why in wrong))
    rule, _ = text_rule(card, work)
    if rule is None:
        return unpriced_model(work)
    found = served_prices(card, rule, work, at)
    worst = worst_cost(found.prices, work, output_tokens)
    fees = usage_fees(card, rule, found.prices, work) if work.units else ()
    return Hold(_rounded_text(card, rule, found, worst, fees), card.version, work)


def _rounded_text(
    card: RateCard, rule: TextRule, found: ServedPrices, tokens_cost: Decimal, fees: tuple[Fee, ...]
) -> Microcredits:
    prices = without_other_fee(found.prices, fees)
    exact_credits, _ = exact_price(card, rule, prices, EXACTLY.multiply(tokens_cost, found.factor), total_usd(fees))
    return rounded(card, exact_credits, card.minimum)[0]
