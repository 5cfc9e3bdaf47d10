"""A connection to one sidecar."""

from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from creditmeter.v1.account_pb2_grpc import AccountServiceStub
from creditmeter.v1.admin_pb2_grpc import AdminServiceStub
from creditmeter.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:  # Python 3.10 has no Self, and these classes are in the stubs' .pyi only
    from typing_extensions import Self

    from creditmeter.v1.account_pb2_grpc import AccountServiceAsyncStub
    from creditmeter.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from creditmeter.v1.metering_pb2_grpc import MeteringServiceAsyncStub

_CHANNEL_OPTIONS = (
    # A sidecar that restarts is back within a second: gRPC's own back-off of up to two minutes would sleep through it.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Each client has a connection of its own; else all clients of a process share one.
    ("grpc.use_local_subchannel_pool", 1),
)


class Client:
    """A connection to the sidecar at `address`: `host:port` or `unix:/path`. Made and used inside one event loop.

    Nothing is connected before the first call. Calls may run in parallel.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self.metering: MeteringServiceAsyncStub = MeteringServiceStub(self._channel)
        self.account: AccountServiceAsyncStub = AccountServiceStub(self._channel)
        self.admin: AdminServiceAsyncStub = AdminServiceStub(self._channel)

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
