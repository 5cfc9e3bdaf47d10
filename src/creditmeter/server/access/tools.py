"""Services of others that a sidecar offers: health for probes, and reflection and channelz for those who may use them.

Reflection and channelz are loaded where they are wanted: together they take 1 MB.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.core.access import Scope
from creditmeter.server.access.exposure import is_of_this_machine
from creditmeter.server.access.gate import Gate
from creditmeter.server.access.requirements import lacking
from creditmeter.server.config import Reflection
from creditmeter.server.errors import Context, Problem, abort, allowed, not_implemented
from creditmeter.server.faults import Unusable, lenient
from creditmeter.server.long_calls import LongCall, LongCalls

_ADMINISTERS = frozenset((Scope.ADMIN,))
_FAMILIES = ("ipv4:", "ipv6:")

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Admit = Callable[[Context], Awaitable[None]]


class Tools:
    """Takes services of others from generated code, in place of the server, and adds them to it. `admit` ends the call of one
    who may not use them. A request that cannot be decoded is INVALID_REQUEST; gRPC itself would say UNKNOWN.
    """

    def __init__(self, server: grpc.aio.Server, long_calls: LongCalls, admit: _Admit | None = None) -> None:
        self._server = server
        self._long_calls = long_calls
        self._admit = admit

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Nothing: generated code gives the same methods by name as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Add a service with these methods."""
        wrapped = {name: self._wrapped(f"/{service}/{name}", each) for name, each in handlers.items()}
        self._server.add_registered_method_handlers(service, wrapped)

    def _wrapped(self, method: str, handler: _Handler) -> _Handler:
        reads, writes = lenient(handler.request_deserializer), handler.response_serializer
        behavior: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
        if not (inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior)):  # the stub's own, which raises
            behavior = not_implemented(method)
            return grpc.unary_unary_rpc_method_handler(self._guarded(behavior), reads, writes)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._guarded_stream(handler.stream_stream), reads, writes)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._guarded(self._placed(handler.unary_stream)), reads, writes)
        return grpc.unary_unary_rpc_method_handler(self._guarded(handler.unary_unary), reads, writes)

    def _guarded(self, behavior: Any) -> Any:
        """A behavior of one request that is awaited, also where it writes several replies."""

        async def call(request: Any, context: Context) -> Any:
            await self._begin(context)
            await _usable(request, context)
            return await behavior(request, context)

        return call

    def _placed(self, behavior: Any) -> Any:
        """A behavior of one request that writes replies for as long as its caller likes."""

        async def call(request: Any, context: Context) -> Any:
            with self._long_calls.place(LongCall.WATCH, context) as refusal:
                await allowed(context, refusal)
                return await behavior(request, context)

        return call

    def _guarded_stream(self, behavior: Any) -> Any:
        async def usable(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async for request in requests:
                await _usable(request, context)
                yield request

        async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            await self._begin(context)
            with self._long_calls.place(LongCall.WATCH, context) as refusal:
                await allowed(context, refusal)
                async for reply in behavior(usable(requests, context), context):
                    yield reply

        return call

    async def _begin(self, context: Context) -> None:
        if self._admit is not None:
            await self._admit(context)


async def _usable(request: Any, context: Context) -> None:
    if isinstance(request, Unusable):
        await abort(context, request.problem)


def add_health(server: grpc.aio.Server, servicer: Any, long_calls: LongCalls) -> str:
    """Let everybody ask for health: probes have no token. Returns the name of the service."""
    tools: Any = Tools(server, long_calls)  # generated code names the server, of which it uses two methods
    health_pb2_grpc.add_HealthServicer_to_server(servicer, tools)
    return str(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)


def add_reflection(server: grpc.aio.Server, names: Sequence[str], where: Reflection, gate: Gate, long_calls: LongCalls) -> None:
    """Let callers list the RPCs of the named services, where they may. Whoever may call anything may do so."""
    if where is Reflection.OFF:
        return
    from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc  # noqa: PLC0415 - see above

    async def admit(context: Context) -> None:
        rights = gate.rights(context)
        if isinstance(rights, Problem):
            await abort(context, rights)
        if where is Reflection.LOCAL and not _is_local(context):
            text = "server reflection answers callers on this machine alone: the setting `reflection` says so"
            await abort(context, Problem(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", text))

    tools: Any = Tools(server, long_calls, admit)  # as above
    servicer = reflection.aio.ReflectionServicer([*names, reflection.SERVICE_NAME])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, tools)


def add_channelz(server: grpc.aio.Server, gate: Gate, long_calls: LongCalls) -> str:
    """Let callers of the scope admin see who is connected. Returns the name of the service."""
    from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc  # noqa: PLC0415 - see above

    async def admit(context: Context) -> None:
        rights = gate.rights(context)
        if isinstance(rights, Problem):
            await abort(context, rights)
        if Scope.ADMIN not in rights.scopes or rights.accounts is not None:
            await abort(context, lacking("channelz", rights, _ADMINISTERS))

    tools: Any = Tools(server, long_calls, admit)  # as above
    channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), tools)
    return str(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)


def _is_local(context: Context) -> bool:
    """Whether the caller is on this machine, or comes by a Unix socket."""
    peer = unquote(context.peer())
    for family in _FAMILIES:
        peer = peer.removeprefix(family)
    return is_of_this_machine(peer)
