"""What the tokens of a language model cost: rates by class of token, other ones for long inputs, a fee for each call.

In whatever unit whoever uses them says, per million tokens.
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
"""For each class of tokens but the plain ones the class whose rate counts where it has none of its own."""


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
        """What an input token costs at most, whatever it turns out to be."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)

    @property
    def lowest_input(self) -> Decimal:
        """What an input token costs at least, whatever it turns out to be."""
        return min(self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)

    @property
    def highest_output(self) -> Decimal:
        """What an output token costs at most, whatever it turns out to be."""
        return max(self.output, self.reasoning, self.audio_output, self.image_output)


@dataclass(frozen=True, slots=True)
class LongContext:
    """The rates of all tokens of a call whose input is above so many tokens."""

    above_input_tokens: int
    rates: TextRates


@dataclass(frozen=True, slots=True)
class TextPrices:
    """What the calls of a language model cost: by tokens, dearer or cheaper with a long input, and for each call.

    `long_context` is in ascending order.
    """

    rates: TextRates
    long_context: tuple[LongContext, ...] = ()
    per_call: Decimal = _ZERO

    @property
    def dearest(self) -> tuple[Decimal, ...]:
        """The dearest price of a token of each side, whatever the length of the input, and that of a call."""
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
