"""The schema: what the migrations make is what the program expects, however often and by however many they are applied."""

import asyncio
import contextlib
import importlib.util
import sqlite3
import subprocess
import sys
import warnings
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, select, text
from sqlalchemy import update as update_rows
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex

from creditmeter.central.engine.faults import CentralMisconfigured
from creditmeter.central.schema import tables
from creditmeter.central.schema.partial_indexes import metadata
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify_database
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.messages import Need
from creditmeter.core.instants import DAY, HOUR, Instant
from creditmeter.core.reports.past_balance import PastBalance
from tests.central.accounts import ACME, available, balance_summary, give, lines, opened, refund, update, void
from tests.central.peer import Peer
from tests.clocks import NOON, ManualClock

MIGRATE = """
import asyncio, sys
from creditmeter.central.store import CentralStore

async def main():
    async with CentralStore(sys.argv[1], lambda: 0) as store:
        await store.migrate()

asyncio.run(main())
"""


@pytest.fixture
def central_url(new_central_url: str) -> str:
    """A store that has no schema yet."""
    return new_central_url


@pytest.fixture
async def store(store: CentralStore) -> CentralStore:
    """A store that was migrated from nothing."""
    await store.migrate()
    return store


def at_no_time() -> Instant:
    """A clock for what needs none."""
    return Instant(0)


def differences(connection: Connection) -> list[object]:
    """Where the tables are not what the program expects. SQLite's index of an expression is left to its own test."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* expression-based index '?grants_with_credit")
        return list(compare_metadata(context, metadata))


async def test_the_migrations_make_the_tables_that_the_program_expects(store: CentralStore) -> None:
    """Every table, column, type and index, on each engine."""
    async with store.database.write() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_index_of_an_expression_is_the_one_that_the_program_expects(tmp_path: Path) -> None:
    """SQLite reports it only in words."""
    path = tmp_path / "central.db"
    async with CentralStore(f"sqlite:///{path}", at_no_time) as store:
        await store.migrate()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((made,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'grants_with_credit'").fetchall()
    (expected,) = (each for each in tables.grants.indexes if each.name == "grants_with_credit")
    assert made == str(CreateIndex(expected).compile(dialect=sqlite.dialect()))


async def test_migrating_again_changes_nothing(store: CentralStore) -> None:
    """What is in the store stays."""
    await opened(store, ACME, permanent=5)
    for _ in range(2):
        await store.migrate()
    assert await lines(store) == [("GRANTED", 5, 5)]
    async with store.database.write() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_programs_migrate_at_once(central_url: str) -> None:
    """One does, the others find it done."""
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(CentralStore(central_url, at_no_time)) for _ in range(6)]
        await asyncio.gather(*(each.migrate() for each in stores))
        async with stores[0].database.write() as connection:
            assert await connection.run_sync(differences) == []


@pytest.mark.long
def test_several_processes_migrate_at_once(central_url: str) -> None:
    """As when a host's sidecars start together on a new store."""
    command = [sys.executable, "-W", "error", "-c", MIGRATE, central_url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for each in started:
        _, complaint = each.communicate()
        assert (each.returncode, complaint) == (0, "")


async def test_a_store_of_a_newer_program_is_refused(store: CentralStore) -> None:
    """An older one would write what the newer does not expect."""
    async with store.database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CentralMisconfigured, match="is not of this version") as refused:
        await store.migrate()
    assert "\n" not in str(refused.value)


async def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    """If one of its tables has a name that is needed; half a schema is not left there."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE history (url TEXT)")
    async with CentralStore(f"sqlite:///{path}", at_no_time) as store:
        with pytest.raises(CentralMisconfigured, match="has a table history, but no version of its schema"):
            await store.migrate()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("history",)]


def migration(name: str) -> ModuleType:
    """A migration by the name of its file."""
    path = str(files("creditmeter.central.schema").joinpath(f"migrations/versions/{name}.py"))
    spec = importlib.util.spec_from_file_location("migration", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def file_what_is_there(connection: Connection) -> None:
    """Do to lines of an older version what the migration does to them."""
    with Operations.context(MigrationContext.configure(connection)):
        migration("0006_history_filters")._say_kinds_and_sources_of_what_is_there()


async def test_history_of_an_older_version_is_found_by_kind_and_source(store: CentralStore, here: Peer) -> None:
    """Every line gets what it would be written with now: those about a grant, with draws on several, and about none."""
    await opened(store, daily=5, monthly=6, permanent=7)
    await here.exchange(need=15)
    charge = here.charge("c", 15)
    await here.exchange(charge, here.charge("over", 0, excess=9))
    await refund(store, charge.charge_id, 3, name="back")
    await refund(store, charge.charge_id, 2, mode=RefundMode.GOODWILL, name="sorry")
    gift = await give(store, "gift", 4)
    await void(store, gift.grant_id)
    history = tables.history
    query = select(history.c.number, history.c.type, history.c.kinds, history.c.sources).order_by(history.c.number)
    async with store.database.write() as connection:
        written = (await connection.execute(query)).all()
        await connection.execute(update_rows(history).values(kinds=0, sources=0))
        await connection.run_sync(file_what_is_there)
        assert (await connection.execute(query)).all() == written
    assert {(row.kinds, row.sources) for row in written} >= {(0, 0), (1, 1), (4, 4), (4, 32), (7, 5)}


VERSIONS_OF_RUNNING_SUMS = ("0014_balance_days", "0013_running_sums", "0012_pruning")


def take_back_and_migrate(connection: Connection) -> None:
    """Make the tables those of version 0011 with all that is in them, and then migrate them again."""
    with Operations.context(MigrationContext.configure(connection)):
        for name in VERSIONS_OF_RUNNING_SUMS:
            migration(name).downgrade()
        for name in reversed(VERSIONS_OF_RUNNING_SUMS):
            migration(name).upgrade()


async def test_an_account_of_an_older_version_goes_on(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """With debt, a grant that has begun since and one that has not, the answer to a message, and a balance in the past."""
    await opened(store, permanent=5, overdraft=9)
    message = here.message(here.charge("c", 0, excess=8))
    answer = await here.send(message)
    await give(store, "soon", 1, effective_at=Instant(NOON + HOUR))
    await give(store, "later", 4, effective_at=Instant(NOON + 2 * HOUR))
    clock.advance(HOUR)
    async with store.database.write() as connection:
        await connection.run_sync(take_back_and_migrate)
        assert await connection.run_sync(differences) == []
        marked = (
            await connection.execute(select(tables.grants.c.amount_microcredits).where(tables.grants.c.begins_later))
        ).all()
        assert sorted(marked) == [(1,), (4,)]
        assert (await connection.execute(select(tables.exchanges.c.answered_at))).scalar_one() == NOON
    assert await here.send(message) == answer
    assert (await verify_database(store.database)).problems == ()
    await here.exchange()
    assert (await balance_summary(store)).debt == 2
    clock.advance(HOUR)
    await here.exchange()
    assert ((await balance_summary(store)).debt, await available(store)) == (0, 2)
    clock.advance(DAY)
    found = await store.past_balances.read(ACME, Instant(NOON + HOUR))
    assert isinstance(found, PastBalance)
    assert (found.balance, found.adds_up) == (4, True)


def forget_answers_and_migrate(connection: Connection) -> None:
    """Make the recalls those of version 0014, and then migrate them again."""
    with Operations.context(MigrationContext.configure(connection)):
        migration("0015_recall_answers").downgrade()
        migration("0015_recall_answers").upgrade()


async def test_a_recall_of_an_older_version_has_no_answers(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """Whoever may have credit is asked anew when the need is asked for again."""
    await opened(store, permanent=5)
    await elsewhere.exchange(need=5)
    first = await here.exchange(need=2)
    await elsewhere.holds(5)
    async with store.database.write() as connection:
        await connection.run_sync(forget_answers_and_migrate)
        assert await connection.run_sync(differences) == []
    again = Need(Microcredits(2), Microcredits(2), Microcredits(2), since=first.asked_at)
    assert (await here.exchange(need=again)).is_pending
    await elsewhere.holds(5)
    assert not (await here.exchange(need=again)).is_pending


def forget_alerts_ahead_and_migrate(connection: Connection) -> None:
    """Make the states of alerts those of version 0015, and then migrate them again."""
    with Operations.context(MigrationContext.configure(connection)):
        migration("0017_alerts_ahead").downgrade()
        migration("0017_alerts_ahead").upgrade()


async def test_an_alert_of_an_older_version_has_fired_once(store: CentralStore, clock: ManualClock, here: Peer) -> None:
    """It stays silent for the rest of its period, also by a clock that is put right since."""
    await opened(store, daily=10)
    await update(store, "alert", AccountUpdate(alerts=(Alert(amount=Microcredits(3)),)))
    clock.step_wall(DAY)
    await here.exchange(here.charge("ahead", 0, excess=8), leases=())
    clock.step_wall(-DAY)
    async with store.database.write() as connection:
        await connection.run_sync(forget_alerts_ahead_and_migrate)
        assert await connection.run_sync(differences) == []
    await here.exchange(here.charge("today", 0, excess=8), leases=())
    assert [each[0] for each in await lines(store)].count("LOW_BALANCE") == 1
