"""The gRPC servers of a sidecar: one with all of its services, and where the settings name addresses of their own one for
AdminService and one for probes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from creditmeter.server import transport
from creditmeter.server.access.gate import Gate
from creditmeter.server.access.tools import add_channelz, add_health, add_reflection
from creditmeter.server.account_service import AccountService
from creditmeter.server.admin_service import AdminService
from creditmeter.server.any_path import new_server
from creditmeter.server.calls import Services
from creditmeter.server.config import Settings
from creditmeter.server.counters import Counters
from creditmeter.server.descriptors import connections_for, raise_limit
from creditmeter.server.disabled_admin import add_disabled_admin
from creditmeter.server.frames import Frames
from creditmeter.server.health import METERING, Health
from creditmeter.server.long_calls import LongCalls
from creditmeter.server.meter_stream import MeterStreams
from creditmeter.server.metering_service import MeteringService
from creditmeter.server.mutations import Mutations
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.opening import limits_of
from creditmeter.server.permissions import Access
from creditmeter.server.unread_replies import UnreadReplies
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import account_pb2, account_pb2_grpc, admin_pb2, admin_pb2_grpc, metering_pb2_grpc

_ACCOUNT = str(account_pb2.DESCRIPTOR.services_by_name["AccountService"].full_name)
_ADMIN = str(admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name)


@dataclass(frozen=True, slots=True)
class Listener:
    """A server that does not listen yet, where it is to listen, and who may connect to its Unix sockets. `name` is what the
    ready line calls its addresses.
    """

    name: str
    server: grpc.aio.Server
    addresses: Sequence[str]
    access: Access
    speaks_tls: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """What the servers are made from. `addresses` is where they listen, once they do. The `streams` end before the servers."""

    settings: Settings
    sidecar: Sidecar
    gate: Gate
    health: Health
    metrics: Counters
    streams: OpenStreams
    addresses: Sequence[str]
    unread: UnreadReplies = field(default_factory=UnreadReplies)
    long_calls: LongCalls = field(default_factory=LongCalls)

    def listeners(self) -> Iterator[Listener]:
        """The servers, of which the first one meters."""
        settings = self.settings
        connections = connections_for(raise_limit(), len(settings.all_addresses))
        workers = Access(settings.socket_mode, settings.socket_group)
        yield Listener("addresses", self._metering(connections), settings.addresses, workers)
        if settings.admin_listen:
            admin = Access(settings.admin_socket_mode, settings.socket_group)
            yield Listener("admin", self._administering(connections), settings.admin_listen, admin)
        if settings.health_listen:
            yield Listener("health", self._probed(connections), settings.health_listen, workers, speaks_tls=False)

    def _metering(self, connections: int) -> grpc.aio.Server:
        server = _server(connections)
        services: Any = self._services(server)  # generated code names the server, of which it uses two methods
        sidecar, longest_hold = self.sidecar, limits_of(self.settings).max_hold_lifetime
        mutations = Mutations(sidecar.meter, longest_hold, self.long_calls)
        frames = Frames(mutations, self.metrics)
        meter_streams = MeterStreams(sidecar.metered_calls, self.streams, self.gate, longest_hold, mutations.admission)
        metering = MeteringService(
            mutations,
            frames,
            meter_streams,
            self.streams,
            self.gate,
            sidecar.reader,
            sidecar.posting_waits,
            self.unread,
            self.long_calls,
        )
        metering_pb2_grpc.add_MeteringServiceServicer_to_server(metering, services)
        account_pb2_grpc.add_AccountServiceServicer_to_server(AccountService(sidecar.reader), services)
        names = [METERING, _ACCOUNT]
        if self.settings.enable_admin and not self.settings.admin_listen:
            names.append(self._add_admin(services))
        else:
            add_disabled_admin(services, is_elsewhere=bool(self.settings.enable_admin and self.settings.admin_listen))
        self._add_tools(server, names)
        return server

    def _administering(self, connections: int) -> grpc.aio.Server:
        server = _server(connections)
        services: Any = self._services(server)  # as above
        self._add_tools(server, [self._add_admin(services)])
        return server

    def _services(self, server: grpc.aio.Server) -> Services:
        return Services(server, self.metrics, self.gate, self.unread)

    def _probed(self, connections: int) -> grpc.aio.Server:
        server = _server(connections)
        add_health(server, self.health.servicer, self.long_calls)
        return server

    def _add_admin(self, services: Any) -> str:
        admin = AdminService(self.sidecar, self.addresses)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, services)
        return _ADMIN

    def _add_tools(self, server: grpc.aio.Server, names: list[str]) -> None:
        """Add what probes and people who look at a server use."""
        names.append(add_health(server, self.health.servicer, self.long_calls))
        if self.settings.channelz:
            names.append(add_channelz(server, self.gate, self.long_calls))
        add_reflection(server, names, self.settings.reflection, self.gate, self.long_calls)


def _server(connections: int) -> grpc.aio.Server:
    """A server that takes so many connections at each of its addresses."""
    return new_server(transport.options(connections))
