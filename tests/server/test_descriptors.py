"""Connections leave descriptors to the sidecar's own files, and more than enough of them are refused."""

import asyncio
import contextlib
import errno
import resource
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from creditmeter.files.descriptors import why_none_left
from creditmeter.server.descriptors import KEPT_FOR_FILES, LEAST_FILES, MAX_CONNECTIONS, connections_for
from creditmeter.server.exits import CANNOT_START
from creditmeter.v1 import account_pb2, account_pb2_grpc, admin_pb2, admin_pb2_grpc, metering_pb2, metering_pb2_grpc
from tests.cli.processes import COMMAND, SidecarProcess, sidecar_process
from tests.server.conftest import Failure


@pytest.mark.parametrize(
    ("files", "addresses", "connections"), [(20_000, 2, MAX_CONNECTIONS), (1_024, 2, 384), (1_024, 1, 768), (100, 2, 1)]
)
def test_connections_leave_descriptors_to_files(files: int, addresses: int, connections: int) -> None:
    """However many addresses there are, as many files stay free, where the system allows that at all."""
    found = connections_for(files, addresses)
    assert found == connections
    assert found * addresses + KEPT_FOR_FILES <= files or found == 1


def test_the_limit_is_raised_to_what_the_system_allows() -> None:
    """In a process of its own: the limit is one of the process."""
    code = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard));"
        "from creditmeter.server.descriptors import raise_limit;"
        "assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 300"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (KEPT_FOR_FILES + 60, KEPT_FOR_FILES + 60))


def test_work_is_done_although_there_are_more_connections_than_files() -> None:
    """The journal and the store are written and read beside as many idle connections as are taken, and more that are not."""
    with sidecar_process() as stopped:
        stopped.stop()
        process = SidecarProcess(stopped.data_dir, "--enable-admin")
        process.lead = _few_files
        process.start()
        host, _, port = process.addresses[0].rpartition(":")
        with contextlib.ExitStack() as opened:
            opened.callback(process.stop)
            for _ in range(400):
                opened.enter_context(socket.create_connection((host, int(port))))
            channel = opened.enter_context(grpc.insecure_channel(process.address))
            stub = metering_pb2_grpc.MeteringServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetCharge(metering_pb2.GetChargeRequest(charge_id="none"), timeout=10)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def open_files(process: SidecarProcess) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


async def test_who_finds_no_descriptor_left_is_told_which_limit_it_is() -> None:
    """So is the log, once. What needs no further file is done, and so is the rest once there are more."""
    with sidecar_process("--enable-admin") as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            admin = admin_pb2_grpc.AdminServiceStub(channel)
            account = admin_pb2.Account(account_id="alice")
            await admin.CreateAccount(admin_pb2.CreateAccountRequest(request_id="create", account=account))
            asked = account_pb2.ListHistoryRequest(account_id="alice")
            stub = account_pb2_grpc.AccountServiceStub(channel)
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            few = open_files(process)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (few, limits[1]))
            failed: list[Failure] = []
            async with asyncio.timeout(30):
                while not failed:  # a read that has the connection to itself needs no further one
                    calls: list[Any] = [stub.ListHistory(asked) for _ in range(8)]
                    ended = await asyncio.gather(*calls, return_exceptions=True)
                    failed = [Failure(each) for each in ended if isinstance(each, grpc.aio.AioRpcError)]
            assert {(each.code, each.info.reason) for each in failed} == {(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")}
            assert f"this process may have {few} open" in failed[0].message
            await stub.ListHistory(asked)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
            more: list[Any] = [stub.ListHistory(asked) for _ in range(8)]
            await asyncio.gather(*more)
        process.stop()
    (told,) = (each for each in process.log if each["event"] == "the central store cannot be reached")
    assert f"this process may have {few} open" in told["reason"]


def test_a_sidecar_needs_some_files(tmp_path: Path) -> None:
    """It says so before it opens any."""
    serve = f'ulimit -n {LEAST_FILES - 1}; exec "$@"'
    command = ("sh", "-c", serve, "sh", *COMMAND, "serve", "--data-dir", str(tmp_path))
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == CANNOT_START
    assert ended.stderr.startswith(
        f"creditmeter: at most {LEAST_FILES - 1} files may be open, and a sidecar needs {LEAST_FILES}."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "is_known"),
    [
        (OSError(errno.EMFILE, "too many open files"), True),
        (OSError(errno.ENFILE, "file table overflow"), True),
        (OSError(errno.EACCES, "permission denied"), False),
        (TimeoutError(), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_other_faults_are_not_taken_for_it(error: BaseException | None, is_known: bool) -> None:
    """Only what the system says, or what SQLite could not open while few are left."""
    assert (why_none_left(error) is not None) == is_known


def test_a_file_that_sqlite_cannot_open_for_another_reason(tmp_path: Path) -> None:
    """There are descriptors enough."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open") as caught:
        sqlite3.connect(tmp_path / "none" / "file.db")
    assert why_none_left(caught.value) is None
