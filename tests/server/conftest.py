"""A whole program in this process, called over its Unix socket."""

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.server.app import Program, running
from creditmeter.server.config import Settings
from creditmeter.v1 import (
    account_pb2_grpc,
    admin_pb2,
    admin_pb2_grpc,
    grants_pb2,
    metering_pb2_grpc,
)
from tests.clocks import ManualClock


@dataclass(frozen=True)
class Services:
    """A running program and stubs for its services."""

    program: Program
    data_dir: Path
    channel: grpc.aio.Channel
    metering: "metering_pb2_grpc.MeteringServiceAsyncStub"  # the stubs know it, the generated code does not
    account: "account_pb2_grpc.AccountServiceAsyncStub"
    admin: "admin_pb2_grpc.AdminServiceAsyncStub"

    @classmethod
    def on(cls, program: Program, data_dir: Path, channel: grpc.aio.Channel) -> "Services":
        """Stubs that call a program over this channel."""
        return cls(
            program,
            data_dir,
            channel,
            metering_pb2_grpc.MeteringServiceStub(channel),
            account_pb2_grpc.AccountServiceStub(channel),
            admin_pb2_grpc.AdminServiceStub(channel),
        )

    @property
    def tcp(self) -> str:
        """Its TCP address."""
        return self.program.addresses[0]

    async def send(self, path: str, received: bytes, *, streams: bool = False) -> Any:
        """Send some bytes to a method, whether or not they are a request of it."""
        channel: Any = self.channel
        if not streams:
            return await channel.unary_unary(path)(received)
        stream = channel.stream_stream(path)()
        await stream.write(received)
        return await stream.read()

    async def create(self, account_id: str, *, permanent: int = 0, daily: int = 0, monthly: int = 0, **terms: Any) -> None:
        """Open an account with so many microcredits."""
        plan = grants_pb2.Plan(plan_id=f"plan-{daily}-{monthly}", daily_microcredits=daily, monthly_microcredits=monthly)
        await self.admin.PutPlan(admin_pb2.PutPlanRequest(plan=plan))
        account = admin_pb2.Account(account_id=account_id, plan_id=plan.plan_id, **terms)
        await self.admin.CreateAccount(admin_pb2.CreateAccountRequest(request_id="create", account=account))
        if permanent:
            grant = admin_pb2.GrantCreditsRequest(request_id="grant", account_id=account_id, amount_microcredits=permanent)
            await self.admin.GrantCredits(grant)


class Failure:
    """The status of a failed call, with its details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.message = error.code(), error.details() or ""
        self.trailing = dict(error.trailing_metadata() or ())
        status = Status.FromString(self.trailing["grpc-status-details-bin"])
        self.info, self.bad_request, self.quota, self.retry = ErrorInfo(), BadRequest(), QuotaFailure(), RetryInfo()
        self.kinds = [detail.TypeName() for detail in status.details]
        for detail in status.details:
            for message in (self.info, self.bad_request, self.quota, self.retry):
                detail.Unpack(message)

    @property
    def fields(self) -> set[str]:
        """The fields that were wrong."""
        return {each.field for each in self.bad_request.field_violations}


async def failure(call: Any) -> Failure:
    """The error with which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Failure(caught.value)


@contextlib.asynccontextmanager
async def locked_store(services: Services) -> AsyncIterator[None]:
    """Keep the central store busy: nothing is leased meanwhile."""
    with contextlib.closing(sqlite3.connect(services.data_dir / "central.db", timeout=0)) as store:
        while not store.in_transaction:
            with contextlib.suppress(sqlite3.OperationalError):  # the sidecar is in a transaction
                store.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(0.001)
        yield


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory with a short path, so that a socket fits in it."""
    with tempfile.TemporaryDirectory(prefix="cm") as path:
        yield Path(path)


@pytest.fixture
def migrated_dir(data_dir: Path, migrated_file: Path) -> Path:
    """Such a directory with a central store that has the schema: to make that takes longer than most tests run."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    return data_dir


@pytest.fixture
async def services(migrated_dir: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """A running program with everything enabled."""
    settings = Settings.load(
        None, listen=("127.0.0.1:0",), data_dir=migrated_dir, enable_admin=True, settle_interval=0.02, shutdown_grace=0.2
    )
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, migrated_dir, channel)
