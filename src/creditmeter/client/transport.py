"""How mutations travel to the sidecar: here each as a call of its own, in `pipeline.py` over one stream.

Building requests, repeating them, and reading errors and replies is the same however they travel (`session.py`).
"""

from typing import TYPE_CHECKING, Any, Protocol

from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2

if TYPE_CHECKING:
    from creditmeter.v1.metering_pb2_grpc import MeteringServiceAsyncStub


class Transport(Protocol):
    """A way to the sidecar."""

    async def send(self, mutation: metering_pb2.Mutation, timeout: float) -> metering_pb2.MutationResult:
        """Send one mutation, and wait at most `timeout` seconds for its result.

        A refusal is a result with an error, or it is raised.

        Raises:
            grpc.aio.AioRpcError: it was refused, or no result came.
        """

    async def close(self) -> None:
        """End what was opened for it. Nothing is under way any more."""


class UnaryTransport:
    """Each mutation is a call of its own."""

    @classmethod
    def on(cls, connection: Connection) -> "UnaryTransport":
        """Over this connection."""
        return cls(connection.metering)

    def __init__(self, metering: "MeteringServiceAsyncStub") -> None:
        self._methods: dict[str, Any] = {
            "reserve": metering.Reserve,
            "extend": metering.Extend,
            "commit": metering.Commit,
            "release": metering.Release,
            "charge": metering.Charge,
            "refund": metering.Refund,
        }

    async def send(self, mutation: metering_pb2.Mutation, timeout: float) -> metering_pb2.MutationResult:
        """As `Transport` says."""
        kind = mutation.WhichOneof("request")
        assert kind is not None, "a mutation has a request"
        reply = await self._methods[kind](getattr(mutation, kind), timeout=timeout)
        return metering_pb2.MutationResult(**{kind: reply})

    async def close(self) -> None:
        """Nothing was opened."""
