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
from creditmeter.v1 import metering_pb2

PIPELINE = "/creditmeter.v1.MeteringService/Pipeline"
METER = "/creditmeter.v1.MeteringService/Meter"


class Treatment(Enum):
    """What becomes of one call."""

    PASS = auto()
    LOSE_REQUEST = auto()
    LOSE_REPLY = auto()
    KEEP_REQUEST = auto()
    KEEP_REPLY = auto()
    OVERLOADED = auto()
    FORBID = auto()
    BREAK = auto()
    """Of a Meter stream: its third event is lost, and so is all that comes after it."""


class Proxy:
    """Passes calls on. `next` says what else is done with the coming calls of a method; what it keeps waits for `go_on`.

    Without `reads_at_once` it reads nothing of a stream before `go_on`; without `reads_on` no frame before all that came before
    it is answered. `lost_as` is the status of what is lost.
    """

    def __init__(self, upstream: grpc.aio.Channel, address: str) -> None:
        self.address = address
        self.calls: list[str] = []
        self.requests: list[bytes] = []
        self.has_pipeline = self.has_meter = True
        self.reads_at_once = self.reads_on = True
        self.lost_as = grpc.StatusCode.UNAVAILABLE
        self.refuses_streams: Treatment | None = None
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

        if details.method == METER:
            return grpc.stream_stream_rpc_method_handler(self._answer_steps) if self.has_meter else None
        if details.method == PIPELINE:
            answers = self._answer_frames if self.refuses_streams is None else self._refuse
            return grpc.stream_stream_rpc_method_handler(answers) if self.has_pipeline else None
        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer_steps(self, steps: AsyncIterator[bytes], context: Any) -> None:
        """Pass a Meter stream on, unless and until it is to be lost."""
        treatment = self._treatment("Meter")
        if treatment is Treatment.LOSE_REQUEST:
            await context.abort(self.lost_as, "the request was lost")
        lost_at = {Treatment.LOSE_REPLY: 0, Treatment.BREAK: 2}.get(treatment)
        upstream = self._upstream.stream_stream(METER)()

        async def pass_on() -> None:
            async for step in steps:
                await upstream.write(step)
            await upstream.done_writing()

        passing, number = asyncio.ensure_future(pass_on()), 0
        try:
            async for event in upstream:
                if number == lost_at:
                    await context.abort(self.lost_as, "the stream was lost")
                await context.write(event)
                number += 1
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
        finally:
            passing.cancel()
            upstream.cancel()

    async def _refuse(self, _: AsyncIterator[bytes], context: Any) -> None:
        """Refuse a stream before anything is read of it."""
        if self.refuses_streams is Treatment.OVERLOADED:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", ((DETAILS_KEY, _overloaded()),))
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "who are you?")

    async def _answer_frames(self, frames: AsyncIterator[bytes], context: Any) -> None:
        """Treat each mutation of a frame as a call. What loses one breaks the stream."""
        breaking: asyncio.Future[tuple[grpc.StatusCode, str]] = asyncio.get_running_loop().create_future()
        under_way: set[asyncio.Task[None]] = set()
        writing = asyncio.Lock()

        async def answer(frame_id: int, number: int, mutation: metering_pb2.Mutation) -> None:
            result = await self._result(mutation, _Refusing(breaking))
            reply = metering_pb2.PipelineResponse(frame_id=frame_id, first_mutation=number, results=[result])
            async with writing:
                await context.write(reply.SerializeToString())

        async def read() -> None:
            if not self.reads_at_once:
                await self.go_on.wait()
            async for received in frames:
                frame = metering_pb2.PipelineRequest.FromString(received)
                for number, mutation in enumerate(frame.mutations):
                    under_way.add(asyncio.ensure_future(answer(frame.frame_id, number, mutation)))
                if not self.reads_on:
                    await asyncio.wait(under_way)
            await asyncio.gather(*under_way)

        reading = asyncio.ensure_future(read())
        both: set[asyncio.Future[Any]] = {reading, breaking}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if breaking.done():
            async with writing:  # a write that is cancelled would leave the call without an end
                for each in (reading, *under_way):
                    each.cancel()
                await context.abort(*breaking.result())

    async def _result(self, mutation: metering_pb2.Mutation, refusing: "_Refusing") -> metering_pb2.MutationResult:
        kind = mutation.WhichOneof("request")
        assert kind is not None
        path = f"/creditmeter.v1.MeteringService/{kind.capitalize()}"
        result = metering_pb2.MutationResult()
        try:
            reply = await self._answer(path, getattr(mutation, kind).SerializeToString(), refusing)
            getattr(result, kind).ParseFromString(reply)
        except _Refused as refused:
            result.error.ParseFromString(refused.status)
        return result

    async def _answer(self, path: str, request: bytes, context: Any) -> bytes:
        method = path.rpartition("/")[2]
        treatment = self._treatment(method)
        self.requests.append(request)
        if treatment is Treatment.LOSE_REQUEST:
            await context.abort(self.lost_as, "the request was lost")
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
            await context.abort(self.lost_as, "the reply was lost")
        return reply

    def _treatment(self, method: str) -> Treatment:
        self.calls.append(method)
        return self._coming[method].popleft() if self._coming[method] else Treatment.PASS

    async def _keep(self, method: str) -> None:
        self.kept.put_nowait(method)
        await self.go_on.wait()


class _Refused(Exception):
    """A mutation was refused: its result is this status."""

    def __init__(self, status: bytes) -> None:
        self.status = status


class _Refusing:
    """The context of a mutation in a frame: what ends it with a status is its result, and anything else breaks the stream."""

    def __init__(self, breaking: "asyncio.Future[tuple[grpc.StatusCode, str]]") -> None:
        self._breaking = breaking

    async def abort(self, code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, Any], ...] = ()) -> None:
        """End the mutation."""
        status = dict(trailing).get(DETAILS_KEY)
        if isinstance(status, bytes):
            raise _Refused(status)
        if not self._breaking.done():
            self._breaking.set_result((code, details))
        await asyncio.Event().wait()  # until the stream ends


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
