"""Wraps every call: checks its deadline and who makes it, logs and counts it, and turns faults into statuses.

After a fault it is unknown whether the call took effect. The caller gets a reason, never a traceback.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
import structlog

from creditmeter.server.access.gate import CREDENTIAL_ID, Gate
from creditmeter.server.counters import Counters
from creditmeter.server.errors import Behavior, Context, Problem, abort, abort_without_reason, not_implemented, problem_of_abort
from creditmeter.server.faults import Unusable, lenient, problem_of_fault
from creditmeter.server.unread_replies import UnreadReplies, is_read

_log = structlog.get_logger()

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Services:
    """Takes services of the contract from generated code, in place of the server, and adds them with their methods wrapped."""

    def __init__(self, server: grpc.aio.Server, metrics: Counters, gate: Gate, unread: UnreadReplies) -> None:
        self._server = server
        self._metrics = metrics
        self._gate = gate
        self._unread = unread

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Nothing: generated code gives the same methods by name as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add a service with these methods."""
        handlers = {name: self._wrap(f"/{service}/{name}", each) for name, each in handlers.items()}
        self._server.add_registered_method_handlers(service, handlers)

    def _wrap(self, method: str, handler: Handler) -> Handler:
        reads, writes = lenient(handler.request_deserializer), handler.response_serializer
        behavior: Any = handler.unary_unary or handler.stream_stream
        # A coroutine function, unless it is the stub's own that says "not implemented".
        behavior = behavior if asyncio.iscoroutinefunction(behavior) else not_implemented(method)
        behavior = _admitting(method, behavior, self._gate, takes_stream=handler.unary_unary is None)
        if is_read(method) and writes is not None:
            behavior, writes = self._unread.bounded(behavior, writes), None
        counted = _counted(method, _answering(method, behavior), self._metrics)
        if handler.unary_unary is None:
            return grpc.stream_stream_rpc_method_handler(counted, reads, writes)
        return grpc.unary_unary_rpc_method_handler(counted, reads, writes)


def _counted(method: str, behavior: Behavior, metrics: Counters) -> Behavior:
    """Count a call by its status code and reason. A call that was cancelled or whose deadline has passed has no reason."""
    count = metrics.count_calls(method.rpartition("/")[2])
    is_logged = _log.is_enabled_for(logging.DEBUG)  # the level stays, and to find it out takes a while

    async def call(request: Any, context: Context) -> Any:
        started = time.perf_counter()
        code, reason = grpc.StatusCode.CANCELLED, ""
        try:
            reply = await behavior(request, context)
            code = grpc.StatusCode.OK
        except grpc.aio.AbortError as ended:
            problem = problem_of_abort(ended)
            code, reason = (problem.code, problem.reason) if problem else (grpc.StatusCode.DEADLINE_EXCEEDED, "")
            raise
        else:
            return reply
        finally:
            seconds = time.perf_counter() - started
            count(seconds, code, reason)
            if is_logged:
                _log.debug("call", method=method, code=code.name, seconds=round(seconds, 6))

    return call


def _answering(method: str, behavior: Behavior) -> Behavior:
    """Turn faults into statuses."""

    async def call(request: Any, context: Context) -> Any:
        remaining: float | None = context.time_remaining()  # None without a deadline, whatever the stubs say
        if remaining is not None and remaining <= 0:
            text = "the deadline had passed before anything was done"
            await abort_without_reason(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
        try:
            return await behavior(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge is where every fault becomes a status
            await abort(context, problem_of_fault(method, error))

    return call


def _admitting(method: str, behavior: Behavior, gate: Gate, *, takes_stream: bool) -> Behavior:
    """Refuse a caller that may not make the call, before its request is looked at. INVALID_REQUEST, without naming a field,
    answers a request that cannot be decoded.
    """

    async def call(request: Any, context: Context) -> Any:
        rights = gate.rights(context)
        if isinstance(rights, Problem):
            await abort(context, rights)
        if rights.credential_id:
            CREDENTIAL_ID.set(rights.credential_id)
        if problem := gate.lacks_scope(method, rights):
            await abort(context, problem)
        if isinstance(request, Unusable):
            await abort(context, request.problem)
        if takes_stream:
            return await behavior(_while_admitted(method, request, context, gate) if gate.can_revoke else request, context)
        if not rights.are_unlimited:
            verdict = await gate.admit(method, rights, request)
            if isinstance(verdict, Problem):
                await abort(context, verdict)
            if verdict is not None:
                return verdict.reply
        return await behavior(request, context)

    return call


async def _while_admitted(method: str, messages: AsyncIterator[Any], context: Context, gate: Gate) -> AsyncIterator[Any]:
    """The messages of a stream. One that its caller may not send any more is Unusable: its token was revoked, or has lost the
    scope.
    """
    async for message in messages:
        rights = gate.rights(context)
        problem = rights if isinstance(rights, Problem) else gate.lacks_scope(method, rights)
        yield message if problem is None else Unusable(problem)
