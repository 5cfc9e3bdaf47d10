"""Registrations and heartbeats of sidecars, and what fences a process: an epoch that is not the last one issued.

A registration locks and saves the sidecar's row. Exchanges share a lock on that row, for which heartbeats do not wait.
"""

from sqlalchemy import bindparam, select, update

from creditmeter.central.decisions.elapsed_time import ELAPSED, count_time
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.upserts import insert_into, upsert
from creditmeter.core.credit.messages import Fenced, Registered
from creditmeter.core.ids import SidecarId
from creditmeter.core.instants import MINUTE, Span

DEFAULT_LEASE_TTL = Span(10 * MINUTE)

_IS_IT = tables.sidecars.c.sidecar_id == bindparam("sidecar_id")
_LOCKED_SIDECAR = select(tables.sidecars.c.epoch, tables.sidecars.c.nonce).where(_IS_IT).with_for_update()
_SIDECAR = select(tables.sidecars.c.epoch, ELAPSED.label("elapsed")).where(_IS_IT)
_SHARED_SIDECAR = _SIDECAR.with_for_update(read=True, key_share=True, of=tables.sidecars)


class Registration:
    """Issues epochs to sidecars, and receives their heartbeats."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def register(
        self, sidecar_id: SidecarId, epoch: int, nonce: str, lease_ttl: Span = DEFAULT_LEASE_TTL
    ) -> Registered | Fenced:
        """Issue the next epoch to the sidecar whose last epoch was `epoch` (0: it has none), by compare-and-set.

        `nonce` is new for each start of the sidecar. A request that is repeated with its nonce gets the same answer again.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._database.write() as connection:
            if epoch == 0:
                await self._put_new_sidecar(connection, sidecar_id)
            row = (await connection.execute(_LOCKED_SIDECAR, {"sidecar_id": sidecar_id})).one_or_none()
            known, last_nonce = (0, "") if row is None else (row.epoch, row.nonce)
            if known == epoch:
                await self._put_sidecar(connection, sidecar_id, epoch + 1, nonce, lease_ttl)
            elif not (known == epoch + 1 and last_nonce == nonce):
                return Fenced(sidecar_id)
            leases = tables.leases
            query = select(leases.c.account_id).where(leases.c.sidecar_id == sidecar_id, leases.c.closed.is_(False))
            accounts = (await connection.execute(query.distinct().order_by(leases.c.account_id))).scalars()
            return Registered(epoch + 1, tuple(accounts))

    async def beat(self, sidecar_id: SidecarId, epoch: int, least: Span | None = None) -> Fenced | Span:
        """Receive a heartbeat from a sidecar, and what it says that the store's elapsed time is at `least`. Returns what the
        elapsed time is as it is counted now.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        sidecars = tables.sidecars
        async with self._database.write() as connection:
            mine = sidecars.c.sidecar_id == sidecar_id, sidecars.c.epoch == epoch
            now = await self._clock.now(connection)
            if not (await connection.execute(update(sidecars).where(*mine).values(last_seen_at=now))).rowcount:
                return Fenced(sidecar_id)
            return await count_time(connection, least)

    async def _put_new_sidecar(self, connection: AsyncConnection, sidecar_id: SidecarId) -> None:
        """Insert a row to lock, so that of two processes with the same new id only one is issued the first epoch."""
        row = {"sidecar_id": sidecar_id, "epoch": 0, "nonce": "", "registered_at": await self._clock.now(connection)}
        await connection.execute(insert_into(connection, tables.sidecars).on_conflict_do_nothing(), row)

    async def _put_sidecar(
        self, connection: AsyncConnection, sidecar_id: SidecarId, epoch: int, nonce: str, lease_ttl: Span
    ) -> None:
        now = await self._clock.now(connection)
        row = {
            "sidecar_id": sidecar_id,
            "epoch": epoch,
            "nonce": nonce,
            "registered_at": now,
            "last_seen_at": now,
            "lease_ttl": lease_ttl,
        }
        await upsert(connection, tables.sidecars, [row])


async def admit(connection: AsyncConnection, sidecar_id: SidecarId, epoch: int, *, lock: bool = True) -> Fenced | Span:
    """The store's elapsed time, if `epoch` is the last one that was issued to the sidecar; else the reply to a fenced process.

    With `lock` the sidecar's row is locked, so that no exchange of an epoch ends after the next epoch was issued. Exchanges
    share the lock, and heartbeats do not wait for it.
    """
    query = _SHARED_SIDECAR if lock else _SIDECAR
    row = (await connection.execute(query, {"sidecar_id": sidecar_id})).one_or_none()
    return Span(row.elapsed) if row is not None and row.epoch == epoch else Fenced(sidecar_id)
