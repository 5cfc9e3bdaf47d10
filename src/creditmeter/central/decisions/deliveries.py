"""What is to be told to a webhook: each alert that fired, until it was delivered or given up.

A row is written in the transaction in which its alert fires. Any sidecar that has a webhook claims rows that are due, each row
one sidecar; a claim is nothing but a later due time, so what was claimed and not finished is due again by itself.
"""

import msgspec
from sqlalchemy import RowMapping, Update, delete, select, tuple_, update

from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import Row
from creditmeter.core.credit.deliveries import Delivery
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.ids import account_key, entry_id
from creditmeter.core.instants import DAY, Instant, Span, to_datetime

KEPT_FOR = Span(4 * DAY)
"""What was due so long ago nobody delivers: there is no sidecar with a webhook, or has not been for days."""

MOST_AT_ONCE = 1_000
"""As many rows are dropped in one transaction."""

EVENT_TYPE = "creditmeter.low_balance"

_deliveries = tables.alert_deliveries


def delivery_row(fired: LowBalance) -> Row:
    """An alert that fired as a row, due at once. Its id is made of the account and the line of history: no other has it."""
    return {
        "account_id": fired.account_id,
        "delivery_id": f"low-{account_key(fired.account_id)}-{fired.number}",
        "body": _body(fired),
        "created_at": fired.fired_at,
        "attempts": 0,
        "due_at": fired.fired_at,
    }


def _body(fired: LowBalance) -> str:
    kind, _, starts_on = fired.period.partition(" ")
    alert = fired.alert
    threshold = {"percent": alert.percent} if alert.percent else {"amount_microcredits": alert.amount}
    said = {
        "type": EVENT_TYPE,
        "timestamp": to_datetime(fired.fired_at).isoformat().replace("+00:00", "Z"),
        "data": {
            "account_id": fired.account_id,
            "threshold": threshold,
            "left_microcredits": fired.measure.left,
            "granted_microcredits": fired.measure.granted,
            "period": {"kind": kind, "starts_on": starts_on},
            "entry_id": entry_id(fired.account_id, fired.number),
        },
    }
    return msgspec.json.encode(said).decode()


class Deliveries:
    """Hands out what is to be delivered. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, limit: int, claimed_for: Span) -> list[Delivery]:
        """Claim what has been due longest, at most `limit`: nobody else gets it for so long.

        First it is looked without any lock, since mostly there is nothing.
        """
        async with self._database.read() as connection:
            is_due = _deliveries.c.due_at <= await self._clock.now(connection)
            if (await connection.execute(select(_deliveries.c.due_at).where(is_due).limit(1))).first() is None:
                return []
        async with self._database.write() as connection:
            now = await self._clock.now(connection)
            due = select(_deliveries).where(_deliveries.c.due_at <= now).order_by(_deliveries.c.due_at).limit(limit)
            found = (await connection.execute(due.with_for_update(skip_locked=True))).mappings().all()
            claimed = []
            for each in (_delivery_of(row, now) for row in found):
                mine = _still(each, each.attempt - 1).values(attempts=each.attempt, due_at=now + claimed_for)
                if (await connection.execute(mine)).rowcount:
                    claimed.append(each)
            return claimed

    async def postpone(self, delivery: Delivery, until: Instant) -> None:
        """Have a claimed delivery tried again, unless somebody else has claimed it meanwhile."""
        async with self._database.write() as connection:
            await connection.execute(_still(delivery, delivery.attempt).values(due_at=until))

    async def finish(self, delivery: Delivery) -> None:
        """Drop a delivery that was made, or is given up. History has the alert for good."""
        mine = _deliveries.c.account_id == delivery.account_id, _deliveries.c.delivery_id == delivery.delivery_id
        async with self._database.write() as connection:
            await connection.execute(delete(_deliveries).where(*mine))

    async def drop_old(self) -> int:
        """Drop what was due `KEPT_FOR` ago, at most `MOST_AT_ONCE`; says how much that was."""
        place = tuple_(_deliveries.c.account_id, _deliveries.c.delivery_id)
        async with self._database.read() as connection:
            end = await self._clock.now(connection) - KEPT_FOR
            old = select(_deliveries.c.account_id, _deliveries.c.delivery_id).where(_deliveries.c.due_at <= end)
            if (await connection.execute(old.limit(1))).first() is None:
                return 0
        async with self._database.write() as connection:
            dropped = await connection.execute(delete(_deliveries).where(place.in_(old.limit(MOST_AT_ONCE))))
            return dropped.rowcount


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
    """Changes a delivery if it was claimed so often, and no more."""
    mine = _deliveries.c.account_id == delivery.account_id, _deliveries.c.delivery_id == delivery.delivery_id
    return update(_deliveries).where(*mine, _deliveries.c.attempts == attempts)
