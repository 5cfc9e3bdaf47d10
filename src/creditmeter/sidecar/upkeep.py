"""What a sidecar does for the central store beside its own messages: heartbeats, and what is left of others."""

import structlog

from creditmeter.central.engine.faults import CentralRowDamaged, CentralUnavailable, is_refused
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import AccountId, LeaseId
from creditmeter.core.instants import Instant, Span
from creditmeter.sidecar.clock import Clock
from creditmeter.sidecar.exchanger import Exchanger

RECLAIM_PAGE = 100
"""Accounts with leases of lost sidecars on one page."""

_log = structlog.get_logger()


class Upkeep:
    """Keeps a sidecar from being given up for lost. One that is steady reclaims the leases of those that are, and prunes."""

    def __init__(self, exchanger: Exchanger, central: CentralStore, clock: Clock) -> None:
        self._exchanger = exchanger
        self._central = central
        self._clock = clock
        self._told_of_no_right = False
        self._watched: dict[tuple[AccountId, LeaseId, Instant], Span] = {}

    async def round(self) -> None:
        """Send a heartbeat, reclaim the leases of sidecars that were silent for too long, and prune.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        await self._exchanger.beat()
        if self._exchanger.contact.is_steady(self._clock.boot()):
            await self._reclaim()
            await self._prune()

    async def _prune(self) -> None:
        """Prune what nothing at the central store needs any more, however long the clock is ahead.

        Without the right to do so nothing is pruned, and the log says so once.
        """
        try:
            deleted = await self._central.pruning.prune(self._exchanger.surely())
        except CentralUnavailable as error:
            if not is_refused(error):
                raise
            if not self._told_of_no_right:
                _log.warning(
                    "old rows of the central store stay: run `creditmeter central grant-role` again", reason=str(error)
                )
            self._told_of_no_right = True
        else:
            if deleted:
                _log.info("old rows of the central store deleted", **deleted)

    async def _reclaim(self) -> None:
        """Reclaim the leases of lost sidecars, an account at a time: a fault in one must not stop the others."""
        after, surely = None, self._exchanger.surely()
        while page := await self._central.exchanges.reclaimable(after, RECLAIM_PAGE, surely):
            for account_id in page:
                await self._reclaim_on(account_id, surely)
            after = page[-1]
        await self._reclaim_watched(surely)

    async def _reclaim_watched(self, surely: Instant) -> None:
        """Watch the leases of sidecars that live and do not renew them, and reclaim those that were watched for long enough."""
        boot, before = self._clock.boot(), self._watched
        self._watched = {}
        page = await self._central.exchanges.doubtful(RECLAIM_PAGE, surely)
        while page:
            for account_id, lease_id, renewed_at, kept_for in page:
                key = account_id, lease_id, renewed_at
                self._watched[key] = before.get(key, boot)
                if boot - self._watched[key] >= kept_for:
                    await self._reclaim_on(account_id, surely, (lease_id,))
            page = await self._central.exchanges.doubtful(RECLAIM_PAGE, surely, page[-1][:2])

    async def _reclaim_on(self, account_id: AccountId, surely: Instant, watched: tuple[LeaseId, ...] = ()) -> None:
        try:
            await self._central.exchanges.reclaim(account_id, surely, watched)
        except CentralUnavailable:
            raise
        except CentralRowDamaged:  # the log has it
            pass
        except Exception:  # noqa: BLE001 - see above
            _log.exception("reclaim failed", account_id=account_id)
        else:
            _log.warning("leases of lost sidecars reclaimed", account_id=account_id)
