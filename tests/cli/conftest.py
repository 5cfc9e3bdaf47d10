"""A running sidecar, and commands put to it."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from creditmeter.cli.main import run
from tests.cli.processes import Ended, SidecarProcess, sidecar_process


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On every machine times are shown in UTC, and lines are as long as they need to be."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def sidecar() -> Iterator[SidecarProcess]:
    """A sidecar that administers, shared by the tests of one process: each uses accounts of its own."""
    with sidecar_process("--enable-admin", "--settle-interval", "100ms", "--shutdown-grace", "1s") as process:
        yield process


class CommandLine:
    """Runs commands in this process, with the sidecar named by the environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str], address: str) -> None:
        self.address = address
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        """Run a command."""
        code = run(arguments)
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)

    def read(self, *arguments: str) -> Any:
        """What a command that succeeds prints as JSON."""
        ended = self(*arguments, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, sidecar: SidecarProcess) -> CommandLine:
    """The command line, connected to the sidecar."""
    monkeypatch.setenv("CREDITMETER_ADDRESS", sidecar.address)
    return CommandLine(capsys, sidecar.address)


@pytest.fixture
def account(cli: CommandLine) -> str:
    """An account with 3 daily, 4 monthly and 10 permanent credits."""
    name = f"acc-{uuid4().hex[:8]}"
    assert cli("plan", "put", "small", "--daily", "3", "--monthly", "4").code == 0
    assert cli("account", "create", name, "--plan", "small").code == 0
    assert cli("grant", "add", name, "10", "--source", "referral", "--note", "welcome").code == 0
    return name
