"""What tokens cost: the classes of one count of input and one of output, each at its rate, summed exactly.

Input tokens are read as classes of one total: cached or not, text, audio or image. Nothing says how many of the cached tokens
were audio. So where classes overlap, the cache discount goes to the tokens that the other classes leave over. Output tokens
are read in the same way.

Rates are per million tokens, so tokens times a rate are millionths of the unit that the rate is in.
"""

from decimal import Decimal

from creditmeter.core.prices.rate_card import PriceUnit, RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, in_dollars
from creditmeter.core.work import Usage


def exact_price(card: RateCard, rule: TextRule, prices: TextPrices, tokens_cost: Decimal) -> tuple[Decimal, Decimal]:
    """The exact price of a call in credits, and the same in dollars without the card's markup.

    `tokens_cost` is the cost of the call's tokens, in millionths of the rule's unit.
    """
    exact = EXACTLY.add(EXACTLY.scaleb(tokens_cost, -6), prices.per_call)
    if rule.unit is PriceUnit.USD:
        return EXACTLY.multiply(EXACTLY.multiply(exact, rule.markup), card.credits_per_usd), exact
    return exact, in_dollars(card, exact)


def worst_cost(prices: TextPrices, input_tokens: int, output_tokens: int) -> Decimal:
    """The most that tokens within these bounds cost, in millionths of the prices' unit.

    The rates of every length of input up to the bound are tried, because a shorter input may be dearer.
    """
    ends = [tier.above_input_tokens for tier in prices.long_context if tier.above_input_tokens < input_tokens]
    worst = NOTHING
    for tokens in (*ends, input_tokens):
        rates = prices.for_input(tokens)
        worst = max(worst, EXACTLY.fma(output_tokens, rates.highest_output, cost_of(tokens, rates.highest_input)))
    return worst


def input_parts(usage: Usage) -> int:
    """The fewest input tokens that the parts of the usage can add up to. Cached tokens may be of any kind."""
    written = max(usage.cache_creation_input_tokens or 0, usage.cache_creation_1h_input_tokens or 0)
    kinds = (usage.audio_input_tokens or 0) + (usage.image_input_tokens or 0)
    return max((usage.cache_read_input_tokens or 0) + written, kinds)


def output_parts(usage: Usage) -> int:
    """The output tokens that the parts of the usage add up to."""
    return (usage.reasoning_output_tokens or 0) + (usage.audio_output_tokens or 0) + (usage.image_output_tokens or 0)


def input_cost(usage: Usage, rates: TextRates, tokens: int) -> Decimal | None:
    """The cost of so many input tokens, in millionths of the rates' unit; None if the parts contradict them or each other."""
    read = usage.cache_read_input_tokens or 0
    kept_1h = usage.cache_creation_1h_input_tokens or 0
    written = kept_1h if usage.cache_creation_input_tokens is None else usage.cache_creation_input_tokens
    audio, image = usage.audio_input_tokens or 0, usage.image_input_tokens or 0
    if read + written > tokens or kept_1h > written or audio + image > tokens:
        return None
    dearest_first = (
        (audio, rates.audio_input),
        (image, rates.image_input),
        (kept_1h, rates.cache_write_1h),
        (written - kept_1h, rates.cache_write),
        (read, rates.cache_read),
    )
    return cost_of(tokens, rates.input, dearest_first)


def output_cost(usage: Usage, rates: TextRates, tokens: int) -> Decimal | None:
    """The cost of so many output tokens, in millionths of the rates' unit; None if the parts contradict them."""
    reasoning = usage.reasoning_output_tokens or 0
    audio, image = usage.audio_output_tokens or 0, usage.image_output_tokens or 0
    if reasoning + audio + image > tokens:
        return None
    classes = ((reasoning, rates.reasoning), (audio, rates.audio_output), (image, rates.image_output))
    return cost_of(tokens, rates.output, classes)


def cost_of(tokens: int, plain_rate: Decimal, classes: tuple[tuple[int, Decimal], ...] = ()) -> Decimal:
    """The cost of so many tokens, in millionths of the rates' unit.

    `classes` are counts and their rates. Each class takes its tokens from those that the classes before it left. What is left
    in the end has the plain rate.
    """
    cost = NOTHING
    for count, rate in classes:
        if count and tokens:
            taken = min(count, tokens)
            cost = EXACTLY.fma(taken, rate, cost)
            tokens -= taken
    return EXACTLY.fma(tokens, plain_rate, cost)
