"""The price list of the installed release, which most processes need not compile.

This program ships the list of the release that it was tried with, compiled. Compiling it anew takes a quarter of a second, and
leaves 10 MB in a process that may run for a year. So that is done only where another release is installed.
`scripts/generate-price-list` writes the shipped list, and a test compares it with what would be compiled.
"""

from functools import cache
from importlib.metadata import version
from importlib.resources import files

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.prices.price_list import PriceList
from creditmeter.core.prices.rate_card_document import GENAI_PRICES
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.forms.price_lists import packed, unpacked
from creditmeter.forms.rate_cards import load

SHIPPED = files("creditmeter.catalog").joinpath("price_list.json.zlib")


def load_card(document: str) -> LoadedCard:
    """The card in a document, with the installed price list.

    Raises:
        RateCardError: the document is no usable card.
    """
    return load(document, installed_price_list, lambda _: _installed()[1])


def installed_price_list() -> PriceList:
    """The same list that `bundled_price_list` compiles."""
    return _installed()[0]


@cache
def _installed() -> tuple[PriceList, bytes]:
    """The list, and packed as it is kept."""
    shipped = SHIPPED.read_bytes()
    price_list = unpacked(shipped)
    if price_list.version == f"{GENAI_PRICES}.{version(GENAI_PRICES)}":
        return price_list, shipped
    compiled = bundled_price_list()
    return compiled, packed(compiled)
