"""The stored form of price lists: JSON, packed to a tenth of it. A rate card that rests on a list is kept with it."""

import zlib
from decimal import Decimal

import msgspec

from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider, Variant
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.prices.rates import LongContext, TextPrices, TextRates
from creditmeter.core.prices.sharing import SharedRates
from creditmeter.forms.body import Body, BodyUnreadable, Form, Stored, decoded, form_of


@form_of(Clause)
class ClauseForm(Stored):
    """A condition on a name."""

    operator: Operator
    text: str = ""
    clauses: tuple["ClauseForm", ...] = ()


@form_of(TextRates)
class TextRatesForm(Stored):
    """Prices in US dollars per million tokens of each class."""

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
    rare: dict[str, Decimal] = msgspec.field(default_factory=dict)


@form_of(LongContext)
class LongContextForm(Stored):
    """The rates of calls with a long input."""

    above_input_tokens: int
    rates: TextRatesForm


@form_of(TextPrices)
class TextPricesForm(Stored):
    """What the calls of a language model cost."""

    rates: TextRatesForm
    long_context: tuple[LongContextForm, ...] = ()
    per_call: Decimal = Decimal(0)
    fees: dict[str, Decimal] = msgspec.field(default_factory=dict)


@form_of(Conditional)
class ConditionalForm(Stored):
    """Prices for some of the time."""

    prices: TextPricesForm
    from_instant: int | None = None
    daily: tuple[int, int] | None = None


@form_of(Variant)
class VariantForm(Stored):
    """Prices for calls that were served in another way than usual."""

    kind: str
    name: str
    prices: tuple[ConditionalForm, ...]


@form_of(Model)
class ModelForm(Stored):
    """A model of a provider."""

    model: str
    match: ClauseForm
    prices: tuple[ConditionalForm, ...]
    variants: tuple[VariantForm, ...] = ()


@form_of(Provider)
class ProviderForm(Stored):
    """A provider and its models."""

    provider: str
    models: tuple[ModelForm, ...]
    matches_provider: ClauseForm | None = None
    matches_model: ClauseForm | None = None
    resells: tuple[str, ...] = ()


@form_of(PriceList)
class PriceListForm(Body):
    """The price list."""

    version: str
    providers: tuple[ProviderForm, ...]


class _PriceListInParts(Body):
    """The price list, each of whose providers is not read yet."""

    version: str
    providers: tuple[msgspec.Raw, ...]


PRICE_LIST = Form(PriceListForm, PriceList)
_PROVIDER = Form(ProviderForm, Provider)
_decode_parts = msgspec.json.Decoder(_PriceListInParts).decode


def packed(price_list: PriceList) -> bytes:
    """A price list as it is kept."""
    return zlib.compress(PRICE_LIST.encode(price_list))


def unpacked(packed: bytes) -> PriceList:
    """A price list that was kept. It is read provider by provider, so that no more memory is needed than it takes in the end.

    Raises:
        RateCardError: it is damaged, or of a form that this program does not know.
    """
    rates = SharedRates()
    try:
        body = zlib.decompress(packed)
        parts = decoded(body, lambda: _decode_parts(body))
        return PriceList(parts.version, tuple(rates.of(_PROVIDER.decode(each)) for each in parts.providers))
    except (BodyUnreadable, zlib.error) as error:
        raise RateCardError((f"the price list cannot be read: {error}",)) from None
