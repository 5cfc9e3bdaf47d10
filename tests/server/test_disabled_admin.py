"""AdminService on a sidecar that was started without it."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.v1 import admin_pb2, metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure

METHODS = sorted(each.name for each in admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods)


@pytest.fixture
async def plain(migrated_dir: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """A running program as it starts by default."""
    settings = Settings.load(None, listen=("127.0.0.1:0",), data_dir=migrated_dir, shutdown_grace=0.2)
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, migrated_dir, channel)


async def test_every_method_says_that_it_is_not_enabled(plain: Services) -> None:
    """And with which option it would be. Workers are served beside it."""
    for name in METHODS:
        refused = await failure(plain.send(f"/creditmeter.v1.AdminService/{name}", b""))
        assert (refused.code, refused.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"), name
        assert "start it with --enable-admin" in refused.message
        assert dict(refused.info.metadata) == {"setting": "enable_admin"}
    held = plain.metering.Reserve(metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=1))
    assert (await failure(held)).info.reason == "ACCOUNT_NOT_FOUND"


async def test_where_it_has_an_address_of_its_own_the_others_say_so(migrated_dir: Path, clock: ManualClock) -> None:
    """The setting that names that address is named, and not the address."""
    admin = f"unix:{migrated_dir}/admin.sock"
    settings = Settings.load(
        None, listen=("127.0.0.1:0",), data_dir=migrated_dir, enable_admin=True, admin_listen=(admin,), shutdown_grace=0.2
    )
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        services = Services.on(program, migrated_dir, channel)
        refused = await failure(services.admin.GetStatus(admin_pb2.GetStatusRequest()))
        assert (refused.info.reason, dict(refused.info.metadata)) == ("PERMISSION_DENIED", {"setting": "admin_listen"})
        assert admin not in refused.message
    async with running(settings, clock), grpc.aio.insecure_channel(admin) as channel:
        assert (await Services.on(program, migrated_dir, channel).admin.GetStatus(admin_pb2.GetStatusRequest())).sidecar_id
