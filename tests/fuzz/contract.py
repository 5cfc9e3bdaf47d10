"""All that a sidecar can be called for: every RPC of its services, from their descriptors, and the reasons of the contract."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from creditmeter.server.access.requirements import REQUIREMENTS
from creditmeter.v1 import account_pb2, admin_pb2, errors_pb2, metering_pb2

_MODULES: tuple[Any, ...] = (metering_pb2, account_pb2, admin_pb2, health_pb2, reflection_pb2, channelz_pb2)
_PREFIX = "ERROR_REASON_"
_ERRORS = Path(__file__).parents[2] / "proto" / "creditmeter" / "v1" / "errors.proto"
_STATED = re.compile(r"// ([A-Z_]+)(?: with \w+)?[.,](?:(?!\n\n)[^=])*?\n  ERROR_REASON_([A-Z_]+) = ")


@dataclass(frozen=True)
class Rpc:
    """One RPC. `name` is SERVICE/METHOD without the package."""

    name: str
    path: str
    method: MethodDescriptor

    @property
    def is_ours(self) -> bool:
        """Whether it is of the contract, and none of the tools that come with gRPC."""
        return self.path in REQUIREMENTS

    @property
    def takes_stream(self) -> bool:
        """Whether its caller sends a stream."""
        return bool(self.method.client_streaming)

    @property
    def gives_stream(self) -> bool:
        """Whether it is answered with a stream."""
        return bool(self.method.server_streaming)

    def request(self) -> Any:
        """An empty request."""
        return GetMessageClass(self.method.input_type)()

    def reply(self, received: bytes) -> Message:
        """A reply.

        Raises:
            google.protobuf.message.DecodeError: the bytes are none.
        """
        return GetMessageClass(self.method.output_type).FromString(received)


def _rpcs() -> dict[str, Rpc]:
    services = [each for module in _MODULES for each in module.DESCRIPTOR.services_by_name.values()]
    found = [
        Rpc(f"{each.name}/{method.name}", f"/{each.full_name}/{method.name}", method)
        for each in services
        for method in each.methods
    ]
    return {each.name: each for each in found}


RPCS = _rpcs()
"""Every RPC by its name."""

REASONS = frozenset(name.removeprefix(_PREFIX) for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name) - {"UNSPECIFIED"}
"""The reasons that an error may have."""


def stated_codes() -> dict[str, grpc.StatusCode]:
    """The status code that the contract states for each reason."""
    found = _STATED.findall(_ERRORS.read_text(encoding="utf-8"))
    return {reason: grpc.StatusCode[code] for code, reason in found}
