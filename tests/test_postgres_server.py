"""The PostgreSQL server that other tests lean on: it starts, keeps databases apart, and comes back after an outage."""

from collections.abc import Iterator

import asyncpg
import pytest

from tests.postgres import PostgresServer


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that only these tests stop and kill. Asking for the shared one first skips them where there is none."""
    with PostgresServer() as server:
        yield server


async def write(url: str, value: int) -> None:
    """Create a table that holds one value."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE kept (value bigint)")
        await connection.execute("INSERT INTO kept VALUES ($1)", value)
    finally:
        await connection.close()


async def read(url: str) -> int:
    """Return the value that `write` left in the database."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT value FROM kept"))
    finally:
        await connection.close()


async def test_a_url_leads_to_an_empty_database(postgres_url: str) -> None:
    """The fixture's database answers and has no tables of its own."""
    connection = await asyncpg.connect(postgres_url)
    try:
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    assert tables == 0


async def test_two_databases_are_separate(server: PostgresServer) -> None:
    """What is written to one database is not seen in another."""
    one, other = server.create_database(), server.create_database()
    await write(one, 1)
    await write(other, 2)
    assert (await read(one), await read(other)) == (1, 2)


async def test_a_database_survives_a_restart(server: PostgresServer) -> None:
    """After a stop and a start in good order the address is the same and the rows are there."""
    url = server.create_database()
    await write(url, 7)
    server.restart()
    assert await read(url) == 7


async def test_a_stopped_server_refuses_connections(server: PostgresServer) -> None:
    """Between stop and start nobody gets in; afterwards the rows are there."""
    url = server.create_database()
    await write(url, 8)
    server.stop()
    assert not server.running
    with pytest.raises(OSError, match=r"Connect call failed|Connection refused"):
        await asyncpg.connect(url)
    server.start()
    assert await read(url) == 8


async def test_committed_rows_survive_a_kill(server: PostgresServer) -> None:
    """A crash takes open connections with it, but no row that was acknowledged."""
    url = server.create_database()
    connection = await asyncpg.connect(url)
    await write(url, 9)
    server.kill()
    with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    connection.terminate()
    server.start()
    assert await read(url) == 9


async def test_a_dropped_database_is_gone(server: PostgresServer) -> None:
    """Dropping disconnects those who still use it."""
    url = server.create_database()
    connection = await asyncpg.connect(url)
    server.drop_database(url)
    connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


def test_a_removed_server_leaves_nothing(server: PostgresServer) -> None:
    """Removing a server deletes its directory."""
    with PostgresServer() as short_lived:
        directory = short_lived.directory
        assert directory.exists()
    assert not directory.exists()
    assert not short_lived.running
