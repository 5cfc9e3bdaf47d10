"""Deliveries to webhooks: saves a row for each alert that fired, and loads and locks the rows that are due.

A row is kept until its alert was delivered or given up. It is saved in the transaction in which its alert fires. Any sidecar
that has a webhook claims rows that are due; a row is locked while it is claimed, so one sidecar gets it. A claim is a later due
time and nothing else. So a row that was claimed and not finished becomes due again by itself.
"""

import structlog
from sqlalchemy import ColumnElement, RowMapping, Update, delete, select, tuple_, update

from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralRowDamaged
from creditmeter.central.schema import tables
from creditmeter.central.schema.reading import reads
from creditmeter.central.schema.rows import Row
from creditmeter.core.credit.deliveries import Delivery
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.ids import account_key
from creditmeter.core.instants import DAY, MINUTE, Instant, Span
from creditmeter.forms.events import low_balance_event

KEPT_FOR = Span(4 * DAY)
"""How long a due delivery is kept that no sidecar claims: none has had a webhook for days."""

MOST_AT_ONCE = 1_000
"""Most rows that are dropped in one transaction."""

DAMAGED_FOR = DAY
"""A delivery that cannot be read is tried again after this long, so that it does not hold up the others."""

LONGEST_REST = Span(2 * DAY)
"""No delivery rests for so long before it is due again."""

_deliveries = tables.alert_deliveries
_log = structlog.get_logger()


def delivery_row(fired: LowBalance) -> Row:
    """The row of an alert that fired, due at once. Its id has the account's key and the number of the line: it is unique."""
    return {
        "account_id": fired.account_id,
        "delivery_id": f"low-{account_key(fired.account_id)}-{fired.number}",
        "body": low_balance_event(fired),
        "created_at": fired.fired_at,
        "attempts": 0,
        "due_at": fired.fired_at,
    }


class Deliveries:
    """Hands out deliveries. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, limit: int, claimed_for: Span) -> list[Delivery]:
        """Claim the deliveries that have been due longest, at most `limit`. No other sidecar gets them for `claimed_for`.

        A first look takes no lock, since mostly nothing is due.
        """
        async with self._database.read() as connection:
            is_due = _is_due(await self._clock.now(connection))
            if (await connection.execute(select(_deliveries.c.due_at).where(is_due).limit(1))).first() is None:
                return []
        async with self._database.write() as connection:
            now = await self._clock.now(connection)
            due = select(_deliveries).where(_is_due(now)).order_by(_deliveries.c.due_at).limit(limit)
            found = (await connection.execute(due.with_for_update(skip_locked=True))).mappings().all()
            claimed = []
            for row in found:
                try:
                    each = _delivery_of(row, now)
                except CentralRowDamaged as error:
                    _log.error("the central store is damaged", account_id=error.account_id, reason=error.reason)
                    await connection.execute(update(_deliveries).where(*_place(row)).values(due_at=now + DAMAGED_FOR))
                    continue
                mine = _still(each, each.attempt - 1).values(attempts=each.attempt, due_at=now + claimed_for)
                if (await connection.execute(mine)).rowcount:
                    claimed.append(each)
            return claimed

    async def postpone(self, delivery: Delivery, until: Instant) -> None:
        """Make a claimed delivery due again at `until`, unless another sidecar has claimed it meanwhile."""
        async with self._database.write() as connection:
            await connection.execute(_still(delivery, delivery.attempt).values(due_at=until))

    async def finish(self, delivery: Delivery) -> None:
        """Drop a delivery that was made or is given up. The alert stays in history."""
        mine = _deliveries.c.account_id == delivery.account_id, _deliveries.c.delivery_id == delivery.delivery_id
        async with self._database.write() as connection:
            await connection.execute(delete(_deliveries).where(*mine))

    async def drop_old(self, surely: Instant) -> int:
        """Drop deliveries that were due `KEPT_FOR` ago or earlier, at most `MOST_AT_ONCE`. Returns how many were dropped. It is
        as late as `surely` at least, also if the clock is ahead.
        """
        place = tuple_(_deliveries.c.account_id, _deliveries.c.delivery_id)
        async with self._database.read() as connection:
            end = min(surely, await self._clock.now(connection)) - KEPT_FOR
            old = select(_deliveries.c.account_id, _deliveries.c.delivery_id).where(_deliveries.c.due_at <= end)
            if (await connection.execute(old.limit(1))).first() is None:
                return 0
        async with self._database.write() as connection:
            dropped = await connection.execute(delete(_deliveries).where(place.in_(old.limit(MOST_AT_ONCE))))
            return dropped.rowcount


def _is_due(now: Instant) -> ColumnElement[bool]:
    """A delivery is due. That of an alert that fired, or was tried, while the clock was ahead is due at once."""
    due_at, is_new = _deliveries.c.due_at, _deliveries.c.attempts == 0
    return (due_at <= now) | (is_new & (due_at > now + MINUTE)) | (due_at > now + LONGEST_REST)


def _place(row: RowMapping) -> tuple[ColumnElement[bool], ...]:
    return _deliveries.c.account_id == row["account_id"], _deliveries.c.delivery_id == row["delivery_id"]


@reads(tables.alert_deliveries)
def _delivery_of(row: RowMapping, now: Instant) -> Delivery:
    return Delivery(
        account_id=row["account_id"],
        delivery_id=row["delivery_id"],
        body=row["body"],
        attempt=row["attempts"] + 1,
        created_at=row["created_at"],
        claimed_at=now,
    )


def _still(delivery: Delivery, attempts: int) -> Update:
    """An UPDATE of a delivery, if it was claimed `attempts` times and not since."""
    mine = _deliveries.c.account_id == delivery.account_id, _deliveries.c.delivery_id == delivery.delivery_id
    return update(_deliveries).where(*mine, _deliveries.c.attempts == attempts)
