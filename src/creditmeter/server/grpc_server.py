"""The gRPC server of a sidecar, with all of its services."""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from creditmeter.server.account_service import AccountService
from creditmeter.server.admin_service import AdminService
from creditmeter.server.calls import Services
from creditmeter.server.config import Settings
from creditmeter.server.counters import Counters
from creditmeter.server.frames import Frames
from creditmeter.server.health import METERING, Health
from creditmeter.server.meter_stream import MeterStreams
from creditmeter.server.metering_service import MeteringService
from creditmeter.server.mutations import Mutations
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.opening import limits_of
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import account_pb2, account_pb2_grpc, admin_pb2, admin_pb2_grpc, metering_pb2_grpc

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message, of requests and of replies."""


def server_of(
    settings: Settings,
    sidecar: Sidecar,
    health: Health,
    metrics: Counters,
    addresses: Sequence[str],
    streams: OpenStreams,
) -> grpc.aio.Server:
    """A server with all services, which does not listen yet. The caller adds to `addresses` where it listens, and ends the
    `streams` before it stops the server.
    """
    server = grpc.aio.server(
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ),
    )
    services: Any = Services(server, metrics)  # generated code names the server, of which it uses two methods
    longest_hold = limits_of(settings).max_hold_lifetime
    mutations = Mutations(sidecar.meter, longest_hold)
    frames = Frames(mutations, metrics)
    meter_streams = MeterStreams(sidecar.metered_calls, streams, longest_hold)
    metering = MeteringService(mutations, frames, meter_streams, streams, sidecar.reader, sidecar.posting_waits)
    account = AccountService(sidecar.reader)
    metering_pb2_grpc.add_MeteringServiceServicer_to_server(metering, services)
    account_pb2_grpc.add_AccountServiceServicer_to_server(account, services)
    names = [METERING, _name(account_pb2, "AccountService")]
    if settings.enable_admin:
        admin = AdminService(sidecar, addresses)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, services)
        names.append(_name(admin_pb2, "AdminService"))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, services)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), services)
    names += [_name(health_pb2, "Health"), "grpc.channelz.v1.Channelz", reflection.SERVICE_NAME]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), services)
    return server


def _name(module: object, service: str) -> str:
    """The full name of a service."""
    return str(module.DESCRIPTOR.services_by_name[service].full_name)  # type: ignore[attr-defined]  # a generated module
