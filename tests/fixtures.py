"""Fixtures for tests that run a whole sidecar."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from creditmeter.central.store import CentralStore
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.server.opening import load_rate_card
from tests.clocks import ManualClock
from tests.postgres import PostgresServer
from tests.sidecar.bench import Bench

ENGINES = ("sqlite", "postgresql")
"""What a central store runs on."""


@pytest.fixture
def clock() -> ManualClock:
    """A clock at noon."""
    return ManualClock()


@pytest.fixture(scope="session")
def card() -> LoadedCard:
    """The rate card that comes with the package."""
    return load_rate_card(None)


@pytest.fixture(params=ENGINES)
def new_central_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A central store that was never used, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'central.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=ENGINES)
def central_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A central store with a schema and nothing in it, on each engine. To make one takes longer than most tests run, so a
    PostgreSQL database is emptied and used again.
    """
    return store_on(request.param, request, tmp_path)


def store_on(engine: str, request: pytest.FixtureRequest, directory: Path) -> str:
    """The same on this engine."""
    if engine == "sqlite":
        copy = directory / "central.db"
        shutil.copyfile(request.getfixturevalue("migrated_file"), copy)
        return f"sqlite:///{copy}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    server.start()
    url: str = request.getfixturevalue("migrated_database")
    server.empty_database(url)
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema."""
    file = tmp_path_factory.mktemp("schema") / "central.db"
    asyncio.run(_migrate(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """A PostgreSQL database with the schema."""
    return migrated_on(postgres_server)


def migrated_on(server: PostgresServer) -> str:
    """A new database with the schema."""
    url = server.create_database("migrated")
    asyncio.run(_migrate(url))
    return url


async def _migrate(url: str) -> None:
    async with CentralStore(url, lambda: Instant(0)) as store:
        await store.migrate()


@pytest.fixture
async def bench(tmp_path: Path, clock: ManualClock, card: LoadedCard, central_url: str) -> AsyncIterator[Bench]:
    """A started sidecar with a central store."""
    bench = Bench(tmp_path, clock, card, central_url)
    await bench.start()
    yield bench
    await bench.crash()


@pytest.fixture
async def other(bench: Bench) -> AsyncIterator[Bench]:
    """A second sidecar on the same central store."""
    other = bench.beside("other")
    await other.start()
    yield other
    await other.crash()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cm") as path:
        yield Path(path)
