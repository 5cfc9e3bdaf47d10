"""The rate cards that a process knows, which of them is in force, and how one is stored.

A published card is stored as it was published: its document and, if it names a price list, that list as it was then. So the
card means the same for ever, whatever release of the list is installed later.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard

UNPUBLISHED = 0
"""The number of a card that a sidecar was started with."""


@dataclass(frozen=True, slots=True)
class KeptCard:
    """A rate card as it is stored. `number` counts publications from 1.

    `version` is the one that charges carry: the document's and, behind a `+`, that of its price list. The list stays packed
    until it is used, so a list that this program cannot read harms no other card.
    """

    version: str
    document_version: str
    effective_from: Instant
    published_at: Instant
    number: int
    document: str
    price_list: bytes | None = None


class RateCardCursor(NamedTuple):
    """Where a page of cards ended. Cards are sorted by the moment from which they are in effect, the latest first."""

    effective_from: Instant
    number: int


def kept(card: RateCard, document: str, price_list: bytes | None, published_at: Instant, number: int) -> KeptCard:
    """The stored form of a card that was read from its document, with the packed price list that it uses, if any."""
    return KeptCard(
        version=card.version,
        document_version=card.document_version,
        effective_from=card.effective_from,
        published_at=published_at,
        number=number,
        document=document,
        price_list=price_list,
    )


@dataclass(frozen=True, slots=True)
class LoadedCard:
    """A card, and its stored form."""

    card: RateCard
    kept: KeptCard


class RateCards:
    """The cards that a sidecar can price by: the published ones, the one that it was started with, and those that reservations
    are pinned to.

    Only `add`, `replace_own` and `drop` change them. `newest` is the number of the last publication that was added.
    """

    def __init__(self, own: RateCard) -> None:
        self._own = own.version
        self._cards: dict[str, tuple[int, RateCard]] = {}
        self._in_turn: list[RateCard] = []
        self.newest = UNPUBLISHED
        self.add(own, UNPUBLISHED)

    def knows(self, version: str, number: int = UNPUBLISHED) -> bool:
        """Whether a card of this version is known under this number of publication or a later one."""
        known = self._cards.get(version)
        return known is not None and known[0] >= number

    def has_another(self, card: RateCard) -> bool:
        """Whether a known card has the same version and another content."""
        known = self._cards.get(card.version)
        return known is not None and known[1] != card

    def add(self, card: RateCard, number: int) -> None:
        """Add a card. A known card of the same version and another content stays: something may have been priced by it."""
        self.newest = max(self.newest, number)
        known = self._cards.get(card.version)
        if known is None or (known[0] < number and known[1] == card):
            self._cards[card.version] = number, card
            self._put_in_turn()

    def replace_own(self, card: RateCard, number: int) -> None:
        """Replace the card that the sidecar was started with by the published one of its version, before anything is priced."""
        assert card.version == self._own, "it stands for the one of its version"
        self.drop(card.version)
        self.add(card, number)

    def drop(self, version: str) -> None:
        """Forget a card that is not needed any more."""
        self._cards.pop(version, None)
        self._put_in_turn()

    def _put_in_turn(self) -> None:
        """Sort the cards that may be in force: the latest to take effect first; of those of one moment the last published."""
        candidates = [each for each in self._cards.values() if each[0] != UNPUBLISHED or each[1].version == self._own]
        candidates.sort(key=lambda each: (each[1].effective_from, each[0]), reverse=True)
        self._in_turn = [card for _, card in candidates]

    def in_force(self, at: Instant) -> RateCard:
        """The card that new work is priced by at a moment: of the cards in effect the one that took effect last."""
        return next((card for card in self._in_turn if card.effective_from <= at), self._in_turn[-1])

    def pinned(self, version: str, at: Instant) -> RateCard:
        """The card of a reservation; the one in force if it is not known any more."""
        return self.find(version) or self.in_force(at)

    def find(self, version: str) -> RateCard | None:
        """The card of this version; None if it is not known any more."""
        known = self._cards.get(version)
        return None if known is None else known[1]

    def unneeded(self, pinned: Iterable[str], at: Instant) -> set[str]:
        """The versions of cards that are not pinned and will not be in force any more."""
        needed = {*pinned, self._own, self.in_force(at).version}
        needed.update(card.version for card in self._in_turn if card.effective_from > at)
        return self._cards.keys() - needed
