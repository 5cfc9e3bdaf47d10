"""Lists of the sidecars that registered and are not forgotten, of the leases that are not closed, and of a sidecar's charges.

What is held and what is unposted is as of each sidecar's last report. A page is one query in one snapshot.
"""

from typing import Any

from sqlalchemy import RowMapping, Select, case, func, select, tuple_

from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import charge_of, lease_of
from creditmeter.central.schema.sums import parts_of, sum_of, whole
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.holders import AccountLease, LeaseCursor, SeenSidecar, SidecarCursor, SidecarState
from creditmeter.core.ids import AccountId, SidecarId, charge_id
from creditmeter.core.instants import SECOND, Instant, Span

SEEN_WITHIN = Span(45 * SECOND)
"""Longest silence of an active sidecar whose lease TTL is shorter. A running sidecar sends three heartbeats in this time."""


class Listing:
    """Lists sidecars and leases. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def sidecars(
        self, limit: int, state: SidecarState | None = None, after: SidecarCursor | None = None
    ) -> list[SeenSidecar]:
        """At most `limit` sidecars, the last seen first, those after `after`; with `state` only those in that state.

        A sidecar that sends something while the pages are read moves to the front, so it is not on the pages that follow.
        """
        async with self._database.read() as connection:
            query = _sidecars(await self._clock.now(connection), state, after).limit(limit)
            return [_sidecar_of(row) for row in (await connection.execute(query)).mappings()]

    async def leases(
        self,
        limit: int,
        account_id: AccountId | None = None,
        sidecar_id: SidecarId | None = None,
        after: LeaseCursor | None = None,
    ) -> list[AccountLease]:
        """At most `limit` leases that are not closed, the last opened first; of one account or one sidecar, if given."""
        query = _leases(account_id, sidecar_id, after).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [AccountLease(AccountId(row["account_id"]), lease_of(row)) for row in rows]

    async def charges_of(self, sidecar_id: SidecarId, account_id: AccountId, limit: int) -> list[Charge]:
        """The charges of an account that a sidecar made and that are posted, at most `limit`, the newest first."""
        charges = tables.charges
        made_there = charges.c.charge_id.startswith(charge_id(account_id, sidecar_id, ""), autoescape=True)
        query = select(charges).where(charges.c.account_id == account_id, made_there)
        query = query.order_by(charges.c.committed_at.desc(), charges.c.charge_id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [charge_of(row) for row in (await connection.execute(query)).mappings()]


def _sidecars(now: Instant, state: SidecarState | None, after: SidecarCursor | None) -> Select[Any]:
    """Sidecars with the sums of their leases. A sidecar was last seen at its last heartbeat or renewal of a lease."""
    sidecars, leases = tables.sidecars, tables.leases
    sums = (
        select(
            leases.c.sidecar_id,
            func.count().label("leases"),
            func.max(leases.c.limit_microcredits - leases.c.posted_microcredits).label("most_out"),
            *sum_of("out", leases.c.limit_microcredits - leases.c.posted_microcredits),
            *sum_of("held", leases.c.held_microcredits),
            *sum_of("unposted", leases.c.unposted_microcredits),
            func.max(leases.c.renewed_at).label("renewed_at"),
        )
        .where(leases.c.closed.is_(False))
        .group_by(leases.c.sidecar_id)
        .subquery()
    )
    seen_at = case((sums.c.renewed_at > sidecars.c.last_seen_at, sums.c.renewed_at), else_=sidecars.c.last_seen_at)
    silence = case((sidecars.c.lease_ttl > SEEN_WITHIN, sidecars.c.lease_ttl), else_=SEEN_WITHIN)
    named = case(
        (seen_at + silence > now, SidecarState.ACTIVE.value),
        (sums.c.most_out > 0, SidecarState.SILENT.value),
        else_=SidecarState.GONE.value,
    )
    shown = (
        select(
            *(sidecars.c.sidecar_id, sidecars.c.epoch, sidecars.c.registered_at),
            *(seen_at.label("seen_at"), named.label("state")),
            func.coalesce(sums.c.leases, 0).label("leases"),
            *(sums.c[name] for name in parts_of("out", "held", "unposted")),
        )
        .join_from(sidecars, sums, sums.c.sidecar_id == sidecars.c.sidecar_id, isouter=True)
        .subquery()
    )
    query = select(shown).order_by(shown.c.seen_at.desc(), shown.c.sidecar_id.desc())
    if state is not None:
        query = query.where(shown.c.state == state.value)
    if after is not None:
        query = query.where(tuple_(shown.c.seen_at, shown.c.sidecar_id) < tuple_(after.last_seen_at, after.sidecar_id))
    return query


def _leases(account_id: AccountId | None, sidecar_id: SidecarId | None, after: LeaseCursor | None) -> Select[Any]:
    leases = tables.leases
    place = leases.c.opened_at, leases.c.account_id, leases.c.lease_id
    query = select(leases).where(leases.c.closed.is_(False)).order_by(*(column.desc() for column in place))
    if account_id is not None:
        query = query.where(leases.c.account_id == account_id)
    if sidecar_id is not None:
        query = query.where(leases.c.sidecar_id == sidecar_id)
    if after is not None:
        query = query.where(tuple_(*place) < tuple_(after.opened_at, after.account_id, after.lease_id))
    return query


def _sidecar_of(row: RowMapping) -> SeenSidecar:
    return SeenSidecar(
        sidecar_id=row["sidecar_id"],
        epoch=row["epoch"],
        state=SidecarState(row["state"]),
        registered_at=row["registered_at"],
        last_seen_at=row["seen_at"],
        leases=row["leases"],
        out=whole(row, "out"),
        held=whole(row, "held"),
        unposted=whole(row, "unposted"),
    )
