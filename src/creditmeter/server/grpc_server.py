"""The gRPC server of a sidecar, with all of its services."""

from collections.abc import Sequence

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from creditmeter.server.account_service import AccountService
from creditmeter.server.admin_service import AdminService
from creditmeter.server.config import Settings
from creditmeter.server.counters import Counters
from creditmeter.server.health import METERING, Health
from creditmeter.server.interceptor import CallInterceptor
from creditmeter.server.metering_service import MeteringService
from creditmeter.server.opening import limits_of
from creditmeter.sidecar.sidecar import Sidecar
from creditmeter.v1 import account_pb2, account_pb2_grpc, admin_pb2, admin_pb2_grpc, metering_pb2_grpc

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message, of requests and of replies."""


def server_of(
    settings: Settings, sidecar: Sidecar, health: Health, metrics: Counters, addresses: Sequence[str]
) -> grpc.aio.Server:
    """A server with all services, which does not listen yet. The caller adds to `addresses` where it listens."""
    server = grpc.aio.server(
        interceptors=(CallInterceptor(metrics),),
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ),
    )
    # For mypy the class is abstract: it lacks the methods that are not in this version, which answer NOT_IMPLEMENTED.
    metering = MeteringService(sidecar.meter, sidecar.reader, limits_of(settings).max_hold_lifetime)  # type: ignore[abstract]
    account = AccountService(sidecar.reader)
    metering_pb2_grpc.add_MeteringServiceServicer_to_server(metering, server)
    account_pb2_grpc.add_AccountServiceServicer_to_server(account, server)
    names = [METERING, _name(account_pb2, "AccountService")]
    if settings.enable_admin:
        admin = AdminService(sidecar, addresses)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
        names.append(_name(admin_pb2, "AdminService"))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    channelz.add_channelz_servicer(server)
    names += [_name(health_pb2, "Health"), "grpc.channelz.v1.Channelz", reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    return server


def _name(module: object, service: str) -> str:
    """The full name of a service."""
    return str(module.DESCRIPTOR.services_by_name[service].full_name)  # type: ignore[attr-defined]  # a generated module
