"""What the tokens of a language model cost: rates for each class of tokens, other rates for long inputs, a fee for each call.

Rates are per million tokens. The rule that has them says whether they are in dollars or in credits (`rate_card.PriceUnit`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

_ZERO = Decimal(0)

STAND_INS: Mapping[str, str] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
    "audio_input": "input",
    "audio_output": "output",
    "image_input": "input",
    "image_output": "output",
}
"""For each class of tokens that may have no rate of its own, the class whose rate it takes then."""

RARE_STAND_INS: Mapping[str, str] = {
    "cached_audio": "audio_input",
    "cached_image": "image_input",
    "video_input": "input",
    "video_output": "output",
    "citation": "input",
}
"""The same for the classes that few models have a rate for.

Cached audio and images without a rate cost what audio and images do; where these cost what text does, what cached text does.
Citation tokens are what a research model read of the pages that it found. They are beside the other input.
"""

_RARE_INPUTS = ("cached_audio", "cached_image", "video_input")


@dataclass(frozen=True, slots=True)
class TextRates:
    """Prices per million tokens of each class. `rare` has those of `RARE_STAND_INS` that the model has a rate for."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    reasoning: Decimal
    audio_input: Decimal
    audio_output: Decimal
    image_input: Decimal
    image_output: Decimal
    rare: Mapping[str, Decimal] = field(default_factory=dict, kw_only=True)

    @property
    def highest_input(self) -> Decimal:
        """The highest rate of an input token of any class."""
        return max(self._inputs)

    @property
    def lowest_input(self) -> Decimal:
        """The lowest rate of an input token of any class."""
        return min(self._inputs)

    @property
    def highest_output(self) -> Decimal:
        """The highest rate of an output token of any class."""
        return max(self.output, self.reasoning, self.audio_output, self.image_output, self.of_rare("video_output"))

    @property
    def _inputs(self) -> tuple[Decimal, ...]:
        common = self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input
        return (*common, *(self.rare[name] for name in _RARE_INPUTS if name in self.rare))

    def of_rare(self, token_class: str) -> Decimal:
        """The rate of a class of `RARE_STAND_INS`: its own, or that of the class that stands in for it."""
        own = self.rare.get(token_class)
        if own is not None:
            return own
        stand_in: Decimal = getattr(self, RARE_STAND_INS[token_class])
        is_cached_as_text = token_class in ("cached_audio", "cached_image") and stand_in == self.input
        return self.cache_read if is_cached_as_text else stand_in


@dataclass(frozen=True, slots=True)
class LongContext:
    """The rates of all tokens of a call whose input has more than `above_input_tokens`."""

    above_input_tokens: int
    rates: TextRates


@dataclass(frozen=True, slots=True)
class TextPrices:
    """What the calls of a language model cost: rates of tokens, other rates for long inputs, and fees.

    `long_context` is in ascending order of `above_input_tokens`. `per_call` is the fee for each call. `fees` are the fees for a
    thousand of other units that a provider counts, by name: `web_searches` and the like. They are always in dollars.
    """

    rates: TextRates
    long_context: tuple[LongContext, ...] = ()
    per_call: Decimal = _ZERO
    fees: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def dearest(self) -> tuple[Decimal, ...]:
        """The fee for a call, other fees, and for each length of input the highest rates of an input, an output and a citation
        token.
        """
        rates = (self.rates, *(tier.rates for tier in self.long_context))
        highest = ((each.highest_input, each.highest_output, each.of_rare("citation")) for each in rates)
        return (self.per_call, *self.fees.values(), *(price for each in highest for price in each))

    def above(self, tokens: int) -> int:
        """Above how many input tokens the rates of a call with so many apply; 0 if they are those of any input."""
        return max((tier.above_input_tokens for tier in self.long_context if tokens > tier.above_input_tokens), default=0)

    def for_input(self, tokens: int) -> TextRates:
        """The rates of a call with so many input tokens."""
        found = self.rates
        for tier in self.long_context:
            if tokens <= tier.above_input_tokens:
                break
            found = tier.rates
        return found
