"""The prices that are installed with genai-prices (https://github.com/pydantic/genai-prices), compiled into a price list.

Only the data that the package ships is read. Nothing is fetched, and nothing updates the data in the background.

Importing the package takes 0.15 s and 17 MB, or 0.06 s and 5 MB where the program is loaded that serves. So it is imported
only when a price list is made, which a running sidecar needs only for a card that was not published yet. Its prices are
compiled because the library takes many times as long to price a call.

The package has other prices for calls that were served in some other way than usual as changes of single rates, each from some
day on. They are compiled into all prices of such a call, for each stretch of time in which they do not change.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from creditmeter.core.instants import HOUR, MINUTE, SECOND, from_datetime
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider, Variant
from creditmeter.core.prices.rate_card_document import GENAI_PRICES
from creditmeter.core.prices.rates import RARE_STAND_INS, LongContext, TextPrices, TextRates
from creditmeter.core.prices.tiers import STANDARD_NAMES

if TYPE_CHECKING:
    from genai_prices import types

    _Price: TypeAlias = Decimal | types.TieredPrices
    _Prices: TypeAlias = Mapping[str, _Price]
    _Constraint: TypeAlias = types.StartDateConstraint | types.TimeOfDateConstraint | None

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

_RARE_RATES: Mapping[str, str] = {
    "cached_audio": "cache_audio_read_mtok",
    "cached_image": "cache_image_read_mtok",
    "video_input": "input_video_mtok",
    "video_output": "output_video_mtok",
    "citation": "output_citation_mtok",
}
"""For each class of tokens that few models have a rate for, the package's price."""

_THOUSANDS = ("_kcount", "_kpages")
"""How the package's prices for a thousand things end."""

_SERVED: Mapping[str, str] = {
    "service_tier": "service_tier",
    "processing": "service_tier",
    "speed": "speed",
    "route": "region",
    "search_type": "search_type",
}
"""For each condition of the package on what served a call, the field of `Served` that says so."""

_TEXT_PRICES = {_REQUESTS, *_RARE_RATES.values(), *(key for keys in _RATES.values() for key in keys)}
assert _RARE_RATES.keys() == RARE_STAND_INS.keys(), "each rare class has a price of the package"
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
    if not is_priced:
        return Model(known.id, _clause(known.match), ())
    return Model(known.id, _clause(known.match), tuple(map(_compiled, conditional)), tuple(_variants(known)))


def _variants(known: "types.ModelInfo") -> "Iterator[Variant]":
    """All prices of calls that were served in some way, for each way that is not the standard one.

    A condition that this program does not know, or a combination of two, is left out: then such calls are flagged.
    """
    variants = known.price_variants or []
    for condition, name in dict.fromkeys(next(iter(each.when.items())) for each in variants if len(each.when) == 1):
        kind = _SERVED.get(condition)
        if kind is not None and name.lower() not in STANDARD_NAMES[kind]:
            yield Variant(kind, name.lower(), tuple(_variant_prices(known, condition, name)))


def _variant_prices(known: "types.ModelInfo", condition: str, name: str) -> "Iterator[Conditional]":
    """The prices of one variant, for each stretch of time in which it is known."""
    its_own = [each.constraint for each in known.price_variants or [] if each.when == {condition: name}]
    edges = [*its_own, *(each.constraint for each in _conditional(known.prices))]
    for day, daily in _stretches(edges):
        begin = datetime.combine(day or _LONG_AGO, _time_of_day(daily[0] if daily is not None else 0), UTC)
        if any(constraint is None or constraint.active(begin) for constraint in its_own):
            from_instant = from_datetime(datetime.combine(day, time(), UTC)) if day is not None else None
            prices = _text_prices(_given(known.get_prices(begin, {condition: name})))
            yield Conditional(prices, from_instant, daily)


_LONG_AGO = date(1970, 1, 1)


def _stretches(constraints: "Iterable[_Constraint]") -> "Iterator[tuple[date | None, tuple[int, int] | None]]":
    """The stretches of time at whose edges one of the constraints begins or ceases to hold, as `Conditional` has them.

    Each is from a day on (None: it always was) and, if the hour matters, from one time of day to another. Those from a later
    day on come later.
    """
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint  # noqa: PLC0415 - see above

    known = list(constraints)
    days = sorted({each.start_date for each in known if isinstance(each, StartDateConstraint)})
    hours = [each for each in known if isinstance(each, TimeOfDateConstraint)]
    edges = sorted({_since_midnight(edge) for each in hours for edge in (each.start_time, each.end_time)})
    daily: list[tuple[int, int] | None] = [*zip(edges, [*edges[1:], *edges[:1]], strict=True)] or [None]
    return ((day, each) for day in (None, *days) for each in daily)


def _time_of_day(since_midnight: int) -> time:
    return (datetime.combine(_LONG_AGO, time()) + timedelta(microseconds=since_midnight)).time()


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
    rare = {name: prices[key] for name, key in _RARE_RATES.items() if key in prices}
    tiered = [price for price in (*by_class.values(), *rare.values()) if not isinstance(price, Decimal)]
    thresholds = sorted({tier.start for price in tiered for tier in price.tiers})
    per_thousand_calls = prices.get(_REQUESTS, _ZERO)
    assert isinstance(per_thousand_calls, Decimal), "a call has one price"
    return TextPrices(
        rates=_rates(by_class, rare, 0),
        long_context=tuple(LongContext(above, _rates(by_class, rare, above + 1)) for above in thresholds),
        per_call=per_thousand_calls / _THOUSAND,
        fees=_fees(prices),
    )


def _fees(prices: "_Prices") -> Mapping[str, Decimal]:
    """The fees for a thousand things beside tokens and calls."""
    fees = {key: price for key, price in prices.items() if key.endswith(_THOUSANDS) and key != _REQUESTS}
    return {_unit(key): price for key, price in fees.items() if isinstance(price, Decimal)}


def _unit(key: str) -> str:
    """The name of the things that a price is for a thousand of: `input_document_kpages` is that of `input_document_pages`."""
    return key.removesuffix("_kcount") if key.endswith("_kcount") else key.removesuffix("kpages") + "pages"


def _nearest(prices: "_Prices", keys: Iterable[str]) -> "_Price":
    """The price of a class of tokens: its own, or that of the nearest class that includes it, or 0."""
    return next((prices[key] for key in keys if key in prices), _ZERO)


def _rates(by_class: "Mapping[str, _Price]", rare: "Mapping[str, _Price]", input_tokens: int) -> TextRates:
    """The rates of calls that have so many input tokens."""
    common = {name: _rate(price, input_tokens) for name, price in by_class.items()}
    return TextRates(**common, rare={name: _rate(price, input_tokens) for name, price in rare.items()})


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
