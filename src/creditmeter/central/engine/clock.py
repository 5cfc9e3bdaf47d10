"""The central store's clock: one clock for all of its decisions.

On PostgreSQL it is the server's. An embedded store is on the host of its sidecars, and uses that host's clock.
"""

from collections.abc import Callable

from sqlalchemy import text

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.core.clocks import HostClock
from creditmeter.core.instants import Instant, Span

_SERVER_NOW = text("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


Reading = Callable[[Instant, Span, Span], None]
"""What takes a reading of the store's clock, with the moments of the question and of the answer on the boot-time clock."""


class StoreClock:
    """Reads `wall` if it is given, else the database server's clock. `boot` is this machine's boot-time clock.

    A step of a server's clock is believed when it has lasted for `patience`, as far as this process sees it; at once if that is
    0. `on_reading` are called with each reading, as it is believed.
    """

    def __init__(
        self, wall: Callable[[], Instant] | None, boot: Callable[[], Span] = lambda: Span(0), patience: Span = Span(0)
    ) -> None:
        self._wall = wall
        self._boot = boot
        self._server = HostClock(patience) if wall is None and patience else None
        self.on_reading: list[Reading] = []

    async def now(self, connection: AsyncConnection) -> Instant:
        """The time of day."""
        asked = self._boot()
        said = self._wall() if self._wall else Instant((await connection.execute(_SERVER_NOW)).scalar_one())
        answered = self._boot()
        if self._server is not None:
            self._server.read(said, answered)
            said = self._server.at(answered)
        for take in self.on_reading:
            take(said, asked, answered)
        return said
