"""What the tokens of a language model cost: rates for each class of tokens, other rates for long inputs, a fee for each call.

Rates are per million tokens. The rule that has them says whether they are in dollars or in credits (`rate_card.PriceUnit`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class TextRates:
    """Prices per million tokens of each class."""

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

    @property
    def highest_input(self) -> Decimal:
        """The highest rate of an input token of any class."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)

    @property
    def lowest_input(self) -> Decimal:
        """The lowest rate of an input token of any class."""
        return min(self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)

    @property
    def highest_output(self) -> Decimal:
        """The highest rate of an output token of any class."""
        return max(self.output, self.reasoning, self.audio_output, self.image_output)


@dataclass(frozen=True, slots=True)
class LongContext:
    """The rates of all tokens of a call whose input has more than `above_input_tokens`."""

    above_input_tokens: int
    rates: TextRates


@dataclass(frozen=True, slots=True)
class TextPrices:
    """What the calls of a language model cost: rates of tokens, other rates for long inputs, and a fee for each call.

    `long_context` is in ascending order of `above_input_tokens`.
    """

    rates: TextRates
    long_context: tuple[LongContext, ...] = ()
    per_call: Decimal = _ZERO

    @property
    def dearest(self) -> tuple[Decimal, ...]:
        """The fee for a call, and for each length of input the highest rates of an input and of an output token."""
        rates = (self.rates, *(tier.rates for tier in self.long_context))
        return (self.per_call, *(price for each in rates for price in (each.highest_input, each.highest_output)))

    def for_input(self, tokens: int) -> TextRates:
        """The rates of a call with so many input tokens."""
        found = self.rates
        for tier in self.long_context:
            if tokens <= tier.above_input_tokens:
                break
            found = tier.rates
        return found
