"""A program that nobody talks to without a token."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from creditmeter.server.app import running
from creditmeter.server.config import Settings
from tests.clocks import ManualClock
from tests.credentials import AccessFile
from tests.server.conftest import Services


@pytest.fixture
def access_file(data_dir: Path) -> AccessFile:
    """An access file that knows nobody."""
    return AccessFile(data_dir / "access.json")


@pytest.fixture
async def guarded(migrated_dir: Path, clock: ManualClock, access_file: AccessFile) -> AsyncIterator[Services]:
    """A running program with everything enabled, to which nobody may talk without a token, by its socket neither."""
    settings = Settings.load(
        None,
        listen=("127.0.0.1:0",),
        data_dir=migrated_dir,
        access_file=access_file.path,
        socket_scopes="none",
        enable_admin=True,
        channelz=True,
        settle_interval=0.02,
        shutdown_grace=0.2,
    )
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, migrated_dir, channel)
