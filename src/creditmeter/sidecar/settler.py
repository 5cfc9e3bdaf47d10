"""The settler: posts charges and refunds to the central store, in the background and in batches. The same messages renew and
refill leases.

Only the user's history waits for it: a charge is durable in the journal before it is acknowledged.
"""

import asyncio
import random
from collections.abc import Sequence

import structlog

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.ids import AccountId, ChargeId, account_key
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.composing import MAX_CHARGES_PER_MESSAGE, has_unfinished
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.account_records import AccountRecords, Mark
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced

LONGEST_SETTLEMENT = Span(20 * SECOND)
"""Longest wait of a refund until its charge is posted. A charge waits 5 s at most for credit that is recalled for it."""

REST = 9
"""How many times as long as a settlement took the pause after it is at least: so calls have nine tenths of a busy sidecar."""

LONGEST_REST_SECONDS = 2.0
"""A settlement that takes long is not put off for longer than that, unless the interval is longer itself."""

_RETRY_SECONDS = 0.05
"""Between attempts to post a charge that waits for recalled credit."""

_log = structlog.get_logger()


def pause_after(spent: Span, interval_seconds: float) -> float:
    """The seconds between a settlement that took so long and the next one."""
    rest = min(LONGEST_REST_SECONDS, REST * spent / SECOND)
    return max(interval_seconds, rest)


class Settler:
    """Posts what books have to post."""

    def __init__(self, records: AccountRecords, books: Books, exchanger: Exchanger) -> None:
        self._records = records
        self._books = books
        self._exchanger = exchanger

    async def run(self, interval_seconds: float) -> None:
        """Settle every interval until cancelled, less often where settling takes long (`pause_after`), and not at all while
        there is nothing to settle. While the central store is away, what is unposted goes on waiting.
        """
        is_away = False
        pause = interval_seconds
        while True:
            if self._exchanger.epoch:  # without one each attempt begins with a registration
                await self._records.unsettled.wait()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that a fleet is spread
            began, spent = self._books.moment().boot, Span(0)
            try:
                await self.settle()
            except (CentralUnavailable, StorageUnavailable) as error:
                if not is_away:
                    _log.warning("settlement waits", reason=str(error))
                is_away = True
            except SidecarFenced:
                raise
            except Exception:  # noqa: BLE001 - without settlement nothing would be posted: it is tried again
                _log.exception("settlement failed")
            else:
                if is_away:
                    _log.info("settlement goes on")
                is_away = False
                spent = Span(self._books.moment().boot - began)
            pause = pause_after(spent, interval_seconds)

    async def settle(self, accounts: Sequence[AccountId] | None = None) -> None:
        """Post all charges and refunds, or those of some accounts, a batch at a time. An account with more charges than a
        message holds takes several.

        Raises:
            CentralUnavailable: the store did not answer; what is unposted goes on waiting.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        await self._exchanger.register()
        waiting = self._records.take(Mark.UNSETTLED) if accounts is None else list(accounts)
        for account_id in waiting:
            self._records.unmark(account_id, Mark.UNSETTLED)
        more = waiting
        is_done = False
        try:
            while more:
                before = {account_id: self._unposted(account_id) for account_id in more}
                await self._exchanger.exchange(more)
                more = [each for each in more if before[each] > max(MAX_CHARGES_PER_MESSAGE, self._unposted(each))]
            is_done = True
        finally:
            now = self._books.moment().now
            for account_id in waiting:
                book = self._books.find(account_key(account_id))
                if not is_done or self._exchanger.is_busy(account_id) or (book is not None and has_unfinished(book, now)):
                    self._records.mark(account_id, Mark.UNSETTLED)

    def _unposted(self, account_id: AccountId) -> int:
        book = self._books.find(account_key(account_id))
        return book.unposted_charge_count if book is not None else 0

    async def settle_charge(self, account_id: AccountId, charge_id: ChargeId) -> None:
        """Post a charge now. This waits for a message about its account that is under way, and for credit that has to be
        recalled for the charge.

        Raises:
            CentralRowDamaged: the store cannot read the account.
            CentralUnavailable: the store did not answer, an embedded one not within the patience of a caller, or the charge was
                not posted within `LONGEST_SETTLEMENT`.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        give_up = self._books.moment().boot + LONGEST_SETTLEMENT
        patience = self._exchanger.patience()
        while self._waits(account_id, charge_id):
            if self._books.moment().boot >= give_up:
                raise CentralUnavailable("the charge is not settled yet")
            was_busy = self._exchanger.is_busy(account_id)
            await self._exchanger.exchange_next(account_id, patience)
            if was_busy:
                continue
            damage = self._exchanger.damage_of(account_id)
            if damage is not None:
                raise damage
            if self._waits(account_id, charge_id):
                await asyncio.sleep(_RETRY_SECONDS)

    def _waits(self, account_id: AccountId, charge_id: ChargeId) -> bool:
        charge = self._books.open(account_id).charges.get(charge_id)
        return charge is not None and charge.posting is None
