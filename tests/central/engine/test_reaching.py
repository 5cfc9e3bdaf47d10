"""Reaching the central store: what passes by itself is an outage, what does not is reported to the operator in one line."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from creditmeter.central.engine.addresses import servers_in
from creditmeter.central.engine.database import parse_url, shown_address
from creditmeter.central.engine.faults import CentralMisconfigured, CentralUnavailable
from creditmeter.central.store import CentralStore
from tests.central.accounts import ACME, give, lines, opened
from tests.central.addresses import ODD_ADDRESSES
from tests.central.engine.reaching import attempted, noon, reach
from tests.postgres import PostgresServer

NOBODY_LISTENS = "postgresql://postgres:secret@127.0.0.1:1/credits"


async def complaint(url: str) -> str:
    """What the operator reads of a store that cannot be used. A running sidecar sees no more than an outage."""
    async with CentralStore(url, noon) as store:
        with pytest.raises(CentralMisconfigured) as refused:
            await store.migrate()
        with pytest.raises(CentralUnavailable):
            await reach(store)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# Addresses.


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "this is not the address of a central store: use sqlite:///PATH or postgresql://"),
        ("central.db", "this is not the address of a central store"),
        ("mysql://host/name", "'mysql' is no central engine: use sqlite:///PATH or postgresql://…"),
        ("postgresql+psycopg://host/name", "'postgresql+psycopg' is no central engine"),
        ("sqlite://", "the SQLite central store needs a file: sqlite:///PATH"),
        ("sqlite:///:memory:", "the SQLite central store needs a file: sqlite:///PATH"),
        ("postgresql://host:port/name", "this is not the address of a central store"),
        ("postgresql://me:secret@/name?host=a:1&host=b:port", "this is not the address of a central store"),
        ("postgresql://me:secret@host:0/name", "this is not the address of a central store"),
        ("postgresql://me:secret@host:65536/name", "this is not the address of a central store"),
        ("postgresql://me@host:" + "9" * 5_000, "this is not the address of a central store"),
        ("postgresql:///name?port=port", "this is not the address of a central store"),
        ("postgresql:///name?host=a&port=1,²", "this is not the address of a central store"),
        *((address, "this is not the address of a central store") for address in ODD_ADDRESSES),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, says: str) -> None:
    """The line says what would be one, and shows no password."""
    with pytest.raises(CentralMisconfigured) as refused:
        CentralStore(address, noon)
    assert str(refused.value).startswith(says)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", ["postgresql://me:hunter2@host/x", "postgresql:///x?PassWord=hunter2&sslpassword=hunter2"])
def test_an_address_is_shown_without_its_password(address: str) -> None:
    """Wherever that stands."""
    assert "hunter2" not in shown_address(parse_url(address))


async def test_a_setting_that_the_driver_cannot_read_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the address, or in the environment that it shares with PostgreSQL's own tools."""
    for settings in ("sslmode=maybe", "sslmode=require&ssl_min_protocol_version=new"):
        assert "cannot be used: " in await complaint(f"{postgres_url}?{settings}")
    monkeypatch.setenv("PGPORT", "port")
    assert "cannot be used: " in await complaint("postgresql:///name")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_postgresql_goes_by_both_its_names(scheme: str) -> None:
    """As its own tools have it."""
    assert parse_url(f"{scheme}://host/name").drivername == "postgresql+asyncpg"


@pytest.mark.parametrize(
    ("address", "servers"),
    [
        ("postgresql://me@/name", [(None, None)]),
        ("postgresql://me@one/name", [("one", None)]),
        ("postgresql://me@one:5433/name", [("one", 5433)]),
        ("postgresql://me@/name?host=one:1&host=two:2", [("one", 1), ("two", 2)]),
        ("postgresql://me@/name?host=one:1,two", [("one", 1), ("two", None)]),
        ("postgresql://me@/name?host=[::1]:7&host=[::2]", [("::1", 7), ("::2", None)]),
        ("postgresql://me@/name?host=/run/postgresql", [("/run/postgresql", None)]),
    ],
)
def test_an_address_names_one_server_or_several(address: str, servers: list[tuple[str | None, int | None]]) -> None:
    """As SQLAlchemy writes them."""
    assert servers_in(parse_url(address)) == tuple(servers)


# Files.


@pytest.mark.parametrize("size", [20, 20_000])
async def test_a_file_that_is_no_database_is_told(tmp_path: Path, size: int) -> None:
    """It stays as it was."""
    path = tmp_path / "central.db"
    diary = b"Dear diary, today I " * (size // 20)
    path.write_bytes(diary)
    assert await complaint(f"sqlite:///{path}") == f"the central store sqlite:///{path} cannot be used: file is not a database"
    assert path.read_bytes() == diary


@pytest.mark.parametrize("place", ["missing/central.db", "file/central.db", "directory"])
async def test_a_place_where_no_file_can_be_is_told(tmp_path: Path, place: str) -> None:
    """Rather than waited for."""
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    assert "unable to open database file" in await complaint(f"sqlite:///{tmp_path / place}")


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    """Its first page is a database's, the rest is not."""
    path = tmp_path / "central.db"
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        await store.migrate()
    os.truncate(path, 3 * 4096)
    async with CentralStore(f"sqlite:///{path}", noon) as store:
        with pytest.raises(CentralMisconfigured, match="database disk image is malformed"):
            await store.migrate()


# PostgreSQL.


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    """Said at once, for it may come yet, in the words of the event loop or of the system."""
    async with asyncio.timeout(20), CentralStore(NOBODY_LISTENS, noon) as store:
        for attempt in (store.migrate, store.ping):
            with pytest.raises(CentralUnavailable, match=r"Connect call failed|Connection refused") as refused:
                await attempt()
            assert not refused.value.is_lasting


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("/test_", "/no_test_"), 'database "no_test_'),
        (("postgres@", "nobody:secret@"), 'role "nobody" does not exist'),
    ],
)
async def test_a_server_that_does_not_let_us_in_is_told(postgres_url: str, changed: tuple[str, str], says: str) -> None:
    """No such database, no such user: waiting does not help. The line says which address was meant, without a password."""
    line = await complaint(postgres_url.replace(*changed))
    assert says in line
    assert "127.0.0.1" in line
    assert "secret" not in line


async def test_a_store_that_was_never_migrated_is_told(postgres_url: str) -> None:
    """A table that is not there does not come by itself."""
    async with CentralStore(postgres_url, noon) as store:
        with pytest.raises(CentralUnavailable, match='relation "accounts" does not exist') as refused:
            await store.administration.list_accounts(5)
    assert refused.value.is_lasting


async def test_an_outage_in_the_middle_undoes_what_was_begun(postgres_server: PostgresServer, postgres_url: str) -> None:
    """Whether it was done is unknown to the caller; it was not. When the server is back, so is the store."""
    async with CentralStore(postgres_url, noon) as store:
        await store.migrate()
        await opened(store, ACME, permanent=5)
        with pytest.raises(CentralUnavailable):
            await _grant_while_the_server_dies(store, postgres_server)
        with pytest.raises(CentralUnavailable):
            await reach(store)
        postgres_server.start()
        assert await lines(store) == [("GRANTED", 5, 5)]


async def _grant_while_the_server_dies(store: CentralStore, server: PostgresServer) -> None:
    async with store.database.write() as connection:
        await connection.execute(text("UPDATE history SET amount_microcredits = 6"))
        server.kill()
        await connection.execute(text("UPDATE accounts SET balance_microcredits = 6"))


async def test_a_server_that_is_starting_is_an_outage(postgres_server: PostgresServer, postgres_url: str) -> None:
    """It answers, but not yet as a database: that passes."""
    outages = []
    async with asyncio.timeout(60), CentralStore(postgres_url, noon) as store:
        postgres_server.kill()
        postgres_server._spawn()
        while (outage := await attempted(store)) is not None:
            outages.append(outage)
    assert outages
    assert not any(each.is_lasting for each in outages)


async def test_a_connection_that_the_server_ended_is_replaced(postgres_url: str) -> None:
    """As a restart between two calls does: nobody notices."""
    async with CentralStore(postgres_url, noon) as store:
        async with store.database.read() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with CentralStore(postgres_url, noon) as other, other.database.write() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        await reach(store)


async def test_a_server_that_does_not_answer_is_an_outage(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection is waited for no longer than a few seconds."""
    monkeypatch.setattr("creditmeter.central.engine.postgresql.CONNECT_TIMEOUT_SECONDS", 0.2)
    assert postgres_server._process is not None
    async with CentralStore(postgres_url, noon) as store, asyncio.timeout(30):
        postgres_server._process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(CentralUnavailable):
                await reach(store)
        finally:
            postgres_server._process.send_signal(signal.SIGCONT)
    async with CentralStore(postgres_url, noon) as store:
        await reach(store)


async def test_a_statement_that_takes_too_long_is_an_outage(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds a lock and does not let go; the connection is usable afterwards."""
    async with CentralStore(postgres_url, noon) as holder:
        await holder.migrate()
        await opened(holder, ACME, permanent=5)
        monkeypatch.setattr("creditmeter.central.engine.postgresql.STATEMENT_TIMEOUT_SECONDS", 0.2)
        async with CentralStore(postgres_url, noon) as store, asyncio.timeout(30):
            async with holder.database.write() as connection:
                await connection.execute(text("SELECT * FROM accounts FOR UPDATE"))
                with pytest.raises(CentralUnavailable) as refused:
                    await give(store, "more", 1)
            assert not refused.value.is_lasting
            await give(store, "more", 1)
            assert await lines(store) == [("GRANTED", 5, 5), ("GRANTED", 1, 6)]


async def test_statements_are_planned_for_the_ids_that_they_name(postgres_url: str) -> None:
    """On every connection, also one that was used before; else posting to a young, busy account slows down."""
    async with CentralStore(postgres_url, noon) as store:
        for _ in range(2):
            async with store.database.write() as connection:
                assert (await connection.execute(text("SHOW plan_cache_mode"))).scalar_one() == "force_custom_plan"


# A store that answers is not yet one that works.


async def test_a_store_that_works(central_url: str) -> None:
    """It is read and written, and what was written is not there afterwards."""
    async with CentralStore(central_url, noon) as store:
        await store.ping()
        async with store.database.read() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM sidecars"))).scalar_one() == 0


@pytest.mark.parametrize("table", ["accounts", "sidecars"])
async def test_a_store_that_lacks_a_table(new_central_url: str, table: str) -> None:
    """It answers, but no account can be read, or nothing written."""
    async with CentralStore(new_central_url, noon) as store:
        await store.migrate()
        async with store.database.write() as connection:
            await connection.execute(text(f"ALTER TABLE {table} RENAME TO elsewhere"))
        await reach(store)
        with pytest.raises(CentralUnavailable):
            await store.ping()


async def test_a_server_that_takes_no_writes(postgres_url: str) -> None:
    """A standby answers each question. If an address asks for any server, that is no reason to say that all is well."""
    async with CentralStore(postgres_url, noon) as store:
        await store.migrate()
    async with CentralStore(f"{postgres_url}?target_session_attrs=any&default_transaction_read_only=on", noon) as store:
        await reach(store)
        with pytest.raises(CentralUnavailable, match="read-only"):
            await store.ping()
