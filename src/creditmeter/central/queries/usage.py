"""Usage summaries: an account's posted charges, read in one snapshot, a page at a time, and added up. No charge is kept.

Summaries take turns, because each keeps a connection until it is done.
"""

from collections.abc import AsyncIterator

from sqlalchemy import select, tuple_

from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.queries.turns import Turns
from creditmeter.central.schema import tables
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.rows import account_of
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import AccountNotFound, Overloaded
from creditmeter.core.reports.usage_summary import Keys, UsageQuery, UsageSummary
from creditmeter.forms.posted_charges import USED_CHARGE

PAGE = 500
"""Charges that are read at a time. Between pages the sidecar serves other requests."""


class UsageReader:
    """Sums up posted charges. Raises CentralUnavailable if the store does not answer."""

    def __init__(self, touching: Touching, turns: Turns) -> None:
        self._touching = touching
        self._turns = turns

    async def summarize(
        self, wanted: UsageQuery, limit: int, after: Keys | None = None
    ) -> UsageSummary | AccountNotFound | Overloaded:
        """The sums of all charges that match, and of at most `limit` groups of them, those after the keys `after`.

        Overloaded if too many long reads wait.
        """
        return await self._turns.read(lambda: self._summarize(wanted, limit, after))

    async def _summarize(self, wanted: UsageQuery, limit: int, after: Keys | None) -> UsageSummary | AccountNotFound:
        async with self._touching.read(wanted.account_id) as connection:
            query = select(tables.accounts).where(tables.accounts.c.account_id == wanted.account_id)
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                return AccountNotFound(wanted.account_id)
            summary = UsageSummary(account_of(row).calendar, wanted.group_by, limit, after)
            async for body in _bodies(connection, wanted):
                with reading(wanted.account_id, "the body of a charge"):
                    used = USED_CHARGE.decode(body)
                summary.add(used)
            return summary


async def _bodies(connection: AsyncConnection, wanted: UsageQuery) -> AsyncIterator[str]:
    """The bodies of the charges that match, by the time of their commit. Duplicates cost nothing and are left out.

    Each page has one lower bound, the key at which the last page ended. With the start as a second bound SQLite would search
    from the start, and read all earlier pages again.
    """
    charges = tables.charges.c
    place = charges.committed_at, charges.charge_id
    query = select(*place, charges.body).where(charges.account_id == wanted.account_id, charges.duplicate_of.is_(None))
    if wanted.end is not None:
        query = query.where(charges.committed_at < wanted.end)
    query = query.order_by(*place).limit(PAGE)
    after = (Instant(0) if wanted.start is None else wanted.start, "")
    while True:
        page = (await connection.execute(query.where(tuple_(*place) > after))).all()
        for _, _, body in page:
            yield body
        if len(page) < PAGE:
            return
        after = page[-1].committed_at, page[-1].charge_id
