"""What tokens cost: the classes of one count of input and one of output, each at its rate, summed exactly.

Input tokens are read as classes of one total: cached or not, text, audio, image or video. A usage may say how many of the
cached tokens were audio or images. Where it does not, the cache discount goes to the tokens that the other classes leave over.
Output tokens are read in the same way.

Rates are per million tokens, so tokens times a rate are millionths of the unit that the rate is in.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias

from creditmeter.core.prices.rate_card import PriceUnit, RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, in_dollars
from creditmeter.core.work import Usage

VIDEO_INPUT = "video_input_tokens"
VIDEO_OUTPUT = "video_output_tokens"
CITATIONS = "citation_tokens"

RARE_COUNTS: Mapping[str, str] = {
    "cached_audio_input_tokens": "cached_audio",
    "cached_image_input_tokens": "cached_image",
    VIDEO_INPUT: "video_input",
    VIDEO_OUTPUT: "video_output",
    CITATIONS: "citation",
}
"""The counts of tokens that a usage has among its `units`, and the classes that they count.

Cached audio and images are parts of the cached tokens and of the audio and images; video is a part of the input or output.
Citation tokens are beside input and output, as Perplexity counts them (https://docs.perplexity.ai/getting-started/pricing).
"""


Tokens: TypeAlias = tuple[str, int, Decimal]
"""So many tokens of a class, named as their count is, and their rate."""


def exact_price(
    card: RateCard, rule: TextRule, prices: TextPrices, tokens_cost: Decimal, fees_usd: Decimal = NOTHING
) -> tuple[Decimal, Decimal]:
    """The exact price of a call in credits, and the same in dollars without the card's markup.

    `tokens_cost` is the cost of the call's tokens, in millionths of the rule's unit. `fees_usd` are the fees beside them.
    """
    exact = EXACTLY.add(EXACTLY.scaleb(tokens_cost, -6), prices.per_call)
    if rule.unit is PriceUnit.USD:
        exact = EXACTLY.add(exact, fees_usd)
        return EXACTLY.multiply(EXACTLY.multiply(exact, rule.markup), card.credits_per_usd), exact
    exact = EXACTLY.fma(fees_usd, card.credits_per_usd, exact)
    return exact, in_dollars(card, exact)


def input_parts(usage: Usage) -> int:
    """The fewest input tokens that the parts of the usage can add up to. Cached tokens may be of any kind."""
    written = max(usage.cache_creation_input_tokens or 0, usage.cache_creation_1h_input_tokens or 0)
    read, audio, image = _read_and_kinds(usage)
    return max(read + written, audio + image + usage.units.get(VIDEO_INPUT, 0))


def output_parts(usage: Usage) -> int:
    """The output tokens that the parts of the usage add up to."""
    kinds = (usage.audio_output_tokens or 0) + (usage.image_output_tokens or 0) + usage.units.get(VIDEO_OUTPUT, 0)
    return (usage.reasoning_output_tokens or 0) + kinds


def input_classes(usage: Usage, rates: TextRates, tokens: int) -> list[Tokens] | None:
    """So many input tokens by their classes; None if the parts contradict them or each other."""
    kept_1h = usage.cache_creation_1h_input_tokens or 0
    written = kept_1h if usage.cache_creation_input_tokens is None else usage.cache_creation_input_tokens
    if usage.units:
        return _input_with_rare(usage, rates, tokens, (written, kept_1h))
    read = usage.cache_read_input_tokens or 0
    audio, image = usage.audio_input_tokens or 0, usage.image_input_tokens or 0
    if not (read or written or kept_1h or audio or image):
        return [all_input(rates, tokens)]
    if read + written > tokens or kept_1h > written or audio + image > tokens:
        return None
    dearest_first = (
        ("audio_input_tokens", audio, rates.audio_input),
        ("image_input_tokens", image, rates.image_input),
        ("cache_creation_1h_input_tokens", kept_1h, rates.cache_write_1h),
        ("cache_creation_input_tokens", written - kept_1h, rates.cache_write),
        ("cache_read_input_tokens", read, rates.cache_read),
    )
    return _taken(all_input(rates, tokens), dearest_first)


def _read_and_kinds(usage: Usage) -> tuple[int, int, int]:
    """The tokens that were read from the cache, those of audio, and those of images.

    Where only the cached tokens of a kind are told, they are all that there are.
    """
    read, audio, image = usage.cache_read_input_tokens, usage.audio_input_tokens, usage.image_input_tokens
    if usage.units:
        cached_audio, cached_image = _cached_kinds(usage)
        read = cached_audio + cached_image if read is None else read
        audio = cached_audio if audio is None else audio
        image = cached_image if image is None else image
    return read or 0, audio or 0, image or 0


def _cached_kinds(usage: Usage) -> tuple[int, int]:
    return usage.units.get("cached_audio_input_tokens", 0), usage.units.get("cached_image_input_tokens", 0)


def _input_with_rare(usage: Usage, rates: TextRates, tokens: int, cached: tuple[int, int]) -> list[Tokens] | None:
    """The same as `input_classes` where the usage has counts of rarer classes: cached audio is known to be of two at once.

    `cached` are the tokens that were written to the cache, and those of them that are kept for an hour.
    """
    written, kept_1h = cached
    read, audio, image = _read_and_kinds(usage)
    cached_audio, cached_image = _cached_kinds(usage)
    video = usage.units.get(VIDEO_INPUT, 0)
    if read + written > tokens or kept_1h > written or audio + image + video > tokens:
        return None
    if cached_audio > audio or cached_image > image or cached_audio + cached_image > read:
        return None
    dearest_first = (
        ("audio_input_tokens", audio - cached_audio, rates.audio_input),
        ("image_input_tokens", image - cached_image, rates.image_input),
        ("cached_audio_input_tokens", cached_audio, rates.of_rare("cached_audio")),
        ("cached_image_input_tokens", cached_image, rates.of_rare("cached_image")),
        ("video_input_tokens", video, rates.of_rare("video_input")),
        ("cache_creation_1h_input_tokens", kept_1h, rates.cache_write_1h),
        ("cache_creation_input_tokens", written - kept_1h, rates.cache_write),
        ("cache_read_input_tokens", read - cached_audio - cached_image, rates.cache_read),
    )
    return _taken(all_input(rates, tokens), dearest_first)


def citations(usage: Usage, rates: TextRates) -> list[Tokens]:
    """The citation tokens, which are beside input and output."""
    tokens = usage.units.get("citation_tokens", 0)
    return [("citation_tokens", tokens, rates.of_rare("citation"))] if tokens else []


def output_classes(usage: Usage, rates: TextRates, tokens: int) -> list[Tokens] | None:
    """So many output tokens by their classes; None if the parts contradict them."""
    reasoning = usage.reasoning_output_tokens or 0
    audio, image = usage.audio_output_tokens or 0, usage.image_output_tokens or 0
    video = usage.units.get(VIDEO_OUTPUT, 0) if usage.units else 0
    if not (reasoning or audio or image or video):
        return [all_output(rates, tokens)]
    if reasoning + audio + image + video > tokens:
        return None
    classes = (
        ("reasoning_output_tokens", reasoning, rates.reasoning),
        ("audio_output_tokens", audio, rates.audio_output),
        ("image_output_tokens", image, rates.image_output),
    )
    of_video = ((VIDEO_OUTPUT, video, rates.of_rare("video_output")),) if video else ()
    return _taken(all_output(rates, tokens), classes + of_video)


def all_input(rates: TextRates, tokens: int) -> Tokens:
    """Input tokens without a class of their own."""
    return "input_tokens", tokens, rates.input


def all_output(rates: TextRates, tokens: int) -> Tokens:
    """Output tokens without a class of their own."""
    return "output_tokens", tokens, rates.output


def _taken(whole: Tokens, classes: tuple[Tokens, ...]) -> list[Tokens]:
    """The whole by its classes: each takes its tokens from those that the classes before it left.

    The rest comes first, also if it is none.
    """
    plain, tokens, plain_rate = whole
    found = [whole]
    for name, count, rate in classes:
        if count and tokens:
            taken = min(count, tokens)
            found.append((name, taken, rate))
            tokens -= taken
    found[0] = plain, tokens, plain_rate
    return found


def sum_of_tokens(classes: Iterable[Tokens]) -> Decimal:
    """The cost of all of these tokens, in millionths of the rates' unit."""
    cost, fma = NOTHING, EXACTLY.fma
    for _, count, rate in classes:
        cost = fma(count, rate, cost)
    return cost


def cost_of(tokens: int, rate: Decimal) -> Decimal:
    """The cost of so many tokens of one class, in millionths of the rate's unit."""
    return EXACTLY.multiply(tokens, rate)
