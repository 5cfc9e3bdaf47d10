"""What the central store's clock showed, in runs: where it went back, another run begins.

So sidecars that were started later know of it, too. Nobody knows which run was right. If the earlier one was, what was renewed
in the later one is younger than it looks.
"""

from sqlalchemy import select, update

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.upserts import insert_into
from creditmeter.core.instants import DAY, MINUTE, Instant, Span
from creditmeter.core.settlement.reclaiming import Lag
from creditmeter.core.settlement.setting_back import MOST_AHEAD

NOTED_EVERY = MINUTE
"""How much a run goes on before that is noted."""

MOST_UNNOTED = Span(2 * NOTED_EVERY)
"""How much further than noted a run may have gone, if sidecars were at work: they note it with their heartbeats."""

RIGHT_AFTER = Span(30 * DAY)
"""A run of this length shows that the clock is right: what it showed before matters no more."""

_runs = tables.clock_runs


async def note_time(connection: AsyncConnection, now: Instant) -> None:
    """Note what the clock shows. A run that it went back from is over."""
    row = (await connection.execute(select(_runs).order_by(_runs.c.number.desc()).limit(1))).one_or_none()
    if row is None or row.last_at - now > MOST_AHEAD:
        run = {"number": 1 if row is None else row.number + 1, "first_at": now, "last_at": now}
        await connection.execute(insert_into(connection, _runs).on_conflict_do_nothing(), run)
    elif now - row.last_at >= NOTED_EVERY:
        mine = _runs.c.number == row.number, _runs.c.last_at == row.last_at
        await connection.execute(update(_runs).where(*mine).values(last_at=now))


async def lags_of(connection: AsyncConnection) -> tuple[Lag, ...]:
    """By how much the clock may have been behind, and since when, as far as that is remembered.

    What was renewed a moment before a run was noted may be of that run.
    """
    rows = (await connection.execute(select(_runs).order_by(_runs.c.number))).all()
    lags: list[Lag] = []
    latest = 0
    for row in rows:
        if row.last_at - row.first_at >= RIGHT_AFTER:
            lags, latest = [], 0
        if row.first_at < latest:
            lags.append(Lag(Instant(row.first_at - MOST_UNNOTED), Span(latest - row.first_at)))
        latest = max(latest, row.last_at + MOST_UNNOTED)
    return tuple(lags)
