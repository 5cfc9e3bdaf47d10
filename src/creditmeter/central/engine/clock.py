"""The central store's clock: one clock for all of its decisions.

On PostgreSQL it is the server's. An embedded store is on the host of its sidecars, and uses that host's clock.
"""

from collections.abc import Callable

from sqlalchemy import text

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.core.instants import Instant

_SERVER_NOW = text("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


class StoreClock:
    """Reads `wall` if it is given, else the database server's clock."""

    def __init__(self, wall: Callable[[], Instant] | None) -> None:
        self._wall = wall

    async def now(self, connection: AsyncConnection) -> Instant:
        """The time of day."""
        if self._wall is not None:
            return self._wall()
        return Instant((await connection.execute(_SERVER_NOW)).scalar_one())
