"""The whole contract for programs that want it: the generated stubs of all services, typed, over one connection.

    async with Connection("unix:/run/creditmeter/creditmeter.sock") as connection:
        held = await call(connection.metering.Reserve, ReserveRequest(request_id="job42/reserve", …))

`call` adds what every caller needs: errors with their reason, and repetition of a call whose outcome is unknown, with the same
request_id, so that it takes effect once. Workers use `creditmeter.client.Client`, which does more of it.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Any

from creditmeter.client.access import Access, Tls, WithMetadata
from creditmeter.client.channel import open_channel
from creditmeter.client.errors import CreditmeterError, FieldViolation
from creditmeter.client.retrying import Retry, call
from creditmeter.v1.account_pb2_grpc import AccountServiceStub
from creditmeter.v1.admin_pb2_grpc import AdminServiceStub
from creditmeter.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:  # these classes are in the stubs' .pyi only
    from typing_extensions import Self

    from creditmeter.v1.account_pb2_grpc import AccountServiceAsyncStub
    from creditmeter.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from creditmeter.v1.metering_pb2_grpc import MeteringServiceAsyncStub

__all__ = ["Access", "Connection", "CreditmeterError", "FieldViolation", "Retry", "Tls", "call"]


class Connection:
    """A connection to the sidecar at `address`: `host:port` or `unix:/path`. Made and used inside one event loop.

    Nothing is connected before the first call. Calls may run in parallel. `access` has the token that each call shows, and TLS;
    by default what the environment says.
    """

    def __init__(self, address: str, access: Access | None = None) -> None:
        """Raises OSError if a file of TLS cannot be read, and ValueError if it is none."""
        self.address = address
        self.access = access or Access.of()
        self._channel = open_channel(address, self.access)
        channel: Any = self._channel if self.access.token is None else WithMetadata(self._channel, self.access.metadata)
        self.metering: MeteringServiceAsyncStub = MeteringServiceStub(channel)
        self.account: AccountServiceAsyncStub = AccountServiceStub(channel)
        self.admin: AdminServiceAsyncStub = AdminServiceStub(channel)

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
