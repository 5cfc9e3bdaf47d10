"""The most that the tokens of work cost, within what the work says of them.

Input that the work says nothing else of is plain: each token costs what a plain or a cached one does, whichever is more. As
many tokens as the work says may be written to a cache, or be audio, images or video, cost what these do, where that is more.
Output may be of any class, because few models have more than one. Tokens beyond what the work says are not in the worst case.
"""

from collections.abc import Iterator
from decimal import Decimal

from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.rounding import EXACTLY, NOTHING
from creditmeter.core.prices.token_costs import CITATIONS, VIDEO_INPUT
from creditmeter.core.work import Work

_PARTS = ("cache_creation_input_tokens", "cache_creation_1h_input_tokens", "audio_input_tokens", "image_input_tokens")


def worst_cost(prices: TextPrices, work: Work, output_tokens: int) -> Decimal:
    """The most that the tokens of work with so many output tokens cost, in millionths of the prices' unit.

    The rates of every length of input up to the work's are tried, because a shorter input may be dearer.
    """
    assert work.input_tokens is not None, "text has an input"
    ends = [tier.above_input_tokens for tier in prices.long_context if tier.above_input_tokens < work.input_tokens]
    worst = NOTHING
    for tokens in (*ends, work.input_tokens):
        rates = prices.for_input(tokens)
        cost = EXACTLY.fma(output_tokens, rates.highest_output, _input_cost(rates, work, tokens))
        worst = max(worst, EXACTLY.fma(work.units.get(CITATIONS, 0), rates.of_rare("citation"), cost))
    return worst


def wrong_parts(work: Work) -> Iterator[tuple[str, str]]:
    """Each count of the work that says more of a part of the input than there can be, and what is wrong with it."""
    tokens = work.input_tokens or 0
    counts = {name: getattr(work, name) for name in _PARTS} | {f"units.{VIDEO_INPUT}": work.units.get(VIDEO_INPUT, 0)}
    for name, count in counts.items():
        if not 0 <= count <= tokens:
            yield name, "must not be negative" if count < 0 else "must not be above input_tokens, of which it is a part"
    if work.cache_creation_1h_input_tokens > work.cache_creation_input_tokens > 0:
        yield "cache_creation_1h_input_tokens", "must not be above cache_creation_input_tokens, of which it is a part"
    kinds = {name: count for name, count in counts.items() if count and not name.startswith("cache")}
    if sum(kinds.values()) > tokens >= max(kinds.values()):
        yield next(iter(kinds)), f"must not be above input_tokens together with {' and '.join([*kinds][1:])}"


def _input_cost(rates: TextRates, work: Work, tokens: int) -> Decimal:
    """The most that so many input tokens of the work cost: the dearest of its classes come first."""
    plain = max(rates.input, rates.cache_read)
    write = max(plain, rates.cache_write)
    kept_1h = work.cache_creation_1h_input_tokens
    written = work.cache_creation_input_tokens or kept_1h
    classes = (
        (kept_1h, max(write, rates.cache_write_1h)),
        (written - kept_1h, write),
        (work.audio_input_tokens, max(plain, rates.audio_input, rates.of_rare("cached_audio"))),
        (work.image_input_tokens, max(plain, rates.image_input, rates.of_rare("cached_image"))),
        (work.units.get(VIDEO_INPUT, 0), max(plain, rates.of_rare("video_input"))),
    )
    cost = NOTHING
    for count, rate in sorted(classes, key=lambda each: each[1], reverse=True):
        taken = min(count, tokens)
        cost = EXACTLY.fma(taken, rate, cost)
        tokens -= taken
    return EXACTLY.fma(tokens, plain, cost)
