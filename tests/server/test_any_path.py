"""Calls of paths that are no method of the contract, text or not."""

import asyncio

import grpc
import pytest
from grpc._cython import cygrpc

from creditmeter.server.any_path import _unless_gone, new_server
from creditmeter.v1 import metering_pb2
from tests.fuzz.wire import an_empty_request
from tests.server.conftest import Services

UNIMPLEMENTED = b"grpc-status\x0212"
"""The trailer, as gRPC's core writes it."""


@pytest.mark.parametrize("path", [b"/creditmeter.v1.MeteringService/Reserv\xe4", b"/\xff", b"/no/such", b"no slash", b"/"])
async def test_an_unknown_path(services: Services, path: bytes) -> None:
    """It is UNIMPLEMENTED, and nobody else notices: the sidecar still takes new connections and calls."""
    host, _, port = services.tcp.rpartition(":")
    for _ in range(2):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(an_empty_request(path))
        async with asyncio.timeout(20):
            assert UNIMPLEMENTED in await reader.readuntil(UNIMPLEMENTED)
        writer.close()
        await writer.wait_closed()
    await services.create("alice", permanent=1)
    asked = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=1)
    assert (await services.metering.Reserve(asked)).reservation.held_microcredits == 1


async def test_an_answer_that_cannot_be_sent() -> None:
    """Its caller has gone, which gRPC's core says by an error. The call is cancelled; else the error would be logged."""

    async def answering() -> None:
        raise grpc.aio.InternalError('Failed "execute_batch"')

    with pytest.raises(asyncio.CancelledError):
        await _unless_gone(answering())


async def test_a_grpcio_without_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that are used are those of this version; with another one it is grpcio's own server."""
    assert type(new_server(())) is not type(grpc.aio.server())
    for name in ("_MethodResolver", "_handle_rpc", "_schedule_rpc_coro"):
        assert hasattr(cygrpc, name)
    monkeypatch.setattr("creditmeter.server.any_path._IS_KNOWN_HERE", False)
    assert type(new_server(())) is type(grpc.aio.server())
