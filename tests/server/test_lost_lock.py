"""A lock that is deleted or replaced under a running sidecar: it says yes to nothing more, and no other process gets in."""

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import structlog

from creditmeter.server import locks
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.exits import StartupError
from creditmeter.server.locks import is_locked, lock, lock_directory
from creditmeter.sidecar.status import Condition
from creditmeter.v1 import metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure


def charge(request_id: str) -> metering_pb2.ChargeRequest:
    """A charge of a microcredit."""
    return metering_pb2.ChargeRequest(request_id=request_id, account_id="alice", amount_microcredits=1)


def lose(path: Path, how: str) -> None:
    """Delete a file, put another one there, or move it to another place."""
    if how == "moved":
        path.rename(path.with_name("elsewhere"))
        return
    path.unlink()
    if how == "replaced":
        path.touch()


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
async def test_nothing_more_is_acknowledged(services: Services, how: str) -> None:
    """From the next write on, and the log names the file once."""
    await services.create("alice", permanent=10)
    await services.metering.Charge(charge("before"))
    path = services.data_dir / "lock"
    sidecar = services.program.sidecar
    with structlog.testing.capture_logs() as entries:
        lose(path, how)
        failed = await failure(services.metering.Charge(charge("after")))
        for _ in range(3):
            await sidecar.look_after()
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert str(path) in failed.message
    assert [each["file"] for each in entries if each["event"] == "a file is missing"] == [str(path)]
    assert sidecar.condition is Condition.FILE_MISSING


async def test_a_lock_that_is_put_back(services: Services) -> None:
    """The same file: the sidecar goes on by itself."""
    await services.create("alice", permanent=10)
    path = services.data_dir / "lock"
    lose(path, "moved")
    assert (await failure(services.metering.Charge(charge("c")))).info.reason == "STORAGE_UNAVAILABLE"
    path.with_name("elsewhere").rename(path)
    await services.program.sidecar.look_after()
    assert services.program.sidecar.condition is Condition.SERVING
    assert not (await services.metering.Charge(charge("c"))).replayed


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_no_other_process_gets_in(data_dir: Path, clock: ManualClock, how: str) -> None:
    """The directory is locked too. Once the first one has ended, another one starts."""
    settings = Settings.load(None, data_dir=data_dir, listen="127.0.0.1:0", shutdown_grace=0.2)
    async with running(settings, clock):
        lose(data_dir / "lock", how)
        assert is_locked(data_dir / "lock", data_dir)
        with pytest.raises(StartupError, match="another sidecar runs on the data directory"):
            async with running(settings, clock):
                pass
    assert not is_locked(data_dir / "lock", data_dir)
    async with running(settings, clock) as program:
        await program.sidecar.look_after()
        assert program.sidecar.condition is Condition.SERVING


async def test_a_file_system_without_locks_of_directories(
    data_dir: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is locked there, and that is all."""
    monkeypatch.setattr("creditmeter.server.opening.lock_directory", lambda _path: None)
    settings = Settings.load(None, data_dir=data_dir, listen="127.0.0.1:0", shutdown_grace=0.2)
    async with running(settings, clock):
        with pytest.raises(StartupError, match="another sidecar runs on the data directory"):
            async with running(settings, clock):
                pass


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    """As a file has."""
    held = lock_directory(tmp_path)
    assert held is not None
    with pytest.raises(BlockingIOError):
        lock_directory(tmp_path)
    os.close(held)
    again = lock_directory(tmp_path)
    assert again is not None
    os.close(again)


@contextlib.asynccontextmanager
async def lookers(path: Path) -> AsyncIterator[list[bool]]:
    """Two threads that look all the time whether a file or its directory is locked. Yields what they have seen."""
    stop = threading.Event()
    seen: list[bool] = []

    def look() -> None:
        while not stop.is_set():
            seen.append(is_locked(path, path.parent))

    looking = [asyncio.create_task(asyncio.to_thread(look)) for _ in range(2)]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*looking)


async def test_many_that_look(tmp_path: Path) -> None:
    """None of them takes another one for the owner."""
    path = tmp_path / "lock"
    path.touch()
    async with lookers(path) as seen:
        for _ in range(200):
            assert not await asyncio.to_thread(is_locked, path, tmp_path)
    assert seen
    assert not any(seen)


async def test_an_owner_who_is_looked_for(tmp_path: Path) -> None:
    """Those who look keep nobody out."""
    path = tmp_path / "lock"
    async with lookers(path) as seen:
        for _ in range(200):
            os.close(await asyncio.to_thread(lock, path))
            opened = await asyncio.to_thread(lock_directory, tmp_path)
            assert opened is not None
            os.close(opened)
    assert seen


def test_who_looks_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another program shares is refused in the end, not waited for."""
    monkeypatch.setattr(locks, "_MOST_LOOKS", 3)
    path = tmp_path / "lock"
    path.touch()
    for take, each in ((lock, path), (lock_directory, tmp_path)):
        shared = os.open(each, os.O_RDONLY)
        fcntl.flock(shared, fcntl.LOCK_SH)
        with pytest.raises(BlockingIOError):
            take(each)
        os.close(shared)


def test_a_data_directory_that_is_a_link(tmp_path: Path) -> None:
    """What it leads to is looked at, also where the lock file is gone."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    held = lock_directory(tmp_path / "data")
    assert held is not None
    assert is_locked(tmp_path / "link" / "lock", tmp_path / "link")
    os.close(held)
    assert not is_locked(tmp_path / "link" / "lock", tmp_path / "link")


async def test_a_file_that_is_deleted_while_it_is_waited_for(tmp_path: Path) -> None:
    """Whoever locks it has the file that is at the path, however often it is deleted meanwhile."""
    path = tmp_path / "lock"
    stop = threading.Event()

    def delete() -> None:
        while not stop.is_set():
            path.unlink(missing_ok=True)

    deleting = asyncio.create_task(asyncio.to_thread(delete))
    try:
        for _ in range(200):
            os.close(await asyncio.to_thread(lock, path))
    finally:
        stop.set()
        await deleting
