"""The central store as its users see it: one object for each of its tasks, on one database."""

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import delete, insert, select

from creditmeter.central.decisions.administration import Administration
from creditmeter.central.decisions.deliveries import Deliveries
from creditmeter.central.decisions.exchanges import Exchanges
from creditmeter.central.decisions.notifications import ChangePoll, Notifications
from creditmeter.central.decisions.pruning import Pruning
from creditmeter.central.decisions.publications import Publications
from creditmeter.central.decisions.refunds import Refunds
from creditmeter.central.decisions.registration import Registration
from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database, parse_url
from creditmeter.central.engine.faults import CentralDamaged, CentralUnavailable
from creditmeter.central.queries.forecasts import Forecasts
from creditmeter.central.queries.history import HistoryReader
from creditmeter.central.queries.holders import Listing
from creditmeter.central.queries.past_balances import PastBalances
from creditmeter.central.queries.turns import Turns
from creditmeter.central.queries.usage import UsageReader
from creditmeter.central.schema import tables
from creditmeter.central.schema.migrating import migrate
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import Instant, Span

_NEW_PAGES = 16 * 1024
"""Bytes in a row for which a SQLite file needs pages that it does not use: a short row may have room where others are."""


class CentralStore:
    """A central store on a SQLite file (`sqlite:///PATH`) or PostgreSQL (`postgresql://USER@HOST/NAME`).

    `now` reads the store's clock. If it is None, the PostgreSQL server's own clock is read; SQLite has none. With an
    `auto_create_plan` an unknown account is created with that plan when it is first touched. If `notifies` is false (for an
    engine that has PostgreSQL's protocol but no NOTIFY), sidecars find recalls by polling.

    `on_reading` are called with each reading of the store's clock, and when that was asked and answered by `boot`. A step of a
    server's clock is believed when it has lasted for `step_patience`.
    """

    def __init__(
        self,
        url: str,
        now: Callable[[], Instant] | None,
        auto_create_plan: PlanId | None = None,
        *,
        notifies: bool = True,
        boot: Callable[[], Span] = lambda: Span(0),
        step_patience: Span = Span(0),
    ) -> None:
        self.database = Database(url, notifies=notifies)
        clock = StoreClock(now, boot, step_patience)
        self.on_reading = clock.on_reading
        poll = ChangePoll(self.database, clock)
        can_notify = notifies and not self.database.is_sqlite
        self.notifications: Notifications = _server_notifications(self.database, poll) if can_notify else poll
        touching = Touching(self.database, clock)
        self.registration = Registration(self.database, clock)
        self.exchanges = Exchanges(self.database, clock, touching, auto_create_plan)
        self.administration = Administration(self.database, clock)
        self.refunds = Refunds(self.database, clock)
        self.rate_cards = Publications(self.database, clock)
        self.reader = HistoryReader(self.database, touching)
        self.deliveries = Deliveries(self.database, clock)
        self.pruning = Pruning(self.database, clock)
        turns = Turns()
        self.usage = UsageReader(touching, turns)
        self.listing = Listing(self.database, clock)
        self.forecasts = Forecasts(touching, clock, turns)
        self.past_balances = PastBalances(self.database, clock, touching, turns)

    async def migrate(self) -> None:
        """Bring the schema up to this version's.

        Raises:
            CentralUnavailable: the store did not answer.
            CentralMisconfigured: the store cannot be used as it is, is damaged, or is newer than this program.
        """
        await migrate(self.database)

    async def examine(self, seconds: float) -> None:
        """Begin to look for damage in an embedded store's file, and wait for what comes out, but no longer than this.

        Raises:
            CentralDamaged: the file is damaged.
        """
        try:
            await self.database.examine(seconds)
        except CentralUnavailable as error:
            raise CentralDamaged(f"the central store {self.database.address} cannot be used: {error}") from error

    async def ping(self) -> None:
        """Find out whether the store works: read rows of two tables, and write one that is rolled back. No other sidecar is
        notified of it.

        Raises:
            CentralUnavailable: it does not.
        """
        sidecars, name = tables.sidecars, f"attempt {secrets.token_hex(8)}"
        nonce = "-" * _NEW_PAGES if self.database.is_sqlite else ""
        async with self.database.attempt() as connection:
            for column in (tables.accounts.c.account_id, sidecars.c.sidecar_id):
                await connection.execute(select(column).limit(1))
            await connection.execute(insert(sidecars), {"sidecar_id": name, "epoch": 0, "nonce": nonce, "registered_at": 0})
            await connection.execute(delete(sidecars).where(sidecars.c.sidecar_id == name))

    async def close(self) -> None:
        """Close all connections."""
        await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _server_notifications(database: Database, earlier: ChangePoll) -> Notifications:
    from creditmeter.central.decisions.server_notifications import ServerNotifications  # noqa: PLC0415 - see there
    from creditmeter.central.engine.postgresql import Servers  # noqa: PLC0415 - the same

    return ServerNotifications(Servers(database.url), earlier)


async def has_sidecars(url: str, directory: Path) -> bool:
    """Whether a store that is a file in this very directory knows any sidecar. The file is only read.

    Raises:
        CentralUnavailable: the file is damaged, or no database.
        CentralMisconfigured: the text is not the address of a store.
    """
    found = parse_url(url)
    if not found.drivername.startswith("sqlite") or not _is_written(Path(found.database or ""), directory):
        return False
    database = Database(found, read_only=True)
    try:
        async with database.read() as connection:
            return (await connection.execute(select(tables.sidecars.c.sidecar_id).limit(1))).first() is not None
    except CentralUnavailable as error:
        if error.is_damage:
            raise
        return False  # it has no tables yet; if there is another reason, the start meets it again
    finally:
        await database.close()


def _is_written(path: Path, directory: Path) -> bool:
    """Whether the path is that of a file in the directory itself, with something in it."""
    return path.parent.resolve() == directory.resolve() and path.is_file() and path.stat().st_size > 0
