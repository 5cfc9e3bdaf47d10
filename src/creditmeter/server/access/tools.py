"""Server reflection and channelz, for those who may use them. Each is loaded where it is wanted: together they take 1 MB."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

import grpc

from creditmeter.core.access import Scope
from creditmeter.server.access.exposure import is_of_this_machine
from creditmeter.server.access.gate import Gate
from creditmeter.server.access.needs import lacking
from creditmeter.server.config import Reflection
from creditmeter.server.errors import Context, Problem, abort

_ADMINISTERS = frozenset((Scope.ADMIN,))
_FAMILIES = ("ipv4:", "ipv6:")

_Admit = Callable[[Context], Awaitable[None]]


def add_reflection(services: Any, names: Sequence[str], where: Reflection, gate: Gate) -> None:
    """Let callers list the RPCs of the named services, where they may. Whoever may call anything may do so."""
    if where is Reflection.OFF:
        return
    from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc  # noqa: PLC0415 - see above

    async def admit(context: Context) -> None:
        if where is Reflection.LOCAL and not _is_local(context):
            text = "server reflection answers callers on this machine alone: the setting `reflection` says so"
            await abort(context, Problem(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", text))
        rights = gate.rights(context)
        if isinstance(rights, Problem):
            await abort(context, rights)

    servicer = reflection.aio.ReflectionServicer([*names, reflection.SERVICE_NAME])
    servicer.ServerReflectionInfo = _guarded_stream(servicer.ServerReflectionInfo, admit)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, services)


def add_channelz(services: Any, gate: Gate) -> str:
    """Let callers of the scope admin see who is connected. Returns the name of the service."""
    from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc  # noqa: PLC0415 - see above

    async def admit(context: Context) -> None:
        rights = gate.rights(context)
        if isinstance(rights, Problem):
            await abort(context, rights)
        if Scope.ADMIN not in rights.scopes or rights.accounts is not None:
            await abort(context, lacking("channelz", rights, _ADMINISTERS))

    servicer = channelz.aio.ChannelzServicer()
    service = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"]
    for method in service.methods:
        setattr(servicer, method.name, _guarded(getattr(servicer, method.name), admit))
    channelz_pb2_grpc.add_ChannelzServicer_to_server(servicer, services)
    return str(service.full_name)


def _guarded(behavior: Callable[[Any, Context], Awaitable[Any]], admit: _Admit) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        await admit(context)
        return await behavior(request, context)

    return call


def _guarded_stream(
    behavior: Callable[[Any, Context], AsyncIterator[Any]], admit: _Admit
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def call(requests: Any, context: Context) -> AsyncIterator[Any]:
        await admit(context)
        async for reply in behavior(requests, context):
            yield reply

    return call


def _is_local(context: Context) -> bool:
    """Whether the caller is on this machine, or comes by a Unix socket."""
    peer = unquote(context.peer())
    for family in _FAMILIES:
        peer = peer.removeprefix(family)
    return is_of_this_machine(peer)
