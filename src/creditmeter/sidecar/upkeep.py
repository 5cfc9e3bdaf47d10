"""What a sidecar does for the central store beside its own messages: heartbeats, and what is left of others."""

import structlog

from creditmeter.central.engine.faults import CentralRowDamaged, CentralUnavailable, is_refused
from creditmeter.central.store import CentralStore
from creditmeter.core.ids import AccountId
from creditmeter.sidecar.clock import Clock
from creditmeter.sidecar.exchanger import Exchanger

RECLAIM_PAGE = 100
"""Accounts with leases of lost sidecars on one page."""

_log = structlog.get_logger()


class Upkeep:
    """Sends heartbeats, and reclaims the leases of sidecars that are lost. One that is steady prunes as well."""

    def __init__(self, exchanger: Exchanger, central: CentralStore, clock: Clock) -> None:
        self._exchanger = exchanger
        self._central = central
        self._clock = clock
        self._told_of_no_right = False

    async def round(self) -> None:
        """Send a heartbeat, reclaim the leases of sidecars that were silent for too long, and prune.

        Raises:
            CentralUnavailable: the store did not answer.
            SidecarFenced: another process has this sidecar's identity.
            StorageUnavailable: the journal cannot be written.
        """
        await self._exchanger.beat()
        await self._reclaim()
        if self._exchanger.contact.is_steady(self._clock.boot()):
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
        after = None
        while page := await self._central.exchanges.reclaimable(after, RECLAIM_PAGE):
            for account_id in page:
                await self._reclaim_on(account_id)
            after = page[-1]

    async def _reclaim_on(self, account_id: AccountId) -> None:
        try:
            is_any = await self._central.exchanges.reclaim(account_id)
        except CentralUnavailable:
            raise
        except CentralRowDamaged:  # the log has it
            pass
        except Exception:  # noqa: BLE001 - see above
            _log.exception("reclaim failed", account_id=account_id)
        else:
            if is_any:
                _log.warning("leases of lost sidecars reclaimed", account_id=account_id)
