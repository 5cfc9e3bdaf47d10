"""Keeping rate cards: published cards are picked up, and each is in the journal before anything is priced by it.

So a reservation finds the card that it was made by, whatever was published since, after a restart, and without the central
store.
"""

import asyncio

import structlog

from creditmeter.central.store import CentralStore
from creditmeter.core.credit.reservations import ReservationState
from creditmeter.core.instants import MINUTE, Instant, Span
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.prices.rate_cards import UNPUBLISHED, KeptCard, LoadedCard, RateCards
from creditmeter.forms.rate_cards import card_of
from creditmeter.journal.journal import Journal
from creditmeter.sidecar.books import Books

UNNEEDED_FOR = Span(10 * MINUTE)
"""How much longer than for late commits a superseded card is kept after no open reservation is pinned to it. A request that
waits for credit was priced by it, and pins it only when it is granted.
"""

_log = structlog.get_logger()


class CardChanged(Exception):
    """The card that the sidecar was started with differs from the one in the journal of the same version. The message names the
    remedy.
    """


class CardKeeper:
    """Keeps the cards of a sidecar."""

    def __init__(
        self,
        cards: RateCards,
        own: LoadedCard,
        journal: Journal,
        central: CentralStore,
        books: Books,
        late_commit_window: Span,
    ) -> None:
        self._cards = cards
        self._own = own.kept
        self._journal = journal
        self._central = central
        self._books = books
        self._keep_for = Span(late_commit_window + UNNEEDED_FOR)
        self._unneeded_since: dict[str, Span] = {}

    @property
    def version_in_force(self) -> str:
        """The version of the card that new work is priced by now."""
        return self._cards.in_force(self._books.moment().now).version

    def own_if(self, version: str) -> KeptCard | None:
        """The card that the sidecar was started with, if it has this version, in its document or on charges; else None."""
        return self._own if version in (self._own.version, self._own.document_version) else None

    async def load(self) -> None:
        """Load the cards in the journal, and put the one that the sidecar was started with among them. A published card of the
        same version takes its place.

        Raises:
            CardChanged: its content is not what it was.
            StorageUnavailable: the journal cannot be written.
        """
        found = await self._journal.rate_cards()
        same = next((each for each in found if each.version == self._own.version), None)
        if same is None:
            await self._journal.put_rate_card(self._own)
        elif same.document != self._own.document:
            await self._give_way(same)
        await self._know(found)

    async def _give_way(self, same: KeptCard) -> None:
        """Use a published card instead of the own one, which has the same version and another content."""
        if same.number == UNPUBLISHED:
            raise CardChanged(
                f"the rate card {self._own.version} is not what it was: a card never changes under its version;"
                " give what was changed a version of its own"
            )
        _log.warning("the card of the command line gives way to the published one of its version", version=same.version)
        card = await _read(same)
        if card is not None:
            self._cards.replace_own(card, same.number)
            self._own = same

    async def restore(self) -> None:
        """Load the cards in the journal again, after it failed. A card that was dropped may still be there.

        Raises:
            StorageUnavailable: the journal cannot be read.
        """
        await self._know(await self._journal.rate_cards())

    async def _know(self, found: list[KeptCard]) -> None:
        for each in found:
            card = None if self._cards.knows(each.version, each.number) else await _read(each)
            if card is not None:
                self._cards.add(card, each.number)
            self._cards.newest = max(self._cards.newest, each.number)

    async def refresh(self) -> None:
        """Pick up published cards. A card that cannot be used here is logged once, and those before it stay in force.

        Raises:
            CentralUnavailable: the store did not answer.
            StorageUnavailable: the journal cannot be written.
        """
        for each in await self._central.rate_cards.since(self._cards.newest):
            card = await _read(each)
            if card is None:
                if not self._cards.knows(each.version):
                    await self._journal.put_rate_card(each)  # a newer program may start on this journal
            elif self._cards.has_another(card):
                _log.error("a card was published under the version of another one that is in use here", version=each.version)
            else:
                await self._journal.put_rate_card(each)
                self._cards.add(card, each.number)
                _log.info("rate card published", version=each.version, effective_from=each.effective_from)
            self._cards.newest = max(self._cards.newest, each.number)

    def prune(self) -> None:
        """Drop the superseded cards to which no open reservation was pinned for so long that none can be committed any more.

        Raises:
            StorageUnavailable: the journal cannot be written. Nothing was dropped.
        """
        moment = self._books.moment()
        unneeded = self._unneeded(moment.now)
        since = {version: self._unneeded_since.get(version, moment.boot) for version in unneeded}
        self._unneeded_since = since
        for version in [each for each in unneeded if moment.boot - since[each] >= self._keep_for]:
            self._journal.drop_rate_card(version)
            self._cards.drop(version)
            del since[version]

    def _unneeded(self, now: Instant) -> set[str]:
        """The versions that price neither new work nor the commit of an open reservation."""
        if not self._cards.unneeded((), now) or self._journal.set_aside:  # nobody knows what holds in quarantine are pinned to
            return set()
        reservations = (each for book in self._books for each in book.reservations.values())
        pinned = {each.rate_card_version for each in reservations if each.state is ReservationState.HELD}
        return self._cards.unneeded(pinned, now)


async def _read(kept: KeptCard) -> RateCard | None:
    """The compiled card; None if this version of the program cannot use it, which is logged. Runs in a thread: a card may be
    long.
    """
    try:
        return await asyncio.to_thread(card_of, kept)
    except RateCardError as error:
        _log.error("a rate card cannot be used by this version", version=kept.version, problems=error.problems)
        return None
