"""Waiting for a sidecar: it may come later, be there already, not answer, refuse work, or never come."""

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from creditmeter.cli.exits import ExitCode
from creditmeter.server.health import METERING
from tests.cli.conftest import CommandLine
from tests.cli.processes import COMMAND, STOP_SECONDS, environment, run_forked


def test_one_that_serves(cli: CommandLine) -> None:
    """One line, at once."""
    ended = cli("wait", "--timeout", "0")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"the sidecar at {cli.address} takes work\n"


def test_serve_and_wait(short_path: Path) -> None:
    """As a shell runs it: both start at once, and neither the data directory nor the socket is there yet."""
    place = environment(CREDITMETER_DATA_DIR=str(short_path / "data"), CREDITMETER_LISTEN="127.0.0.1:0")
    with subprocess.Popen([*COMMAND, "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=place) as serving:
        try:
            ended = run_forked("wait", "--timeout", "100s", CREDITMETER_DATA_DIR=str(short_path / "data"))
            assert (ended.code, ended.err) == (0, "")
            asked = run_forked("balance", "nobody", CREDITMETER_DATA_DIR=str(short_path / "data"))
            assert "ACCOUNT_NOT_FOUND" in asked.complaint
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.communicate(timeout=STOP_SECONDS)


@pytest.mark.parametrize("kind", ["port", "socket", "stale socket"])
def test_nobody_listens(cli: CommandLine, short_path: Path, kind: str) -> None:
    """When the time is over the line says so."""
    address = f"unix:{short_path}/s.sock"
    with socket.socket() as bound, socket.socket(socket.AF_UNIX) as left:
        bound.bind(("127.0.0.1", 0))
        if kind == "port":
            address = f"127.0.0.1:{bound.getsockname()[1]}"
        if kind == "stale socket":
            left.bind(f"{short_path}/s.sock")
        ended = cli("wait", "--address", address, "--timeout", "150ms")
    assert ended.complaint == f"creditmeter: no sidecar answers at {address}; waited for 150ms"
    assert ended.code == ExitCode.UNREACHABLE


def test_one_that_listens_and_does_not_answer(cli: CommandLine, short_path: Path) -> None:
    """As a sidecar does that starts."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{short_path}/s.sock")
        listening.listen()
        ended = cli("wait", "--address", f"unix:{short_path}/s.sock", "--timeout", "0")
    assert "does not answer: a sidecar that starts" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


@contextmanager
def health_of(**services: int) -> Iterator[str]:
    """The address of a server whose health is this."""
    servicer = health.HealthServicer()
    for name, status in services.items():
        servicer.set(name, status)
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        server.add_insecure_port(f"unix:{directory}/s.sock")
        server.start()
        yield f"unix:{directory}/s.sock"
        server.stop(0).wait()


def test_one_that_takes_no_work(cli: CommandLine) -> None:
    """Its health says so, whatever else it serves."""
    status = health_pb2.HealthCheckResponse
    with health_of(**{METERING: status.NOT_SERVING, "": status.SERVING}) as address:
        ended = cli("wait", "--address", address, "--timeout", "0")
    assert f"the sidecar at {address} does not take work" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


def test_a_server_of_another_kind(cli: CommandLine) -> None:
    """It will never take work."""
    with health_of() as address:
        ended = cli("wait", "--address", address, "--timeout", "0")
    assert "is no sidecar" in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    "arguments", [("--timeout", "soon"), ("--timeout", "-1"), ("--address", "nowhere"), ("--address", f"a:{'9' * 5_000}")]
)
def test_what_is_typed_wrong(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    """It is not waited for."""
    ended = cli("wait", *arguments)
    assert "is no" in ended.complaint
    assert ended.code == ExitCode.USAGE
