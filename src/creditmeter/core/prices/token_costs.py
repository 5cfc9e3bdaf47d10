"""What tokens cost: the classes of one count of input and one of output, each at its rate, summed exactly.

Input tokens are read as classes of one total: cached or not, text, audio, image or video. A usage may say how many of the
cached tokens were audio or images. Where it does not, the cache discount goes to the tokens that the other classes leave over.
Output tokens are read in the same way.

Rates are per million tokens, so tokens times a rate are millionths of the unit that the rate is in.
"""

from collections.abc import Mapping
from decimal import Decimal

from creditmeter.core.prices.rate_card import PriceUnit, RateCard, TextRule
from creditmeter.core.prices.rates import TextPrices, TextRates
from creditmeter.core.prices.rounding import EXACTLY, NOTHING, in_dollars
from creditmeter.core.work import Usage

VIDEO_INPUT = "video_input_tokens"
CITATIONS = "citation_tokens"

RARE_COUNTS: Mapping[str, str] = {
    "cached_audio_input_tokens": "cached_audio",
    "cached_image_input_tokens": "cached_image",
    VIDEO_INPUT: "video_input",
    "video_output_tokens": "video_output",
    CITATIONS: "citation",
}
"""The counts of tokens that a usage has among its `units`, and the classes that they count.

Cached audio and images are parts of the cached tokens and of the audio and images; video is a part of the input or output.
Citation tokens are beside input and output, as Perplexity counts them (https://docs.perplexity.ai/getting-started/pricing).
"""


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
    kinds = (usage.audio_output_tokens or 0) + (usage.image_output_tokens or 0) + usage.units.get("video_output_tokens", 0)
    return (usage.reasoning_output_tokens or 0) + kinds


def input_cost(usage: Usage, rates: TextRates, tokens: int) -> Decimal | None:
    """The cost of so many input tokens, in millionths of the rates' unit; None if the parts contradict them or each other."""
    kept_1h = usage.cache_creation_1h_input_tokens or 0
    written = kept_1h if usage.cache_creation_input_tokens is None else usage.cache_creation_input_tokens
    if usage.units:
        return _input_cost_with_rare(usage, rates, tokens, (written, kept_1h))
    read = usage.cache_read_input_tokens or 0
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


def _input_cost_with_rare(usage: Usage, rates: TextRates, tokens: int, cached: tuple[int, int]) -> Decimal | None:
    """The same as `input_cost` where the usage has counts of rarer classes: cached audio is known to be of two at once.

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
        (audio - cached_audio, rates.audio_input),
        (image - cached_image, rates.image_input),
        (cached_audio, rates.of_rare("cached_audio")),
        (cached_image, rates.of_rare("cached_image")),
        (video, rates.of_rare("video_input")),
        (kept_1h, rates.cache_write_1h),
        (written - kept_1h, rates.cache_write),
        (read - cached_audio - cached_image, rates.cache_read),
    )
    return cost_of(tokens, rates.input, dearest_first)


def citation_cost(usage: Usage, rates: TextRates) -> Decimal:
    """The cost of citation tokens, which are beside input and output, in millionths of the rates' unit."""
    tokens = usage.units.get("citation_tokens", 0) if usage.units else 0
    return EXACTLY.multiply(tokens, rates.of_rare("citation")) if tokens else NOTHING


def output_cost(usage: Usage, rates: TextRates, tokens: int) -> Decimal | None:
    """The cost of so many output tokens, in millionths of the rates' unit; None if the parts contradict them."""
    reasoning = usage.reasoning_output_tokens or 0
    audio, image = usage.audio_output_tokens or 0, usage.image_output_tokens or 0
    video = usage.units.get("video_output_tokens", 0) if usage.units else 0
    if reasoning + audio + image + video > tokens:
        return None
    classes = ((reasoning, rates.reasoning), (audio, rates.audio_output), (image, rates.image_output))
    of_video = ((video, rates.of_rare("video_output")),) if video else ()
    return cost_of(tokens, rates.output, classes + of_video)


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
