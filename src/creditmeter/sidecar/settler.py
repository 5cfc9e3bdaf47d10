"""The settler: posts charges and refunds to the central store, in the background and in batches.

Nothing waits for it but the user's history: a charge is durable in the journal before it is acknowledged. If the central
store is away, the settler waits longer and longer, with jitter so that a fleet does not come back all at once.
"""

import asyncio
import random

import structlog

from creditmeter.central.database import CentralUnavailable
from creditmeter.core.ids import AccountId
from creditmeter.core.lease_keeping import has_unfinished
from creditmeter.journal.journal import StorageUnavailable
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced

MAX_ACCOUNTS = 64
"""As many accounts are settled in one transaction of the central store."""

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0

_log = structlog.get_logger()


class Settler:
    """Settles what books have to post."""

    def __init__(self, books: Books, exchanger: Exchanger) -> None:
        self._books = books
        self._exchanger = exchanger

    async def run(self, interval_seconds: float) -> None:
        """Settle until cancelled: every interval, or after a longer wait while the central store is away."""
        wait = interval_seconds
        while True:
            await asyncio.sleep(wait)
            try:
                await self.settle()
                wait = interval_seconds
            except (CentralUnavailable, StorageUnavailable) as error:
                wait = min(_LONGEST_WAIT_SECONDS, max(_FIRST_WAIT_SECONDS, wait * 2)) * random.uniform(0.5, 1)  # noqa: S311
                _log.warning("settlement waits", reason=str(error), seconds=round(wait, 1))

    async def settle(self, *, give_back: bool = False) -> None:
        """Post everything that waits, a batch at a time. With `give_back`, idle credit goes home too.

        Raises:
            CentralUnavailable: the store did not answer; what waits still does.
            SidecarFenced: another process speaks for this sidecar.
            StorageUnavailable: the journal cannot be written.
        """
        await self._exchanger.register()
        waiting = self._books.take_unsettled()
        for start in range(0, len(waiting), MAX_ACCOUNTS):
            await self._settle_batch(waiting[start : start + MAX_ACCOUNTS], give_back=give_back)

    async def _settle_batch(self, accounts: list[AccountId], *, give_back: bool) -> None:
        """Settle these accounts, together if possible. What could not be settled waits again."""
        free = [each for each in accounts if not self._exchanger.is_busy(each)]
        try:
            if free:
                await self._exchanger.exchange(dict.fromkeys(free), give_back=give_back)
        except (CentralUnavailable, SidecarFenced, StorageUnavailable):
            raise
        except Exception:  # noqa: BLE001 - one account's fault must not end settlement for all
            _log.exception("settlement failed", accounts=free)
            if len(free) > 1:  # so that the account at fault does not hold up the others
                for account_id in free:
                    await self._settle_batch([account_id], give_back=give_back)
        finally:
            now = self._books.moment().now
            for account_id in accounts:
                if has_unfinished(self._books.open(account_id), now):
                    self._books.put_unsettled(account_id)

    async def settle_account(self, account_id: AccountId) -> None:
        """Post what one account has to post now, waiting for a message about it that is under way.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process speaks for this sidecar.
            StorageUnavailable: the journal cannot be written.
        """
        while has_unfinished(self._books.open(account_id), self._books.moment().now):
            if self._exchanger.is_busy(account_id):
                await self._exchanger.one_finished()
            else:
                await self._exchanger.exchange({account_id: None})
