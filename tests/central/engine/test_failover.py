"""A PostgreSQL server that restarts, dies, hangs or hands over: one transaction fails at most, and the next one works."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError

from creditmeter.central.decisions.registration import admit
from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.messages import Fenced
from creditmeter.core.ids import SidecarId
from tests.central.accounts import ACME, give, lines, opened
from tests.central.engine.reaching import attempted, noon, reach
from tests.fixtures import migrated_on
from tests.postgres import PostgresServer

POOL_SIZE = 5


@pytest.fixture(scope="module")
def pair(postgres_server: PostgresServer) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers of the tests' own. Asking for the shared one first skips them where there is none."""
    with PostgresServer() as one, PostgresServer() as other:
        yield one, other


@pytest.fixture
def one(pair: tuple[PostgresServer, PostgresServer]) -> PostgresServer:
    """A server that may be stopped and killed."""
    pair[0].start()
    return pair[0]


@pytest.fixture
def url(one: PostgresServer) -> Iterator[str]:
    """An empty database on it."""
    url = one.create_database()
    yield url
    one.start()
    one.drop_database(url)


@pytest.fixture(scope="module")
def schemas(pair: tuple[PostgresServer, PostgresServer]) -> list[str]:
    """A database with the schema on each of them, of which tests have copies."""
    for server in pair:
        server.start()
    return [migrated_on(server) for server in pair]


@pytest.fixture
async def both(pair: tuple[PostgresServer, PostgresServer], schemas: list[str]) -> str:
    """A database that is on both servers, with the same account; as if the second were the first one's standby."""
    for server in pair:
        server.start()
    name = f"both_{secrets.token_hex(4)}"
    for server, schema in zip(pair, schemas, strict=True):
        async with CentralStore(server.create_database(name, like=schema), noon) as store:
            await opened(store, ACME, permanent=5)
    hosts = "&".join(f"host={server.host}:{server.port}" for server in pair)
    return f"postgresql://postgres@/{name}?{hosts}"


async def ask(store: CentralStore, query: str) -> object:
    """The outcome of one transaction."""
    async with store.database.write() as connection:
        return (await connection.execute(text(query))).scalar_one()


async def session(store: CentralStore) -> object:
    """Which session of the server answers."""
    return await ask(store, "SELECT pg_backend_pid()")


async def port(store: CentralStore) -> int:
    """Which server answers."""
    return int(str(await ask(store, "SELECT current_setting('port')")))


async def fill_pool(store: CentralStore) -> set[object]:
    """Use all connections at once; returns their sessions."""
    all_there = asyncio.Barrier(POOL_SIZE)

    async def use() -> object:
        async with store.database.write() as connection:
            found = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await all_there.wait()
            return found

    return set(await asyncio.gather(*(use() for _ in range(POOL_SIZE))))


# Restarts.


async def test_a_restart_between_transactions_goes_unnoticed(one: PostgresServer, url: str) -> None:
    """Every connection in the pool is replaced before it is used."""
    async with CentralStore(url, noon) as store:
        before = await fill_pool(store)
        await asyncio.to_thread(one.restart)
        after = await fill_pool(store)
    assert len(before) == len(after) == POOL_SIZE
    assert not before & after


async def test_a_restart_within_a_transaction_fails_that_one_alone(one: PostgresServer, url: str) -> None:
    """It had no effect, and the next one works at once."""
    async with CentralStore(url, noon) as store:
        await store.migrate()
        await opened(store, ACME, permanent=5)
        await fill_pool(store)
        with pytest.raises(CentralUnavailable) as refused:
            await _write_over(store, one.restart)
        assert not refused.value.is_lasting
        assert await lines(store) == [("GRANTED", 5, 5)]
        assert len(await fill_pool(store)) == POOL_SIZE


async def _write_over(store: CentralStore, happens: Callable[[], None]) -> None:
    async with store.database.write() as connection:
        await connection.execute(text("UPDATE history SET amount_microcredits = 6"))
        await asyncio.to_thread(happens)
        await connection.execute(text("UPDATE accounts SET balance_microcredits = 6"))


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.quit, PostgresServer.kill])
async def test_a_server_that_ends_under_a_statement_is_an_outage(
    one: PostgresServer, url: str, end: Callable[[PostgresServer], None]
) -> None:
    """However it ends: in order (57P01), at once (57P02), or without a word. It passes; nobody has to be started again."""
    async with CentralStore(url, noon) as store, CentralStore(url, noon) as other:
        running = asyncio.create_task(ask(store, "SELECT pg_sleep(100)"))
        while not await ask(other, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'"):
            assert not running.done()
        await asyncio.to_thread(end, one)
        with pytest.raises(CentralUnavailable) as refused:
            await asyncio.wait_for(running, 5)
        assert not refused.value.is_lasting
        for each in (store, other):
            outage = await attempted(each)
            assert outage is not None
            assert not outage.is_lasting
        await asyncio.to_thread(one.start)
        assert not any(await asyncio.gather(attempted(store), attempted(other)))


async def test_a_session_that_is_ended_under_a_statement_is_an_outage(url: str) -> None:
    """As an operator ends one that is in the way."""
    async with CentralStore(url, noon) as store, CentralStore(url, noon) as other:
        await reach(store)
        running = asyncio.create_task(ask(store, "SELECT pg_sleep(100)"))
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'"
        while not await ask(other, ended):
            assert not running.done()
        with pytest.raises(CentralUnavailable) as refused:
            await asyncio.wait_for(running, 5)
        assert not refused.value.is_lasting
        await reach(store)


# Another server takes over.


async def test_when_the_first_server_is_gone_the_second_is_used(pair: tuple[PostgresServer, PostgresServer], both: str) -> None:
    """Between two transactions nobody notices. When the first is back, the second stays in use."""
    one, other = pair
    async with CentralStore(both, noon) as store:
        assert await port(store) == one.port
        await asyncio.to_thread(one.stop)
        assert await port(store) == other.port
        await give(store, "more", 1)
        await asyncio.to_thread(one.start)
        await asyncio.to_thread(other.restart)
        assert await port(store) == other.port
        assert await lines(store) == [("GRANTED", 5, 5), ("GRANTED", 1, 6)]


async def test_a_primary_that_takes_no_writes_any_more_is_left(pair: tuple[PostgresServer, PostgresServer], both: str) -> None:
    """The write that finds it out has no effect (25006); the next one goes to the server that takes writes."""
    one, other = pair
    async with CentralStore(both, noon) as store:
        await fill_pool(store)
        await _take_writes(store, "off")
        try:
            with pytest.raises(CentralUnavailable, match="read-only") as refused:
                await give(store, "more", 1)
            assert not refused.value.is_lasting
            await give(store, "more", 1)
            assert await port(store) == other.port
            async with CentralStore(both, noon) as newcomer:
                assert await port(newcomer) == other.port
        finally:
            async with CentralStore(_only(both, one), noon) as demoted:
                await _take_writes(demoted, "on")


async def test_servers_of_which_none_takes_writes_are_an_outage(pair: tuple[PostgresServer, PostgresServer], both: str) -> None:
    """Until one of them is promoted. Who only reads may say that any will do."""
    one, other = pair
    async with CentralStore(both, noon) as store, CentralStore(_only(both, one), noon) as demoted:
        await _take_writes(demoted, "off")
        await asyncio.to_thread(other.stop)
        try:
            outage = await attempted(store)
            assert outage is not None
            assert not outage.is_lasting
        finally:
            await _take_writes(demoted, "on")
        assert await attempted(store) is None


def _only(both: str, server: PostgresServer) -> str:
    """The address of one of two servers, whether it takes writes or not."""
    name = both.partition("?")[0].rpartition("/")[2]
    return f"postgresql://postgres@{server.host}:{server.port}/{name}?target_session_attrs=any"


async def _take_writes(store: CentralStore, on: str) -> None:
    """Have the server take writes or not, in sessions that run too."""
    setting = {"on": "off", "off": "on"}[on]
    async with store.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as alone:
        await alone.execute(text("SET default_transaction_read_only = off"))
        await alone.execute(text(f"ALTER SYSTEM SET default_transaction_read_only = {setting}"))
        await alone.execute(text("SELECT pg_reload_conf()"))
        await alone.run_sync(Connection.invalidate)  # its session has a setting of its own now
    while await ask(store, "SELECT current_setting('default_transaction_read_only')") != setting:
        pass


# Nothing waits without bound.


async def test_a_first_server_that_does_not_answer_is_passed_over(
    pair: tuple[PostgresServer, PostgresServer], both: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a time of its own to answer, so that the others have their turn."""
    monkeypatch.setattr("creditmeter.central.engine.postgresql.CONNECT_TIMEOUT_SECONDS", 0.5)
    one, other = pair
    async with CentralStore(both, noon) as store, asyncio.timeout(20):
        with one.paused():
            assert await port(store) == other.port


@pytest.mark.long
async def test_a_server_that_falls_silent_is_given_up(one: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails after a while, closing takes no longer, and when the server answers again so does the store."""
    for name in ("CONNECT_TIMEOUT_SECONDS", "STATEMENT_TIMEOUT_SECONDS", "_NO_ANSWER_SECONDS"):
        monkeypatch.setattr(f"creditmeter.central.engine.postgresql.{name}", 1)
    async with CentralStore(url, noon) as store, CentralStore(url, noon) as other:
        await fill_pool(store)
        await fill_pool(other)
        started = time.monotonic()
        with one.paused():
            outages = await asyncio.gather(*(attempted(store) for _ in range(2 * POOL_SIZE)))
            await other.close()
        assert time.monotonic() - started < 40
        assert not any(each is None or each.is_lasting for each in outages)
        assert await attempted(store) is None


async def test_a_pool_that_is_used_up_is_an_outage(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its places are waited for, but not for ever."""
    monkeypatch.setattr("creditmeter.central.engine.postgresql.CONNECT_TIMEOUT_SECONDS", 0.5)
    done = asyncio.Event()
    async with CentralStore(url, noon) as store:

        async def occupy() -> None:
            async with store.database.write() as connection:
                await connection.execute(text("SELECT 1"))
                occupied.set()
                await done.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(POOL_SIZE):
                occupied = asyncio.Event()
                group.create_task(occupy())
                await occupied.wait()
            outage = await attempted(store)
            waiting = group.create_task(attempted(store))
            done.set()
        assert outage is not None
        assert not outage.is_lasting
        assert await waiting is None


async def test_who_vanishes_in_a_transaction_keeps_no_rows_locked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends a transaction in which nothing is said any more."""
    async with CentralStore(url, noon) as store:
        await store.migrate()
        await opened(store, ACME, permanent=5)
        monkeypatch.setattr("creditmeter.central.engine.postgresql.STATEMENT_TIMEOUT_SECONDS", 0.2)
        async with CentralStore(url, noon) as vanished:
            with pytest.raises(CentralUnavailable):
                await _give_under_lock(vanished, store)
        assert await lines(store) == [("GRANTED", 5, 5), ("GRANTED", 1, 6)]


async def _give_under_lock(vanished: CentralStore, store: CentralStore) -> None:
    async with vanished.database.write() as connection:
        await connection.execute(text("SELECT * FROM accounts FOR UPDATE"))
        await give(store, "more", 1)
        await connection.execute(text("SELECT 1"))


# What is no outage.


async def test_a_value_that_no_database_can_take_is_a_fault_of_the_program(url: str) -> None:
    """Repeating it would not help; the connection stays in use."""
    async with CentralStore(url, noon) as store:
        before = await session(store)
        for query, value in (("SELECT 1 / CAST(:value AS bigint)", 0), ("SELECT CAST(:value AS bigint)", 2**64)):
            with pytest.raises(DBAPIError):
                async with store.database.write() as connection:
                    await connection.execute(text(query), {"value": value})
        assert await session(store) == before


@pytest.mark.parametrize("setting", ["sslmode=perhaps", "target_session_attrs=perhaps", "no_such_setting=1"])
async def test_a_setting_that_is_wrong_is_told(url: str, setting: str) -> None:
    """Waiting does not help."""
    async with CentralStore(f"{url}?{setting}", noon) as store:
        outage = await attempted(store)
    assert outage is not None
    assert outage.is_lasting


async def lock_soon(store: CentralStore, locks: TextClause) -> None:
    """Take a lock, if it is to be had within a moment."""
    async with store.database.write() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 50"))
        await connection.execute(locks)


async def test_a_lock_that_others_have_is_no_outage(url: str) -> None:
    """A call that waited for it in vain learns that others are in the way; the connections stay as they are."""
    async with CentralStore(url, noon) as store:
        await store.migrate()
        await opened(store, ACME)
        sessions = await fill_pool(store)
        locks = text("SELECT 1 FROM accounts FOR UPDATE")
        async with store.database.write() as holder:
            await holder.execute(locks)
            with pytest.raises(CentralUnavailable) as caught:
                await lock_soon(store, locks)
        assert caught.value.is_crowded
        assert await fill_pool(store) == sessions


async def test_decisions_do_not_rest_on_the_servers_default(url: str) -> None:
    """Of isolation: an operator may have set another one for all."""
    async with CentralStore(url, noon) as store:
        await ask(store, "SELECT set_config('default_transaction_isolation', 'serializable', false)")
        assert await ask(store, "SHOW transaction_isolation") == "read committed"


async def test_a_heartbeat_is_heard_while_messages_are_applied(url: str) -> None:
    """Those come one after another without a pause; neither waits for the other."""
    async with CentralStore(url, noon) as store:
        await store.migrate()
        registered = await store.registration.register(SidecarId("s1"), 0, "nonce")
        assert not isinstance(registered, Fenced)
        async with store.database.write() as connection:
            assert await admit(connection, SidecarId("s1"), registered.epoch) == 0
            async with asyncio.timeout(5):
                assert await store.registration.beat(SidecarId("s1"), registered.epoch) == 0
            registering = asyncio.create_task(store.registration.register(SidecarId("s1"), registered.epoch, "another"))
            await asyncio.wait({registering}, timeout=0.2)
            assert not registering.done(), "a message is applied wholly before or after a registration"
        assert not isinstance(await registering, Fenced)
