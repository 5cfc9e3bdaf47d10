"""What an operator reads when a sidecar is slow, overloaded, or gone: which of the three it is."""

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.cli import connection
from creditmeter.cli.commands import forecast, usage
from creditmeter.cli.connection import LONG_READ, PATIENCE
from creditmeter.cli.exits import ExitCode
from creditmeter.client.statuses import DETAILS_KEY
from creditmeter.client.stubs import Retry
from tests.cli.conftest import CommandLine

SERVICE = "creditmeter.v1.AccountService"


class SlowSums:
    """Sums that take until `answers` is set, of a sidecar that is too busy for the first `busy` calls."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.busy = 0
        self.allowed: list[float] = []

    def answer(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer in time, or not: with an empty reply, whichever the RPC."""
        self.allowed.append(context.time_remaining())
        if len(self.allowed) <= self.busy:
            context.set_trailing_metadata(((DETAILS_KEY, _overloaded()),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many sums at once")
        self.answers.wait(60)
        return b""


def _overloaded() -> bytes:
    info, retry = Any(), Any()
    info.Pack(ErrorInfo(reason="OVERLOADED", domain="creditmeter"))
    retry.Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))
    serialized: bytes = Status(details=[info, retry]).SerializeToString()
    return serialized


@pytest.fixture
def slow(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowSums]:
    """Commands put to a sidecar of slow sums."""
    sums = SlowSums()
    server = grpc.server(ThreadPoolExecutor(4))
    rpcs: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(sums.answer) for name in ("SummarizeUsage", "ForecastUsage")
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, rpcs),))
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        address = f"unix:{Path(directory) / 's.sock'}"
        server.add_insecure_port(address)
        server.start()
        monkeypatch.setenv("CREDITMETER_ADDRESS", address)
        yield sums
        sums.answers.set()
        server.stop(0).wait()


COMMANDS = pytest.mark.parametrize("command", ["usage", "forecast"])


@COMMANDS
def test_sums_have_longer_than_other_answers(cli: CommandLine, slow: SlowSums, command: str) -> None:
    """A large account takes its time."""
    slow.answers.set()
    assert cli(command, "ada", "--json").code == 0
    assert abs(slow.allowed[0] - LONG_READ.attempt) < 10  # on the wire a deadline of minutes is rounded up
    assert PATIENCE.attempt * 10 < LONG_READ.attempt


@COMMANDS
def test_an_answer_that_takes_too_long_is_not_a_sidecar_that_is_gone(
    cli: CommandLine, slow: SlowSums, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The line says how long it was waited for, and does not ask to start another sidecar."""
    for module in (usage, forecast):
        monkeypatch.setattr(module, "LONG_READ", Retry(total=0, attempt=0.2))
    ended = cli(command, "ada")
    assert "did not answer within 0.2 s" in ended.complaint
    assert "creditmeter serve" not in ended.complaint
    assert ended.code == ExitCode.UNREACHABLE


def test_who_waits_hears_that_it_goes_on(cli: CommandLine, slow: SlowSums, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, and the answer follows."""
    say = connection._say_waiting

    def said(address: str) -> None:
        say(address)
        slow.answers.set()

    monkeypatch.setattr(connection, "SAYS_AFTER", 0)
    monkeypatch.setattr(connection, "_say_waiting", said)
    ended = cli("usage", "ada", "--json")
    assert ended.code == 0
    assert ended.err.startswith("waiting for the sidecar at unix:")
    assert ended.out.startswith("{")


@COMMANDS
def test_an_overloaded_sidecar_is_asked_again(cli: CommandLine, slow: SlowSums, command: str) -> None:
    """As it asks for."""
    slow.answers.set()
    slow.busy = 2
    assert cli(command, "ada", "--json").code == 0
    assert len(slow.allowed) == slow.busy + 1


@COMMANDS
def test_a_sidecar_that_stays_overloaded_is_named_so(
    cli: CommandLine, slow: SlowSums, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """It is there, and says why it does not answer."""
    for module in (usage, forecast):
        monkeypatch.setattr(module, "LONG_READ", Retry(total=0))
    slow.busy = 100
    ended = cli(command, "ada")
    assert ended.complaint == "creditmeter: OVERLOADED: too many sums at once"
    assert ended.code == ExitCode.UNREACHABLE
