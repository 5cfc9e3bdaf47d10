"""Callers that wait until a charge of this sidecar is posted."""

import asyncio

from creditmeter.core.credit.charges import Charge
from creditmeter.core.ids import AccountId, ChargeId, origin_of
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.book import Change
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchange_planner import ExchangePlanner
from creditmeter.sidecar.waiting import waits_until

ASKED_AGAIN_SECONDS = 1.0
"""A charge that is not posted by then goes with another message: the store was away, or the charge waits for credit."""


class PostingWaits:
    """Waits until charges are posted. All who wait for charges of an account share the message that posts them."""

    def __init__(self, books: Books, planner: ExchangePlanner) -> None:
        self._books = books
        self._planner = planner
        self._waiting: dict[ChargeId, set[asyncio.Future[Charge]]] = {}
        books.on_change.append(self._note)

    def _note(self, change: Change) -> None:
        for charge in change.charges if self._waiting else ():
            if charge.posting is not None:
                for each in self._waiting.get(charge.charge_id, ()):
                    if not each.done():
                        each.set_result(charge)

    async def posted(self, charge_id: ChargeId, wait: Span, within: float | None = None) -> Charge | None:
        """A charge of this sidecar once it is posted, at once rather than with the next settlement. The caller waits for
        it so long, and has to hear of it `within` so many seconds.

        None if it is not posted by then, and at once if no such charge waits here to be posted.

        Raises:
            AccountDamaged: its account is in quarantine.
            StorageUnavailable: the journal cannot be written.
        """
        until = waits_until(within, wait / SECOND)
        origin = origin_of(charge_id)
        book = self._books.find_sound(origin.account_key) if origin else None
        charge = book.charges.get(charge_id) if book else None
        if charge is None or charge.posting is not None or not wait:
            return None
        found = await self._posted(charge.account_id, charge_id, until)
        await self._books.durable()
        return found

    async def _posted(self, account_id: AccountId, charge_id: ChargeId, until: float) -> Charge | None:
        loop = asyncio.get_running_loop()
        posted: asyncio.Future[Charge] = loop.create_future()
        waiting = self._waiting.setdefault(charge_id, set())
        waiting.add(posted)
        try:
            while not posted.done() and loop.time() < until:
                self._planner.post(account_id)
                await asyncio.wait([posted], timeout=min(until - loop.time(), ASKED_AGAIN_SECONDS))
            return posted.result() if posted.done() else None
        finally:
            waiting.discard(posted)
            if not waiting:
                self._waiting.pop(charge_id, None)
