"""Fixtures for tests that run a whole sidecar."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from creditmeter.core.rate_card import RateCard
from creditmeter.server.app import load_rate_card
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench


@pytest.fixture
def clock() -> ManualClock:
    """A clock at noon."""
    return ManualClock()


@pytest.fixture(scope="session")
def card() -> RateCard:
    """The rate card that comes with the package."""
    return load_rate_card(None)


@pytest.fixture(params=["sqlite", "postgresql"])
def central_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty central store, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'central.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def bench(tmp_path: Path, clock: ManualClock, card: RateCard, central_url: str) -> AsyncIterator[Bench]:
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
