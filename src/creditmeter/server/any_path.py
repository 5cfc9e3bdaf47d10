"""gRPC's server, which goes on whatever the path of a call is.

The server of grpcio 1.85 decodes the path of each call in the task that takes calls. A path that is no UTF-8 raises there, and
the server ends: whoever may connect could end it, without a token. So here all methods are registered with gRPC's core, which
compares bytes. Nobody decodes the path of any other call: it is UNIMPLEMENTED. Each method has a task that takes its calls; the
one task of grpcio would look at every method for each call (https://github.com/grpc/grpc/pull/43461).

This rests on names of grpcio that are not public. A version without them has its own server.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server

_UNKNOWN = ""
"""Stands for the path of a call that is of none of the methods."""

_IS_KNOWN_HERE = all(
    hasattr(cygrpc, name) for name in ("_MethodResolver", "_handle_rpc", "_schedule_rpc_coro", "_RequestCallError")
)


def new_server(options: Sequence[tuple[str, Any]]) -> grpc.aio.Server:
    """A server with these channel arguments. It takes registered methods alone."""
    made: Any = _Server(options) if _IS_KNOWN_HERE else grpc.aio.server(options=options)  # types know no class of servers
    server: grpc.aio.Server = made
    return server


class _Taking(cygrpc.AioServer):  # type: ignore[misc]  # it is compiled, and has no types
    """Takes the calls of each method, and those of no method, in a task of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Sequence[tuple[str, Any]]) -> None:
        super().__init__(loop, None, (), (), tuple(options), None)
        self._methods: dict[str, Any] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._taking: set[asyncio.Task[None]] = set()
        self.broken: asyncio.Future[BaseException] = loop.create_future()
        """Why calls are not taken any more, if that was not asked for."""

    def add_registered_method_handlers(self, handlers: Mapping[str, Any]) -> None:
        """Add methods by their paths."""
        super().add_registered_method_handlers(handlers)
        self._methods |= handlers

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[None]":
        """What grpcio waits for: it ends when the server does. None stands for all that are no method.

        Where one ends with a fault, grpcio cancels the others. The tasks themselves go on: when the server stops, gRPC's core
        still writes to what each has asked it for.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        taking = loop.create_task(self._take(method))
        self._taking.add(taking)

        def pass_on(task: "asyncio.Task[None]") -> None:
            self._taking.discard(task)
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            assert error is not None, "a task that takes calls ends with what gRPC says"
            if not isinstance(error, cygrpc._RequestCallError) and not self.broken.done():  # noqa: SLF001 - see above
                self.broken.set_result(error)
            if not ended.done():
                ended.set_exception(error)

        taking.add_done_callback(pass_on)
        return ended

    async def _take(self, method: bytes | None) -> None:
        """Take calls until the server ends, which gRPC's core says by an exception."""
        loop, resolver = asyncio.get_running_loop(), cygrpc._MethodResolver([], self._methods)  # noqa: SLF001 - see above
        name = _UNKNOWN if method is None else method.decode()
        while True:
            state = await (self._request_call() if method is None else self._request_registered_call(method))
            answering = cygrpc._handle_rpc(name, resolver, (), state, loop, False)  # noqa: FBT003, SLF001 - as it is there
            task = loop.create_task(cygrpc._schedule_rpc_coro(_unless_gone(answering), state, loop, name))  # noqa: SLF001 - see above
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)


async def _unless_gone(answering: Coroutine[Any, Any, None]) -> None:
    """Answer a call. What cannot be sent has nobody to read it: the call ends as one that its caller cancelled."""
    try:
        await answering
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


class _Server(_server.Server):
    def __init__(self, options: Sequence[tuple[str, Any]]) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Taking(self._loop, options)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as grpcio has it
        """As gRPC's own; and an error at once if calls are not taken any more. gRPC's own waits until no call is open."""
        ended = asyncio.ensure_future(super().wait_for_termination(timeout))
        await asyncio.wait((ended, self._server.broken), return_when=asyncio.FIRST_COMPLETED)
        if self._server.broken.done():
            ended.add_done_callback(lambda task: task.cancelled() or task.exception())  # else it would be logged as well
            raise self._server.broken.result()
        return await ended
