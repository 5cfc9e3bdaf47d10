"""`demo` and `replay` broken off in the middle, in each of the ways of people and systems: nothing is left behind."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import account_pb2, admin_pb2
from tests.cases import more
from tests.cli.forking import ForkedCommand
from tests.cli.processes import SidecarProcess, environment, sidecar_process
from tests.cli.terminal import Terminal

SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace that takes a while: a hundred calls, a second apart."""
    lines = [f"2026-01-01 00:{number // 60:02d}:{number % 60:02d},1000,100" for number in range(100)]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines, ""]))
    return path


@contextmanager
def begun(arguments: tuple[str, ...], folder: Path, until: str) -> Iterator[tuple[ForkedCommand, TextIO]]:
    """A command in a process group of its own, whose temporary files are in `folder`, once it has said something; and what it
    says from then on.
    """
    reading, writing = os.pipe()
    surroundings = environment(TMPDIR=str(folder), PYTHONUNBUFFERED="1")
    with os.fdopen(reading) as said:
        process = ForkedCommand(arguments, surroundings, stdout=writing, stderr=writing, lead=os.setpgrp)
        os.close(writing)
        try:
            while until not in (line := said.readline()):
                assert line, "it ended first"
            yield process, said
        finally:
            process.send_signal(signal.SIGKILL)


def check_nothing_is_left(process: ForkedCommand, folder: Path) -> None:
    """Neither a process of its group nor a file."""
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGINT, True), *more((signal.SIGTERM, False), (signal.SIGHUP, False), (signal.SIGHUP, True))],
)
@pytest.mark.parametrize("name", ["demo", *more("replay")])
def test_a_signal(trace: Path, short_path: Path, name: str, number: signal.Signals, to_all: bool) -> None:
    """To the process alone, as by `kill`, or to its sidecar too, as by Ctrl-C. One line says it, and so does the exit code."""
    arguments, until = {
        "demo": (("demo",), "Three calls"),
        "replay": (("replay", str(trace), "--speed", "20"), "replay: 10 of 100"),
    }[name]
    with begun(arguments, short_path, until) as (process, said):
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(60) == 128 + number
        assert said.read().endswith(f"creditmeter: {SAID[number]}\n")
        check_nothing_is_left(process, short_path)


@pytest.mark.long
def test_a_directory_of_the_users_stays(trace: Path, short_path: Path, tmp_path: Path) -> None:
    """With what was settled in it."""
    arguments = ("replay", str(trace), "--speed", "20", "--data-dir", str(tmp_path / "mine"))
    with begun(arguments, short_path, "replay: 10 of 100") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        check_nothing_is_left(process, short_path)
    assert (tmp_path / "mine" / "central.db").is_file()


@pytest.mark.long
@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("name", ["demo", "replay"])
def test_a_terminal_that_is_closed(trace: Path, short_path: Path, name: str, is_told: bool) -> None:
    """Its processes get SIGHUP, and can no longer print: either may be noticed first."""
    arguments, until = {
        "demo": (("demo",), rb"Three calls"),
        "replay": (("replay", str(trace), "--speed", "20"), rb"\d\d/100"),
    }[name]
    terminal = Terminal(80)
    device = os.open(terminal.name, os.O_RDWR | os.O_NOCTTY)
    surroundings = environment(TMPDIR=str(short_path), TERM="xterm")
    process = ForkedCommand(arguments, surroundings, stdin=device, stdout=device, stderr=device, lead=os.setsid)
    os.close(device)
    shown = b""
    while not re.search(until, shown):
        shown += terminal.read()
    terminal.close()
    if is_told:  # as by the kernel, where it is the controlling terminal
        os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(60) == 128 + signal.SIGHUP
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert list(short_path.iterdir()) == []


@pytest.mark.long
async def test_what_is_held_is_given_back(trace: Path, short_path: Path) -> None:
    """On a sidecar that others use, too: the holds would stay for an hour. Every worker is in the middle of a call."""
    with trace.open("a") as more:
        more.writelines(f"2026-01-01 01:00:{number % 60:02d},1000,100\n" for number in range(4_900))
    with sidecar_process("--enable-admin") as sidecar:
        options = ("--hold-seconds", "3600", "--kill-share", "0", "--workers", "4", "--accounts", "2")
        arguments = ("replay", str(trace), "--address", sidecar.address, "--account-prefix", "acc", *options)
        with begun(arguments, short_path, "replay: 500 of 5,000") as (process, _):
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
        assert await held(sidecar) == [0, 0]


async def held(sidecar: SidecarProcess) -> list[int]:
    """What is held of each account, in microcredits."""
    async with Connection(sidecar.address) as client:
        accounts = (await call(client.admin.ListAccounts, admin_pb2.ListAccountsRequest())).accounts
        asked = [account_pb2.GetBalanceRequest(account_id=each.account_id) for each in accounts]
        return [(await call(client.account.GetBalance, each)).held_microcredits for each in asked]
