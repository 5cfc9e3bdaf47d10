"""Rates of audio and images that a price list leaves out, where its rates of text would charge too little in silence.

* OpenRouter sells at the makers' prices, and the list has only the rates of text for most of its models. A class without a rate
  of its own has that of the same model at its maker, if the rates of text are the same there
  (https://openrouter.ai/docs/guides/overview/multimodal/image-generation).
* OpenAI's first models of audio have rates of text alone in the list: `_OF_AUDIO` has what OpenAI charges for their audio
  (https://platform.openai.com/docs/pricing).

A list that has a rate of its own is believed.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from creditmeter.core.prices.model_names import behind_seller
from creditmeter.core.prices.price_list import Listed, PriceList
from creditmeter.core.prices.providers import OPEN_GATEWAY
from creditmeter.core.prices.rates import STAND_INS, TextPrices, TextRates

_CLASSES = ("audio_input", "audio_output", "image_input", "image_output")
_OF_AUDIO: Mapping[tuple[str, str], Mapping[str, Decimal]] = {
    ("openai", "gpt-4o-audio-preview"): {"audio_input": Decimal(40), "audio_output": Decimal(80)},
    ("openai", "gpt-4o-mini-audio-preview"): {"audio_input": Decimal(10), "audio_output": Decimal(20)},
}


def with_left_out(listed: Listed, price_list: PriceList) -> Listed:
    """A model of a price list with the rates that the list leaves out."""
    own = _OF_AUDIO.get((listed.provider, listed.model.model))
    if own is not None:
        return _changed(listed, lambda rates, _: _filled(rates, own))
    address = behind_seller("", listed.model.model) if listed.provider == OPEN_GATEWAY else None
    maker = price_list.find(*address) if address is not None and address.provider != OPEN_GATEWAY else None
    if maker is None:
        return listed
    others = maker.model.prices[-1].prices
    return _changed(listed, lambda rates, tokens: _as_at_maker(rates, others.for_input(tokens)))


def _changed(listed: Listed, change: Callable[[TextRates, int], TextRates]) -> Listed:
    """A model whose rates for inputs of so many tokens, and of each length above that, are changed."""

    def changed(prices: TextPrices) -> TextPrices:
        longer = (replace(each, rates=change(each.rates, each.above_input_tokens + 1)) for each in prices.long_context)
        return replace(prices, rates=change(prices.rates, 0), long_context=tuple(longer))

    every = tuple(replace(each, prices=changed(each.prices)) for each in listed.model.prices)
    return listed if every == listed.model.prices else replace(listed, model=replace(listed.model, prices=every))


def _as_at_maker(rates: TextRates, others: TextRates) -> TextRates:
    if (rates.input, rates.output) != (others.input, others.output):
        return rates
    filled = _filled(rates, {name: getattr(others, name) for name in _CLASSES})
    return replace(filled, rare={**others.rare, **rates.rare})


def _filled(rates: TextRates, others: Mapping[str, Decimal]) -> TextRates:
    """The rates, with those of others for each class that has only the rate of text."""
    missing = {name: rate for name, rate in others.items() if getattr(rates, name) == getattr(rates, STAND_INS[name])}
    return replace(rates, **missing)  # type: ignore[arg-type]  # all are rates
