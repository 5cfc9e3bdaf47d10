"""What a call costs: usage priced after it, work priced at its worst before it.

All components of one call are summed exactly, then rounded once: up to the card's increment, then up to the minimum
(text only, and only where the exact price is above 0), then down to the cap. Rates are per million tokens and a credit
is a million microcredits, so tokens times a rate in credits are microcredits already. A context that traps inexact
results stands behind "exactly".

Input tokens are read as classes of one total: cached or not, text, audio or image. Nothing says how many of the cached
tokens were audio, so where classes overlap the cache discount goes to what the others leave over. Output tokens are
read in the same way. Where parts contradict their total (cache read and write above the input, reasoning above the
output), neither is believed to be less than it is: the larger of the total and their sum is priced at the plain rate,
without a discount, and flagged.

Where a long input makes a call dearer, all of its tokens are priced by the rates of its length.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from math import ceil
from operator import attrgetter

from creditmeter.core.amounts import MAX_AMOUNT, ZERO, Microcredits, format_credits
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import IMAGE, MAX_TOKENS, TEXT, TOOL, PriceUnit, RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices
from creditmeter.core.prices.token_costs import (
    EXACTLY,
    NOTHING,
    cost_of,
    input_cost,
    input_parts,
    output_cost,
    output_parts,
    worst_cost,
)
from creditmeter.core.work import ChargeFlag, Usage, Work

MAX_QUANTITY = 10**9
"""The most items that one call may count."""

_DIVISION = Context(prec=28)
_WHOLE = Decimal(1)
_TOKEN_COUNTS = (
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
_token_counts = attrgetter(*_TOKEN_COUNTS)


@dataclass(frozen=True, slots=True)
class Price:
    """What a call costs.

    `microcredits` is what is charged; `exact_credits` is the price before rounding, minimum and cap; `cost_usd` is the
    same in dollars, without the card's markup (exact for what is priced in dollars, else 28 digits of a quotient).
    """

    microcredits: Microcredits
    exact_credits: Decimal
    cost_usd: Decimal
    flags: tuple[ChargeFlag, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a work can cost, and the output tokens that this pays for (None: it is not counted in tokens)."""

    microcredits: Microcredits
    max_output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The card has no price for this. It is never 0 for that."""

    action: str
    provider: str
    model: str
    message: str
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A field that a price needs is missing or out of range. An empty field means all of them together."""

    field: str
    message: str


_FREE = Price(ZERO, NOTHING, NOTHING)


def price_usage(
    card: RateCard, usage: Usage, at: Instant, *, by_fallback: bool = True, is_fact: bool = False
) -> Price | Unpriced | Invalid:
    """Price what a call did that began at a moment, at the model that served it if it is known, and if that has no price by
    the card's fallback, unless that is not to count.

    Text needs `input_tokens` and `output_tokens` (see `complete_usage`); everything else counts items, 1 unless told. A price
    above MAX_AMOUNT is invalid; that of a fact, which must not be lost, is MAX_AMOUNT and flagged CAPPED.
    """
    if not usage.action:
        return Invalid("action", "is needed to find a price")
    if usage.action in card.free:
        return _FREE
    model = usage.response_model or usage.request_model
    is_text = usage.action == TEXT
    price = _price_text(card, usage, model, at, by_fallback=by_fallback) if is_text else _price_items(card, usage, model)
    if not isinstance(price, Price) or price.microcredits <= MAX_AMOUNT:
        return price
    capped = replace(price, microcredits=MAX_AMOUNT, flags=(*price.flags, ChargeFlag.CAPPED))
    return capped if is_fact else _too_dear(price.microcredits)


def complete_usage(usage: Usage, work: Work, bound_output_tokens: int | None = None) -> tuple[Usage, bool]:
    """Fill what a usage leaves unset from the work that it was reserved for.

    A missing count of tokens is taken at its bound, for output tokens `bound_output_tokens` (what the reservation paid
    for) or else the work's. Then the answer's second part is true, and the charge is to be flagged ESTIMATED.
    """
    if bound_output_tokens is None:
        bound_output_tokens = work.max_output_tokens
    complete = replace(
        usage,
        action=usage.action or work.action,
        provider=usage.provider or work.provider,
        request_model=usage.request_model or work.request_model,
        input_tokens=work.input_tokens if usage.input_tokens is None else usage.input_tokens,
        output_tokens=bound_output_tokens if usage.output_tokens is None else usage.output_tokens,
        quantity=work.quantity if usage.quantity is None else usage.quantity,
        variant=usage.variant or work.variant,
        tool=usage.tool or work.tool,
    )
    if complete.action != TEXT:
        return replace(complete, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens), False
    filled_input = complete.input_tokens != usage.input_tokens
    filled_output = complete.output_tokens != usage.output_tokens
    return complete, filled_input or filled_output


def price_bound(card: RateCard, work: Work, at: Instant) -> Bound | Unpriced | Invalid:
    """The worst-case price of a work that begins at a moment: no usage within its bounds, at the model asked for, costs more.

    No token is taken to be cached, and each to be of the dearest class that its model has a rate for: a cache write,
    audio, whatever it may turn out to be. Text needs `input_tokens`. Nothing at all is no work, where it has a price.
    """
    bound = _bound(card, work, at)
    if isinstance(bound, Bound) and bound.microcredits > MAX_AMOUNT:
        return _too_dear(bound.microcredits)
    if work.action == TEXT and isinstance(bound, Bound) and not (work.input_tokens or bound.max_output_tokens):
        some = _bound(card, replace(work, input_tokens=1, max_output_tokens=1), at)
        if not bound.microcredits and isinstance(some, Bound) and some.microcredits:
            return Invalid("input_tokens", "or max_output_tokens must be 1 or more for work that has a price")
    return bound


def _bound(card: RateCard, work: Work, at: Instant) -> Bound | Unpriced | Invalid:
    if not work.action:
        return Invalid("action", "is needed to find a price")
    if work.action in card.free:
        return Bound(ZERO, None)
    if work.action == TEXT:
        return _bound_text(card, work, at)
    price = _price_items(card, work, work.request_model)
    return Bound(price.microcredits, None) if isinstance(price, Price) else price


def affordable_output_tokens(card: RateCard, work: Work, budget: Microcredits, at: Instant) -> int | None:
    """The most output tokens, within the work's bound, whose worst case the budget covers.

    None if it covers not even the input, or if the work is not text with a price.
    """
    bound = price_bound(card, work, at)
    if not isinstance(bound, Bound) or bound.max_output_tokens is None:
        return None
    if bound.microcredits <= budget:
        return bound.max_output_tokens

    def worst_case(output_tokens: int) -> Microcredits:
        smaller = _bound(card, replace(work, max_output_tokens=output_tokens), at)
        assert isinstance(smaller, Bound), "less work than what has a bound has one too"
        return smaller.microcredits

    covered = bisect_right(range(bound.max_output_tokens + 1), budget, key=worst_case)
    return covered - 1 if covered else None


def low_price(card: RateCard, work: Work, bound: Bound, at: Instant) -> Microcredits:
    """The low end of a quote of a work with this bound: for text its input at the rate of its cheapest class, which is that of
    the cache where the model has one, without any output; otherwise the price itself.
    """
    if work.action != TEXT or work.action in card.free:
        return bound.microcredits
    rule, _ = _text_rule(card, work.provider, work.request_model, by_fallback=True)
    assert rule is not None, "what has a bound has a price"
    assert work.input_tokens is not None, "what has a bound has an input"
    prices = rule.prices_at(at)
    least = cost_of(work.input_tokens, prices.for_input(work.input_tokens).lowest_input)
    price = _settled_text(card, rule, prices, least, ())
    assert isinstance(price, Price), "the least is no more than the bound"
    return price.microcredits


def price_text(
    card: RateCard,
    rule: TextRule,
    usage: Usage,
    tokens: tuple[int, int],
    at: Instant,
    flags: tuple[ChargeFlag, ...] = (),
) -> Price:
    """Price so many tokens of input and of output by a rule; `usage` tells their classes apart."""
    prices = rule.prices_at(at)
    input_tokens, output_tokens = max(tokens[0], input_parts(usage)), max(tokens[1], output_parts(usage))
    rates = prices.for_input(input_tokens)
    of_input = input_cost(usage, rates, tokens[0])
    of_output = output_cost(usage, rates, tokens[1])
    if of_input is None or of_output is None:
        flags = (*flags, ChargeFlag.CONTRADICTORY_USAGE)
    if of_input is None:
        of_input = cost_of(input_tokens, rates.input)
    if of_output is None:
        of_output = cost_of(output_tokens, rates.output)
    return _settled_text(card, rule, prices, EXACTLY.add(of_input, of_output), flags)


def _price_text(card: RateCard, usage: Usage, model: str, at: Instant, *, by_fallback: bool) -> Price | Unpriced | Invalid:
    for field, count in zip(_TOKEN_COUNTS, _token_counts(usage), strict=True):
        if count is not None and not 0 <= count <= MAX_TOKENS:
            return _out_of_range(field, count, MAX_TOKENS)
    if usage.input_tokens is None or usage.output_tokens is None:
        missing = "input_tokens" if usage.input_tokens is None else "output_tokens"
        return Invalid(missing, "is needed to price text")
    rule, flags = _text_rule(card, usage.provider, model, by_fallback=by_fallback)
    if rule is None:
        return _unpriced_model(usage, model)
    return price_text(card, rule, usage, (usage.input_tokens, usage.output_tokens), at, flags)


def _bound_text(card: RateCard, work: Work, at: Instant) -> Bound | Unpriced | Invalid:
    if work.input_tokens is None:
        return Invalid("input_tokens", "is needed to bound the price of text")
    output_tokens = card.default_max_output_tokens if work.max_output_tokens is None else work.max_output_tokens
    for field, count in (("input_tokens", work.input_tokens), ("max_output_tokens", output_tokens)):
        if not 0 <= count <= MAX_TOKENS:
            return _out_of_range(field, count, MAX_TOKENS)
    rule, _ = _text_rule(card, work.provider, work.request_model, by_fallback=True)
    if rule is None:
        return _unpriced_model(work, work.request_model)
    prices = rule.prices_at(at)
    worst = _settled_text(card, rule, prices, worst_cost(prices, work.input_tokens, output_tokens), ())
    return Bound(worst.microcredits, output_tokens)


def _text_rule(
    card: RateCard, provider: str, model: str, *, by_fallback: bool
) -> tuple[TextRule | None, tuple[ChargeFlag, ...]]:
    """The rule of the model, or else, if that counts, the card's fallback and the flag that says so."""
    rule = card.text_rule(provider, model)
    if rule is None and by_fallback and card.fallback:
        return card.text_rule("", card.fallback), (ChargeFlag.FALLBACK_PRICE,)
    return rule, ()


def _price_items(card: RateCard, call: Work | Usage, model: str) -> Price | Unpriced | Invalid:
    quantity = 1 if call.quantity is None else call.quantity
    if not 0 <= quantity <= MAX_QUANTITY:
        return _out_of_range("quantity", quantity, MAX_QUANTITY)
    credits_each = _credits_each(card, call, model)
    if not isinstance(credits_each, Decimal):
        return credits_each
    if isinstance(call, Work) and credits_each and not quantity:
        return Invalid("quantity", "must be 1 or more for work that has a price")
    exact_credits = EXACTLY.multiply(credits_each, quantity)
    cost_usd = _DIVISION.divide(exact_credits, card.credits_per_usd)
    return _settled(card, exact_credits, cost_usd, ZERO, ())


def _credits_each(card: RateCard, call: Work | Usage, model: str) -> Decimal | Unpriced | Invalid:
    if call.action == IMAGE:
        return _credits_per_image(card, call, model)
    if call.action == TOOL and card.tools is not None:
        return card.tools.by_name.get(call.tool, card.tools.default) if call.tool else Invalid("tool", "is needed: its name")
    if (rule := card.actions.get(call.action)) is not None:
        return rule.higher_cost if card.is_higher_cost(call.provider, model) else rule.standard
    return Unpriced(call.action, call.provider, model, f"the rate card has no price for the action {call.action!r}")


def _credits_per_image(card: RateCard, call: Work | Usage, model: str) -> Decimal | Unpriced | Invalid:
    rule = card.image_rule(call.provider, model)
    if rule is None:
        return _unpriced_model(call, model)
    price = rule.variants.get(call.variant, rule.credits)
    if price is None:
        variants = ", ".join(rule.variants)
        message = f"the rate card has no price for the variant {call.variant!r} of {model!r}; it has {variants}"
        return Unpriced(call.action, call.provider, model, message, call.variant)
    return price


def _settled_text(card: RateCard, rule: TextRule, prices: TextPrices, cost: Decimal, flags: tuple[ChargeFlag, ...]) -> Price:
    """The price of tokens whose cost is given in millionths of the rule's unit."""
    exact = EXACTLY.add(EXACTLY.scaleb(cost, -6), prices.per_call)
    if rule.unit is PriceUnit.USD:
        exact_credits = EXACTLY.multiply(EXACTLY.multiply(exact, rule.markup), card.credits_per_usd)
        return _settled(card, exact_credits, exact, card.minimum, flags)
    return _settled(card, exact, _DIVISION.divide(exact, card.credits_per_usd), card.minimum, flags)


def _settled(
    card: RateCard, exact_credits: Decimal, cost_usd: Decimal, minimum: Microcredits, flags: tuple[ChargeFlag, ...]
) -> Price:
    """Round once: up to the increment, then the minimum, then the cap."""
    amount = -(-ceil(EXACTLY.scaleb(exact_credits, 6)) // card.increment) * card.increment
    if 0 < amount < minimum:
        amount, flags = minimum, (*flags, ChargeFlag.MINIMUM)
    if card.cap is not None and amount > card.cap:
        amount, flags = card.cap, (*flags, ChargeFlag.CAPPED)
    return Price(Microcredits(amount), _plain(exact_credits), _plain(cost_usd), flags)


def _too_dear(amount: int) -> Invalid:
    return Invalid("", f"costs {format_credits(amount)} credits, above the limit of {format_credits(MAX_AMOUNT)}")


def _plain(number: Decimal) -> Decimal:
    """The same number without trailing zeros and, unlike `Decimal.normalize`, without an exponent."""
    if number == number.to_integral_value():
        return EXACTLY.quantize(number, _WHOLE)
    return EXACTLY.normalize(number)


def _out_of_range(field: str, count: int, limit: int) -> Invalid:
    return Invalid(field, "must not be negative" if count < 0 else f"must not be above {limit:,}")


def _unpriced_model(call: Work | Usage, model: str) -> Unpriced | Invalid:
    if not model:
        return Invalid("request_model", "is needed to find a price")
    of_provider = f" of provider {call.provider!r}" if call.provider else ""
    message = f"the rate card has no price for {call.action} by the model {model!r}{of_provider}"
    return Unpriced(call.action, call.provider, model, message)
