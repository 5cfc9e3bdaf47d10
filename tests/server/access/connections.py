"""Programs that listen as a test says, and connections to them by TLS."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from creditmeter.server.app import Program, running
from creditmeter.server.config import Settings
from tests.clocks import ManualClock
from tests.credentials import Authority

TLS_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost"))


@contextlib.asynccontextmanager
async def program_with(data_dir: Path, clock: ManualClock, **settings: Any) -> AsyncIterator[Program]:
    """A running program with these settings."""
    known = {"listen": "127.0.0.1:0", "data_dir": data_dir, "settle_interval": 0.02, "shutdown_grace": 0.2}
    async with running(Settings.load(None, **known | settings), clock) as program:
        yield program


def by_tls(address: str, authority: Authority, pair: tuple[Path, Path] | None = None) -> grpc.aio.Channel:
    """A connection of its own by TLS, with a certificate if there is one."""
    cert, key = (None, None) if pair is None else (each.read_bytes() for each in pair)
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), key, cert)
    return grpc.aio.secure_channel(address, credentials, options=TLS_OPTIONS)
