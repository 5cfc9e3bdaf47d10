"""AdminService where it is not enabled: each of its methods is refused, with the setting that enables it."""

from typing import Any, NoReturn

import grpc
from google.protobuf.message_factory import GetMessageClass

from creditmeter.server.calls import Services
from creditmeter.server.errors import Context, Problem, abort
from creditmeter.v1 import admin_pb2

_NOT_ENABLED = Problem(
    grpc.StatusCode.PERMISSION_DENIED,
    "PERMISSION_DENIED",
    "AdminService is not enabled on this sidecar: start it with --enable-admin",
    {"setting": "enable_admin"},
)
_ELSEWHERE = Problem(
    grpc.StatusCode.PERMISSION_DENIED,
    "PERMISSION_DENIED",
    "AdminService is not offered at this address: it has addresses of its own, which the setting admin_listen names",
    {"setting": "admin_listen"},
)


def add_disabled_admin(services: Services, *, is_elsewhere: bool) -> None:
    """Add AdminService with all its methods refused. `is_elsewhere`: it is offered at other addresses."""
    contract: Any = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
    why = _ELSEWHERE if is_elsewhere else _NOT_ENABLED
    services.add_registered_method_handlers(contract.full_name, {each.name: _refused(each, why) for each in contract.methods})


def _refused(method: Any, why: Problem) -> Any:
    async def refuse(_request: Any, context: Context) -> NoReturn:
        await abort(context, why)

    return grpc.unary_unary_rpc_method_handler(refuse, GetMessageClass(method.input_type).FromString, bytes)
