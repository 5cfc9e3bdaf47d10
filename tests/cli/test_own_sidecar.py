"""A sidecar as a child process: it starts, serves, stops, and says why when it does not."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from creditmeter.cli.commands.verify import verified
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.own_sidecar import OwnSidecar, Place, temporary_place
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import admin_pb2


async def test_it_serves_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It administers, whatever the environment says; it stops with exit code 0 and leaves a clean store."""
    monkeypatch.setenv("CREDITMETER_CENTRAL", "nonsense://")
    with temporary_place() as place:
        async with OwnSidecar.running(place) as sidecar, Connection(place.address) as client:
            reply = await call(client.admin.ListAccounts, admin_pb2.ListAccountsRequest())
            assert list(reply.accounts) == []
            assert await sidecar.stop() == ExitCode.OK
            assert await sidecar.stop() == ExitCode.OK
        assert not (await verified(place.central)).problems
    assert not place.data_dir.exists()


async def test_a_directory_that_is_given_stays(tmp_path: Path) -> None:
    """Only what is temporary is removed."""
    with temporary_place(tmp_path / "mine") as place:
        assert place.central == f"sqlite:///{tmp_path}/mine/central.db"
        (tmp_path / "mine").mkdir()
    assert (tmp_path / "mine").exists()


async def test_one_that_cannot_start_says_why(short_path: Path) -> None:
    """The message and the exit code are its own."""
    (short_path / "file").write_text("")
    place = Place(short_path / "file" / "data", f"sqlite:///{short_path}/central.db", f"unix:{short_path}/s.sock")
    with pytest.raises(CommandFailed, match=r"did not start: the data directory .* cannot be written") as caught:
        async with OwnSidecar.running(place):
            raise AssertionError("it runs")
    assert caught.value.exit_code == ExitCode.CANNOT_START


async def test_work_ends_when_it_does() -> None:
    """Nobody waits for a sidecar that is gone."""
    with temporary_place() as place:
        async with OwnSidecar.running(place) as sidecar:
            forever = asyncio.Event()

            async def wait() -> None:
                os.kill(sidecar.process_id, signal.SIGKILL)
                await forever.wait()

            with pytest.raises(CommandFailed, match="the sidecar ended in the middle"):
                await sidecar.while_running(wait())
            assert await sidecar.stop() == -signal.SIGKILL
