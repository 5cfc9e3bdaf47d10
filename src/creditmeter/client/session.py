"""What a client has in one event loop: its connection, and the tasks that must end before it is closed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from creditmeter.client.access import Access
from creditmeter.client.pipeline import PipelineTransport
from creditmeter.client.retrying import Retry, call, repeated
from creditmeter.client.statuses import error_of
from creditmeter.client.stubs import Connection
from creditmeter.client.transport import Transport
from creditmeter.v1 import metering_pb2

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

    from creditmeter.v1.account_pb2_grpc import AccountServiceAsyncStub
    from creditmeter.v1.metering_pb2_grpc import MeteringServiceAsyncStub

_Result = TypeVar("_Result")
_Request = TypeVar("_Request", bound="Message")
_Reply = TypeVar("_Reply")

log = logging.getLogger("creditmeter.client")

_MOST_CANCELLATIONS = 3
"""How often a task that must end is begun again when its loop cancels all that runs: asyncio.run does so once."""


class Session:
    """A client's connection in the running loop."""

    def __init__(
        self,
        address: str,
        retry: Retry,
        transport_on: Callable[[Connection], Transport] = PipelineTransport.on,
        access: Access | None = None,
    ) -> None:
        self.retry = retry
        self._connection = Connection(address, access)
        self._transport = transport_on(self._connection)
        self._tasks: set[asyncio.Task[object]] = set()
        self._calls: set[asyncio.Future[None]] = set()
        self._givings_up: dict[str, asyncio.Task[Any]] = {}

    @property
    def access(self) -> Access:
        """The token that each call shows."""
        return self._connection.access

    @property
    def metering(self) -> "MeteringServiceAsyncStub":
        """The stubs for reading reservations, charges and prices."""
        return self._connection.metering

    @property
    def account(self) -> "AccountServiceAsyncStub":
        """The stubs for reading what an account has."""
        return self._connection.account

    async def send(self, mutation: metering_pb2.Mutation, retry: Retry | None = None) -> metering_pb2.MutationResult:
        """The result of a mutation, which is never an error. It is repeated with the same request_id.

        Raises:
            CreditmeterError: it was refused, or `retry`, by default the client's, was used up.
        """

        async def attempt(timeout: float) -> metering_pb2.MutationResult:
            result = await self._transport.send(mutation, timeout)
            if result.HasField("error"):
                raise error_of(result.error)
            return result

        kind = mutation.WhichOneof("request")
        assert kind is not None, "a mutation has a request"
        with self._under_way():
            return await repeated(attempt, getattr(mutation, kind), retry or self.retry, self.access.look_again)

    async def read(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Reply]", request: _Request, retry: Retry | None = None
    ) -> _Reply:
        """The reply to a call that changes nothing.

        Raises:
            CreditmeterError: it was refused, or `retry`, by default the client's, was used up.
        """
        with self._under_way():
            return await call(method, request, retry or self.retry, self.access.look_again)

    def begin(self, work: Callable[[], Awaitable[_Result]]) -> "asyncio.Task[_Result]":
        """Begin what must come to its end, whoever is cancelled: `close` waits for it.

        A loop that ends cancels every task. Then the work is begun anew, so it must be safe to repeat.
        """
        return self.keep(insisting(work))

    def keep(self, work: Coroutine[object, object, _Result]) -> "asyncio.Task[_Result]":
        """Begin what `close` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def given_up_by(self, request_id: str, task: "asyncio.Task[_Result]") -> None:
        """Remember the task that releases what a request of this id may hold."""
        if not task.done():
            self._givings_up[request_id] = task
            task.add_done_callback(lambda _: self._givings_up.pop(request_id, None))

    async def given_up(self, request_id: str) -> None:
        """Wait until what an earlier request of this id may hold is released."""
        if task := self._givings_up.get(request_id):
            await asyncio.wait({task})

    async def close(self) -> None:
        """Wait for what is under way, then close the connection."""
        while self._tasks or self._calls:
            under_way: set[asyncio.Future[Any]] = {*self._tasks, *self._calls}
            await asyncio.wait(under_way)
        await self._transport.close()
        await self._connection.close()

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        """A call, with all of its attempts: `close` waits for it."""
        ended = asyncio.get_running_loop().create_future()
        self._calls.add(ended)
        try:
            yield
        finally:
            self._calls.discard(ended)
            ended.set_result(None)

    def _ended(self, task: "asyncio.Task[_Result]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a task of the client failed", exc_info=error)


async def insisting(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """The result of work that is begun again when its task is cancelled."""
    for _ in range(_MOST_CANCELLATIONS):
        try:
            return await work()
        except asyncio.CancelledError:  # noqa: PERF203 - at most three rounds
            log.debug("begun again, because it must end although its loop does")
    return await work()


async def to_its_end(task: "asyncio.Task[_Result]") -> bool:
    """Wait until a task has ended, even while the waiting one is cancelled. Returns whether it was cancelled."""
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:  # noqa: PERF203 - each round waits
            was_cancelled = True
    return was_cancelled
