"""A real sidecar over its Unix socket, an account with 100 credits, and a client with something between that loses messages."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from creditmeter.client import Client, Retry
from creditmeter.client.stubs import Connection, call
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.sidecar.clock import SystemClock
from creditmeter.v1 import admin_pb2
from tests.client.proxy import Proxy, proxy_to

CREDIT = 1_000_000
ACCOUNT = "acme"
QUICK = Retry(total=0.3, first_delay=0.01, longest_delay=0.05, attempt=5)
"""Few attempts that do not hurry: what is lost is told as UNAVAILABLE."""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        yield Path(directory)


@asynccontextmanager
async def sidecar(data_dir: Path, **settings: object) -> AsyncIterator[str]:
    """A sidecar in this process; gives the address of its socket."""
    chosen: dict[str, object] = {"settle_interval": 0.02, "shutdown_grace": 0.2, **settings}
    loaded = Settings.load(None, listen=("127.0.0.1:0",), data_dir=data_dir, enable_admin=True, **chosen)
    async with running(loaded, SystemClock()):
        yield loaded.socket_address


async def give(address: str, account_id: str, microcredits: int) -> None:
    """Open an account with permanent credit."""
    async with Connection(address) as connection:
        account = admin_pb2.Account(account_id=account_id)
        await call(connection.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="a", account=account))
        grant = admin_pb2.GrantCreditsRequest(request_id="g", account_id=account_id, amount_microcredits=microcredits)
        await call(connection.admin.GrantCredits, grant)


@pytest.fixture
async def address(data_dir: Path, migrated_file: Path) -> AsyncIterator[str]:
    """The address of a sidecar with the account `acme`, which has 100 credits."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    async with sidecar(data_dir) as running_at:
        await give(running_at, ACCOUNT, 100 * CREDIT)
        yield running_at


@pytest.fixture
async def proxy(address: str, data_dir: Path) -> AsyncIterator[Proxy]:
    """What is between a client and the sidecar."""
    async with proxy_to(address, data_dir) as between:
        yield between


@pytest.fixture
async def meter(proxy: Proxy) -> AsyncIterator[Client]:
    """A client that reaches the sidecar through the proxy."""
    async with Client(proxy.address, retry=QUICK) as client:
        yield client
