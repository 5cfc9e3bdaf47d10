"""Rate cards and usages for properties of prices: of one model, `m`, and in all else any."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import ActionRule, ImageRule, PriceUnit, RateCard, TextRule, ToolRules
from creditmeter.core.prices.rates import RARE_STAND_INS, LongContext, TextPrices, TextRates
from creditmeter.core.prices.token_costs import RARE_COUNTS, input_parts, output_parts
from creditmeter.core.prices.usage_costs import TOKEN_COUNTS
from creditmeter.core.work import Usage, Work

rates = st.decimals(0, 1000, places=3)
counts = st.integers(0, 100_000)
parts = st.none() | counts
rare_counts = st.dictionaries(st.sampled_from([name for name in RARE_COUNTS if name != "citation_tokens"]), counts, max_size=2)
amounts = st.integers(0, 5_000_000).map(Microcredits)


@st.composite
def prices(draw: st.DrawFn) -> TextPrices:
    """Prices of tokens, with up to two lengths of input from which others apply, which need not be higher."""
    some_rare = st.dictionaries(st.sampled_from([*RARE_STAND_INS]), rates)
    all_rates = st.builds(lambda each, rare: TextRates(*each, rare=rare), st.lists(rates, min_size=10, max_size=10), some_rare)
    above = sorted(draw(st.sets(st.integers(0, 100_000), max_size=2)))
    tiers = tuple(LongContext(tokens, draw(all_rates)) for tokens in above)
    return TextPrices(draw(all_rates), tiers, draw(st.sampled_from([Decimal(0), Decimal("0.005")])))


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    """A card with one model, in any unit, with any bounds."""
    increment = Microcredits(draw(st.sampled_from([1, 1_000, 250_000, 1_000_000, 3_000_000])))
    rule = TextRule(model="m", unit=draw(st.sampled_from(PriceUnit)), prices=draw(prices()))
    minimum = draw(amounts)
    cap = draw(st.none() | amounts)
    return RateCard(
        version="v",
        effective_from=Instant(0),
        credits_per_usd=draw(st.decimals("0.01", 1000, places=2)),
        increment=increment,
        minimum=minimum,
        cap=None if cap is None else Microcredits(minimum + cap + 1),
        default_max_output_tokens=draw(st.integers(1, 100_000)),
        text=(rule,),
        images=(ImageRule(model="m", credits=draw(rates), variants={}),),
        tools=ToolRules(draw(rates), {}),
        actions={"engagement": ActionRule(Decimal(1), Decimal(2))},
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage of text, contradictory ones too, without citations."""
    fields: dict[str, Any] = {field: draw(parts) for field in TOKEN_COUNTS}
    units = draw(st.just({}) | rare_counts)
    return Usage("text", "", "m", **(fields | {"input_tokens": draw(counts), "output_tokens": draw(counts)}), units=units)


def work_for(usage: Usage, more_input: int = 0, more_output: int = 0) -> Work:
    """Work that says all of this usage, however its parts contradict each other, and so many more tokens."""
    units = usage.units
    audio, image = units.get("cached_audio_input_tokens", 0), units.get("cached_image_input_tokens", 0)
    kept_1h = usage.cache_creation_1h_input_tokens or 0
    return Work(
        "text",
        "",
        "m",
        max(usage.input_tokens or 0, input_parts(usage)) + more_input,
        max(usage.output_tokens or 0, output_parts(usage)) + more_output,
        cache_creation_input_tokens=max(usage.cache_creation_input_tokens or 0, kept_1h),
        cache_creation_1h_input_tokens=kept_1h,
        units={"video_input_tokens": units.get("video_input_tokens", 0), "citation_tokens": units.get("citation_tokens", 0)},
        audio_input_tokens=audio if usage.audio_input_tokens is None else usage.audio_input_tokens,
        image_input_tokens=image if usage.image_input_tokens is None else usage.image_input_tokens,
    )
