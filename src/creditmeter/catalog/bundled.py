"""The prices that are installed with genai-prices (https://github.com/pydantic/genai-prices), compiled into a price list.

Only the data that the package ships is read. Nothing is fetched, and nothing updates the data in the background.

Importing the package takes a third of a second and some 40 MB. So it is imported only when a price list is made, which a
running sidecar needs only for a card that was not published yet. Its prices are compiled because the library takes many times
as long to price a call.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from creditmeter.core.instants import HOUR, MINUTE, SECOND, from_datetime
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider
from creditmeter.core.prices.rate_card_document import GENAI_PRICES
from creditmeter.core.prices.rates import LongContext, TextPrices, TextRates

if TYPE_CHECKING:
    from genai_prices import types

    _Price: TypeAlias = Decimal | types.TieredPrices
    _Prices: TypeAlias = Mapping[str, _Price]

_ZERO = Decimal(0)
_REQUESTS = "requests_kcount"
_THOUSAND = 1000
_RATES: Mapping[str, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "audio_input": ("input_audio_mtok", "input_mtok"),
    "audio_output": ("output_audio_mtok", "output_mtok"),
    "image_input": ("input_image_mtok", "input_mtok"),
    "image_output": ("output_image_mtok", "output_mtok"),
}
"""For each class of tokens the package's prices that may apply, the closest first."""

_TEXT_PRICES = {_REQUESTS, *(key for keys in _RATES.values() for key in keys)}
_COMBINED = {"or_": Operator.ANY, "and_": Operator.ALL}


@cache
def bundled_price_list() -> PriceList:
    """The price list of the installed release. Its version names the release: `genai-prices.0.2.3`."""
    import genai_prices  # noqa: PLC0415 - see above
    from genai_prices.data import providers  # noqa: PLC0415 - see above

    return PriceList(f"{GENAI_PRICES}.{genai_prices.__version__}", tuple(_provider(each) for each in providers))


def _provider(known: "types.Provider") -> Provider:
    return Provider(
        provider=known.id,
        models=tuple(_model(each) for each in known.models),
        matches_provider=_clause(known.provider_match) if known.provider_match else None,
        matches_model=_clause(known.model_match) if known.model_match else None,
        resells=tuple(known.fallback_model_providers or ()),
    )


def _model(known: "types.ModelInfo") -> Model:
    conditional = _conditional(known.prices)
    is_priced = any(_has_price_of_text(_given(each.prices)) for each in conditional)
    return Model(known.id, _clause(known.match), tuple(map(_compiled, conditional)) if is_priced else ())


def _conditional(prices: "types.ModelPrice | list[types.ConditionalPrice]") -> "list[types.ConditionalPrice]":
    from genai_prices.types import ConditionalPrice  # noqa: PLC0415 - see above

    return prices if isinstance(prices, list) else [ConditionalPrice(prices=prices)]


def _has_price_of_text(prices: "_Prices") -> bool:
    """Whether calls of text can be charged by these prices.

    A model without any price is not free, and a model that is sold by the second or the page is no model of text.
    """
    return not prices.keys().isdisjoint(_TEXT_PRICES)


def _compiled(known: "types.ConditionalPrice") -> Conditional:
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint  # noqa: PLC0415 - see above

    prices = _text_prices(_given(known.prices))
    match known.constraint:
        case None:
            return Conditional(prices)
        case StartDateConstraint(start_date):
            return Conditional(prices, from_instant=from_datetime(datetime.combine(start_date, time(), UTC)))
        case TimeOfDateConstraint(start_time, end_time):
            return Conditional(prices, daily=(_since_midnight(start_time), _since_midnight(end_time)))


def _given(prices: "types.ModelPrice") -> "_Prices":
    return {key: price for key, price in vars(prices).items() if price is not None}


def _since_midnight(moment: time) -> int:
    """Microseconds from midnight in UTC to a time of day; one without a zone is in UTC."""
    if moment.tzinfo is not None:
        moment = datetime.combine(datetime(1970, 1, 1, tzinfo=UTC), moment).astimezone(UTC).time()
    return moment.hour * HOUR + moment.minute * MINUTE + moment.second * SECOND + moment.microsecond


def _text_prices(prices: "_Prices") -> TextPrices:
    by_class = {name: _nearest(prices, keys) for name, keys in _RATES.items()}
    tiered = [price for price in by_class.values() if not isinstance(price, Decimal)]
    thresholds = sorted({tier.start for price in tiered for tier in price.tiers})
    per_thousand_calls = prices.get(_REQUESTS, _ZERO)
    assert isinstance(per_thousand_calls, Decimal), "a call has one price"
    return TextPrices(
        rates=_rates(by_class, 0),
        long_context=tuple(LongContext(above, _rates(by_class, above + 1)) for above in thresholds),
        per_call=per_thousand_calls / _THOUSAND,
    )


def _nearest(prices: "_Prices", keys: Iterable[str]) -> "_Price":
    """The price of a class of tokens: its own, or that of the nearest class that includes it, or 0."""
    return next((prices[key] for key in keys if key in prices), _ZERO)


def _rates(by_class: "Mapping[str, _Price]", input_tokens: int) -> TextRates:
    """The rates of calls that have so many input tokens."""
    return TextRates(**{name: _rate(price, input_tokens) for name, price in by_class.items()})


def _rate(price: "_Price", input_tokens: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)


def _clause(known: "types.MatchLogic") -> Clause:
    ((name, value),) = vars(known).items()
    if name in _COMBINED:
        return Clause(_COMBINED[name], clauses=tuple(map(_clause, value)))
    operator = Operator(name)
    return Clause(operator, value if operator is Operator.REGEX else value.lower())
