"""Keeping rate cards: those that are published are picked up, and each is in the journal before anything is priced by it.

So a reservation finds the card that it was made by whatever is published meanwhile, over a restart, and without the central
store.
"""

import structlog

from creditmeter.central.store import CentralStore
from creditmeter.core.instants import MINUTE, Instant, Span
from creditmeter.core.rate_card_document import RateCardError
from creditmeter.core.rate_cards import KeptCard, LoadedCard, RateCards
from creditmeter.core.reservations import Reservation, ReservationState
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.books import Books

UNNEEDED_FOR = Span(10 * MINUTE)
"""A card that was superseded is kept for so long after nothing is pinned to it: requests that wait for credit were priced by it
and pin it only when they are granted.
"""

_log = structlog.get_logger()


class CardChanged(Exception):
    """The sidecar was started with a card that differs from another one of the same version; the message says what to do."""


class CardKeeper:
    """Keeps the cards of a sidecar."""

    def __init__(self, cards: RateCards, own: LoadedCard, journal: Journal, central: CentralStore, books: Books) -> None:
        self._cards = cards
        self._own = own.kept
        self._journal = journal
        self._central = central
        self._books = books
        self._unneeded_since: dict[str, Span] = {}

    @property
    def version_in_force(self) -> str:
        """The version of the card that new work is priced by now."""
        return self._cards.in_force(self._books.moment().now).version

    def own_if(self, version: str) -> KeptCard | None:
        """The card that the sidecar was started with, if this is its version, as its document has it or as charges carry it."""
        return self._own if version in (self._own.version, self._own.document_version) else None

    async def load(self) -> None:
        """Know the cards in the journal, and put the one that the sidecar was started with among them.

        Raises:
            CardChanged: that one is not what it was.
            StorageUnavailable: the journal cannot be written.
        """
        found = await self._journal.rate_cards()
        for each in found:
            self._add(each)
        same = next((each for each in found if each.version == self._own.version), None)
        if same is None:
            await self._journal.put_rate_card(self._own)
        elif same.document != self._own.document:
            raise CardChanged(
                f"the rate card {self._own.version} is not what it was: a card never changes under its version;"
                " give what was changed a version of its own"
            )

    async def refresh(self) -> None:
        """Pick up what was published. A card that cannot be used here is told of once, and those before it stay in force.

        Raises:
            CentralUnavailable: the store did not answer.
            StorageUnavailable: the journal cannot be written.
        """
        for each in await self._central.rate_cards.since(self._cards.newest):
            await self._journal.put_rate_card(each)
            if self._add(each):
                _log.info("rate card published", version=each.version, effective_from=each.effective_from)

    def _add(self, kept: KeptCard) -> bool:
        try:
            self._cards.add(kept.card(), kept.number)
        except RateCardError as error:
            self._cards.newest = max(self._cards.newest, kept.number)
            _log.error("a rate card cannot be used by this version", version=kept.version, problems=error.problems)
            return False
        return True

    def prune(self) -> None:
        """Drop cards that were superseded, and that no reservation has been committed by, or could be, for `UNNEEDED_FOR`.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was dropped.
        """
        moment = self._books.moment()
        unneeded = self._unneeded(moment.now)
        since = {version: self._unneeded_since.get(version, moment.boot) for version in unneeded}
        self._unneeded_since = since
        for version in [each for each in unneeded if moment.boot - since[each] >= UNNEEDED_FOR]:
            self._journal.drop_rate_card(version)
            self._cards.drop(version)
            del since[version]

    def _unneeded(self, now: Instant) -> set[str]:
        """The versions that no reservation may be committed by, and no new work priced by."""
        if not self._cards.unneeded((), now):
            return set()
        pinned = {each.rate_card_version for book in self._books for each in book.reservations.values() if _may_end(each)}
        return self._cards.unneeded(pinned, now)


def _may_end(reservation: Reservation) -> bool:
    """Whether it may still be committed, in time or late."""
    return reservation.state in (ReservationState.HELD, ReservationState.EXPIRED)
