"""Makes equal rates of a price list one object: a list has 30,000 rates, and 600 different ones.

So a list takes a third of the memory. What it says does not change.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal

from creditmeter.core.prices.price_list import Conditional, Model, Provider
from creditmeter.core.prices.rates import TextPrices, TextRates

_CLASSES = tuple(each.name for each in fields(TextRates) if each.name != "rare")


class SharedRates:
    """The rates of a list that were met so far, each once."""

    def __init__(self) -> None:
        self._rates: dict[str, Decimal] = {}
        self._fees: dict[tuple[tuple[str, Decimal], ...], Mapping[str, Decimal]] = {}

    def of(self, provider: Provider) -> Provider:
        """An equal provider, whose rates are those that were met before."""
        return replace(provider, models=tuple(map(self._model, provider.models)))

    def _model(self, model: Model) -> Model:
        variants = (replace(each, prices=self._conditional(each.prices)) for each in model.variants)
        return replace(model, prices=self._conditional(model.prices), variants=tuple(variants))

    def _conditional(self, prices: tuple[Conditional, ...]) -> tuple[Conditional, ...]:
        return tuple(replace(each, prices=self._prices(each.prices)) for each in prices)

    def _prices(self, prices: TextPrices) -> TextPrices:
        return TextPrices(
            self._text_rates(prices.rates),
            tuple(replace(each, rates=self._text_rates(each.rates)) for each in prices.long_context),
            self._rate(prices.per_call),
            self._each(prices.fees),
        )

    def _text_rates(self, rates: TextRates) -> TextRates:
        return TextRates(*(self._rate(getattr(rates, name)) for name in _CLASSES), rare=self._each(rates.rare))

    def _each(self, fees: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
        shared = {name: self._rate(fee) for name, fee in fees.items()}
        return self._fees.setdefault(tuple(shared.items()), shared)

    def _rate(self, rate: Decimal) -> Decimal:
        """The same number, written in the same way: 1 and 1.0 are equal, and are shown differently."""
        return self._rates.setdefault(str(rate), rate)
