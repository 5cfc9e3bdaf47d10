"""Connections leave descriptors to the sidecar's own files, and more than enough of them are refused."""

import contextlib
import resource
import socket
import subprocess
import sys

import grpc
import pytest

from creditmeter.server.descriptors import KEPT_FOR_FILES, MAX_CONNECTIONS, connections_for
from creditmeter.v1 import metering_pb2, metering_pb2_grpc
from tests.cli.processes import SidecarProcess, sidecar_process


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
