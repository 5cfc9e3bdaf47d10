"""The store's elapsed time: one number, which the heartbeats of its sidecars move on. See `core/elapsed.py`."""

from sqlalchemy import func, select, update

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.upserts import insert_into
from creditmeter.core.elapsed import counted
from creditmeter.core.instants import Span

_THE_ONE = 1
_time = tables.elapsed_time
_UNLOCKED = select(_time.c.elapsed).with_for_update(skip_locked=True)

ELAPSED = select(func.coalesce(func.max(_time.c.elapsed), 0)).scalar_subquery()
"""The elapsed time, to be selected beside other things; 0 before the first heartbeat."""


async def elapsed_time(connection: AsyncConnection) -> Span:
    """The elapsed time, as far as it was counted."""
    return Span((await connection.execute(select(ELAPSED))).scalar_one())


async def count_time(connection: AsyncConnection, least: Span | None) -> Span:
    """Count what a sidecar says that the elapsed time is at least. Returns the elapsed time.

    If another sidecar's heartbeat counts at the same moment, nobody waits for it: this one counts with its next.
    """
    elapsed = (await connection.execute(_UNLOCKED)).scalar_one_or_none()
    if elapsed is None:
        row = {"number": _THE_ONE, "elapsed": 0}
        await connection.execute(insert_into(connection, _time).on_conflict_do_nothing(), row)
        return await elapsed_time(connection)
    now = counted(Span(elapsed), least)
    if now != elapsed:
        await connection.execute(update(_time).values(elapsed=now))
    return now
