"""What tokens cost: the classes of one count of input and one of output, each at its rate, summed exactly.

A class takes its tokens from the count, and what is left in the end is plain. Classes that contradict the count have no price.
"""

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.work import Usage

EXACTLY = Context(prec=100, traps=[DivisionByZero, Inexact, InvalidOperation, Overflow])
NOTHING = Decimal(0)


def worst_cost(prices: TextPrices, input_tokens: int, output_tokens: int) -> Decimal:
    """The most that tokens within these bounds cost, in millionths of the prices' unit: by the rates of any length of input up
    to the bound, since a shorter input need not be cheaper.
    """
    ends = [tier.above_input_tokens for tier in prices.long_context if tier.above_input_tokens < input_tokens]
    worst = NOTHING
    for tokens in (*ends, input_tokens):
        rates = prices.for_input(tokens)
        worst = max(worst, EXACTLY.fma(output_tokens, rates.highest_output, cost_of(tokens, rates.highest_input)))
    return worst


def input_parts(usage: Usage) -> int:
    """As many input tokens as its parts add up to at least: those of the cache are of any kind."""
    written = max(usage.cache_creation_input_tokens or 0, usage.cache_creation_1h_input_tokens or 0)
    kinds = (usage.audio_input_tokens or 0) + (usage.image_input_tokens or 0)
    return max((usage.cache_read_input_tokens or 0) + written, kinds)


def output_parts(usage: Usage) -> int:
    """As many output tokens as its parts add up to."""
    return (usage.reasoning_output_tokens or 0) + (usage.audio_output_tokens or 0) + (usage.image_output_tokens or 0)


def input_cost(usage: Usage, rates: TextRates, tokens: int) -> Decimal | None:
    """The cost of the input, in millionths of the rates' unit; None if its parts contradict it or each other."""
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
    """The cost of the output, in millionths of the rates' unit; None if its parts contradict it."""
    reasoning = usage.reasoning_output_tokens or 0
    audio, image = usage.audio_output_tokens or 0, usage.image_output_tokens or 0
    if reasoning + audio + image > tokens:
        return None
    classes = ((reasoning, rates.reasoning), (audio, rates.audio_output), (image, rates.image_output))
    return cost_of(tokens, rates.output, classes)


def cost_of(tokens: int, plain_rate: Decimal, classes: tuple[tuple[int, Decimal], ...] = ()) -> Decimal:
    """Each class takes its tokens from what the ones before it left; what is left in the end is plain."""
    cost = NOTHING
    for count, rate in classes:
        if count and tokens:
            taken = min(count, tokens)
            cost = EXACTLY.fma(taken, rate, cost)
            tokens -= taken
    return EXACTLY.fma(tokens, plain_rate, cost)
