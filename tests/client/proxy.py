"""Something between a client and a sidecar that loses requests and replies, or keeps them until the test goes on."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.client.statuses import DETAILS_KEY


class Treatment(Enum):
    """What becomes of one call."""

    PASS = auto()
    LOSE_REQUEST = auto()
    LOSE_REPLY = auto()
    KEEP_REQUEST = auto()
    KEEP_REPLY = auto()
    OVERLOADED = auto()


class Proxy:
    """Passes calls on. `next` says what else is done with the coming calls of a method; what it keeps waits for `go_on`."""

    def __init__(self, upstream: grpc.aio.Channel, address: str) -> None:
        self.address = address
        self.calls: list[str] = []
        self.kept: asyncio.Queue[str] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self._upstream: Any = upstream
        self._coming: dict[str, deque[Treatment]] = defaultdict(deque)

    def next(self, method: str, *treatments: Treatment) -> None:
        """Treat the coming calls of a method so, one after the other; those after them pass."""
        self._coming[method].extend(treatments)

    def forget(self) -> None:
        """Let every coming call pass."""
        self._coming.clear()

    def service(self, details: Any) -> Any:
        """What answers calls of a method, as gRPC asks for it."""

        async def answer(request: bytes, context: Any) -> bytes:
            return await self._answer(details.method, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, path: str, request: bytes, context: Any) -> bytes:
        method = path.rpartition("/")[2]
        self.calls.append(method)
        treatment = self._coming[method].popleft() if self._coming[method] else Treatment.PASS
        if treatment is Treatment.LOSE_REQUEST:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the request was lost")
        if treatment is Treatment.OVERLOADED:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", ((DETAILS_KEY, _overloaded()),))
        if treatment is Treatment.KEEP_REQUEST:
            await self._keep(method)
        try:
            reply: bytes = await self._upstream.unary_unary(path)(request, timeout=60)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
            raise AssertionError from error
        if treatment is Treatment.KEEP_REPLY:
            await self._keep(method)
        if treatment is Treatment.LOSE_REPLY:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the reply was lost")
        return reply

    async def _keep(self, method: str) -> None:
        self.kept.put_nowait(method)
        await self.go_on.wait()


def _overloaded() -> bytes:
    info, retry = AnyMessage(), AnyMessage()
    info.Pack(ErrorInfo(reason="OVERLOADED", domain="creditmeter"))
    retry.Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))
    serialized: bytes = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], details=[info, retry]).SerializeToString()
    return serialized


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: Any) -> Any:
        return self._proxy.service(handler_call_details)


@asynccontextmanager
async def proxy_to(address: str, directory: Path) -> AsyncIterator[Proxy]:
    """A proxy to the sidecar at an address, on a socket in this directory."""
    async with grpc.aio.insecure_channel(address) as upstream:
        proxy = Proxy(upstream, f"unix:{directory / 'proxy.sock'}")
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Handler(proxy),))
        server.add_insecure_port(proxy.address)
        await server.start()
        yield proxy
        proxy.go_on.set()
        await server.stop(None)
