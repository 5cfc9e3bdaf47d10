"""The stored form of rate cards, and how a card is kept with the price list that it rests on."""

from collections.abc import Callable

from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_list import PriceList
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import UNPUBLISHED, KeptCard, LoadedCard, kept
from creditmeter.forms.body import Body, Form, form_of
from creditmeter.forms.price_lists import packed, unpacked


@form_of(KeptCard)
class KeptCardForm(Body):
    """A rate card as it is kept."""

    version: str
    document_version: str
    effective_from: int
    published_at: int
    number: int
    document: str
    price_list: bytes | None = None


KEPT_CARD = Form(KeptCardForm, KeptCard)


def load(document: str, price_list: Callable[[], PriceList], pack: Callable[[PriceList], bytes] = packed) -> LoadedCard:
    """A card that is used without being published. `pack` packs the price list that it rests on.

    Raises:
        RateCardError: the document is no usable card.
    """
    card = parse_rate_card(document, price_list)
    return LoadedCard(card, kept(card, document, pack(price_list()) if card.data_version else None, Instant(0), UNPUBLISHED))


def card_of(kept: KeptCard) -> RateCard:
    """A kept card, ready to price by.

    Raises:
        RateCardError: the document or the price list has something that this program does not know.
    """
    packed = kept.price_list
    return parse_rate_card(kept.document, None if packed is None else lambda: unpacked(packed))
