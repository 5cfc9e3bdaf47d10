"""The reporter: has the central store, and so callers of other sidecars, know in time what is held here.

It works at its own pace, whatever the interval of settlements: what it reports, they need not. While nothing changes it sleeps.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Span
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.account_records import AccountRecord, AccountRecords, Mark
from creditmeter.sidecar.clock import Clock
from creditmeter.sidecar.exchanger import Exchanger, SidecarFenced
from creditmeter.sidecar.settler import Settler

_log = structlog.get_logger()


class Reporter:
    """Reports what is held and was stated by no message for `after_seconds`. Charges are posted every `settle_seconds`."""

    def __init__(
        self,
        records: AccountRecords,
        exchanger: Exchanger,
        settler: Settler,
        clock: Clock,
        after_seconds: float,
        settle_seconds: float,
    ) -> None:
        self._records = records
        self._exchanger = exchanger
        self._settler = settler
        self._clock = clock
        self._after = Span(int(after_seconds * SECOND))
        self._charges_wait = settle_seconds > after_seconds

    async def run(self) -> None:
        """Report what is due until cancelled. While the central store is away it is asked at the same pace; the settler logs
        that.
        """
        while True:
            await self._records.unreported.wait()
            await asyncio.sleep(self._until_due() / SECOND)
            try:
                await self.report()
            except (CentralUnavailable, StorageUnavailable):
                await asyncio.sleep(self._after / SECOND)
            except SidecarFenced:
                raise
            except Exception:  # noqa: BLE001 - without reports others know of no hold in time: it is tried again
                _log.exception("report failed")
                await asyncio.sleep(self._after / SECOND)

    def _until_due(self) -> Span:
        """How long to wait until a report is due."""
        first = self._records.first(Mark.UNREPORTED)
        if first is None or first.unreported_since is None:
            self._records.unreported.clear()
            return Span(0)
        return self._until(first.unreported_since)

    def _until(self, unreported_since: Span) -> Span:
        return Span(max(0, unreported_since + self._after - self._clock.boot()))

    async def report(self) -> None:
        """Once a report is due, exchange a message about each account that has something to report: a transaction costs as much
        as a dozen accounts in it.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        now = self._clock.boot()
        unreported = self._unreported()
        if not self._is_due(unreported, now):
            return
        free = [each for each in unreported if Mark.UNDER_WAY not in each.marks]
        if not self._is_due(free, now):
            await self._one_free(free)
            return
        accounts = [each.account_id for each in free]
        try:
            await self._settler.settle(accounts)
        finally:
            for account_id in accounts:
                self._put_off(account_id, now)

    async def _one_free(self, free: Sequence[AccountRecord]) -> None:
        """Wait until a message that is under way has ended, or one of the accounts of which none is comes due."""
        since = free[0].unreported_since if free else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if since is None else self._until(since) / SECOND):
                await self._exchanger.one_finished()

    def _unreported(self) -> list[AccountRecord]:
        """The accounts of which something is to be reported, the one that has waited longest first."""
        for record in self._records.marked(Mark.UNREPORTED):
            if self._is_stated(record):
                self._records.unmark(record.account_id, Mark.UNREPORTED)
        return self._records.marked(Mark.UNREPORTED)

    def _is_stated(self, record: AccountRecord) -> bool:
        """Whether as much is held on each lease as the last message stated, because what was held since then was let go. While
        one is under way, that is not known. What was charged for it is known in time only if a settlement is.
        """
        book = record.book
        if book is None or book.snapshot is None or Mark.UNDER_WAY in record.marks or record.unanswered is not None:
            return False
        if self._charges_wait and book.has_unposted:
            return False
        reports = book.snapshot.reports
        return book.held == book.snapshot.own_held and all(book.held_on(each.lease_id) == each.held for each in reports)

    def _is_due(self, unreported: Sequence[AccountRecord], now: Span) -> bool:
        """Whether the first of these accounts has waited long enough."""
        since = unreported[0].unreported_since if unreported else None
        return since is not None and since + self._after <= now

    def _put_off(self, account_id: AccountId, now: Span) -> None:
        """Try an account later that no message could be composed about. One with a message under way is next."""
        record = self._records.find(account_id)
        since = None if record is None else record.unreported_since
        if since is not None and since < now and not self._exchanger.is_busy(account_id):
            self._records.unmark(account_id, Mark.UNREPORTED)
            self._records.note_unreported(account_id, self._clock.boot())
