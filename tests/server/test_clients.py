"""The clients that people debug with: grpcurl and grpc_health_probe, over TCP and a Unix socket."""

import asyncio
import json
from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.sidecar.status import Condition
from tests.server.conftest import Services

CREDIT = 1_000_000


async def run(*command: str | Path) -> tuple[int, str, str]:
    """Run a client beside the server, which is in this process."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        stdout, stderr = await process.communicate()
    return process.returncode or 0, stdout.decode(), stderr.decode()


async def test_grpcurl_lists_and_describes(services: Services, grpcurl: Path) -> None:
    """By reflection, with nothing but the address."""
    code, listed, _ = await run(grpcurl, "-plaintext", services.tcp, "list")
    assert code == 0
    assert {
        "creditmeter.v1.AccountService",
        "creditmeter.v1.AdminService",
        "creditmeter.v1.MeteringService",
        "grpc.health.v1.Health",
    } <= set(listed.split())
    code, described, _ = await run(grpcurl, "-plaintext", services.tcp, "describe", "creditmeter.v1.MeteringService")
    assert code == 0
    assert "rpc Reserve ( .creditmeter.v1.ReserveRequest )" in described
    code, described, _ = await run(grpcurl, "-plaintext", services.tcp, "describe", "creditmeter.v1.Charge")
    assert code == 0
    assert "cost_microcredits" in described


async def test_grpcurl_calls_over_tcp_and_a_unix_socket(services: Services, grpcurl: Path) -> None:
    """A Reserve through the one, and its reply again through the other."""
    await services.create("alice", permanent=10 * CREDIT)
    body = json.dumps({"request_id": "r", "account_id": "alice", "amount_microcredits": CREDIT})
    method = "creditmeter.v1.MeteringService/Reserve"
    code, first, _ = await run(grpcurl, "-plaintext", "-d", body, services.tcp, method)
    assert code == 0
    socket = f"unix://{services.data_dir / 'creditmeter.sock'}"
    code, second, _ = await run(grpcurl, "-plaintext", "-emit-defaults", "-d", body, socket, method)
    assert code == 0
    assert json.loads(second)["replayed"] is True
    held = json.loads(first)["reservation"]
    assert held["reservation_id"] == json.loads(second)["reservation"]["reservation_id"]
    assert held["state"] == "RESERVATION_STATE_HELD"


async def test_grpcurl_shows_rich_errors(services: Services, grpcurl: Path) -> None:
    """The reason and every wrong field, in words."""
    code, _, errors = await run(grpcurl, "-plaintext", "-d", "{}", services.tcp, "creditmeter.v1.MeteringService/Reserve")
    assert code != 0
    for word in ("InvalidArgument", "INVALID_REQUEST", "request_id", "account_id", "bound"):
        assert word in errors


async def test_the_health_probe_sees_what_can_serve(services: Services, grpc_health_probe: Path) -> None:
    """The process, the metering service and the central store; and that a draining sidecar cannot."""
    for service in ("", "creditmeter.v1.MeteringService", "creditmeter.central"):
        code, _, errors = await run(grpc_health_probe, "-addr", services.tcp, "-service", service)
        assert (code, "SERVING" in errors) == (0, True)
    socket = f"unix:{services.data_dir / 'creditmeter.sock'}"
    code, _, _ = await run(grpc_health_probe, "-addr", socket)
    assert code == 0
    services.program.sidecar.drain()
    assert services.program.sidecar.condition is Condition.DRAINING
    probe = (grpc_health_probe, "-addr", services.tcp, "-service", "creditmeter.v1.MeteringService")
    code, _, _ = await run(*probe)
    assert code != 0
    code, _, _ = await run(grpc_health_probe, "-addr", services.tcp)
    assert code == 0, "the process is alive"


async def test_health_is_watched(services: Services) -> None:
    """Watch sends each change at once."""
    stub = health_pb2_grpc.HealthStub(services.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="creditmeter.v1.MeteringService"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    services.program.sidecar.drain()
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()
