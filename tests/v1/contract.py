"""What the contract defines, by name."""

from google.protobuf.descriptor import Descriptor, EnumDescriptor, ServiceDescriptor

from creditmeter.v1 import (
    account_pb2,
    admin_pb2,
    charges_pb2,
    errors_pb2,
    explanations_pb2,
    grants_pb2,
    metering_pb2,
    reservations_pb2,
    work_pb2,
)

FILES = [
    module.DESCRIPTOR
    for module in (
        account_pb2,
        admin_pb2,
        charges_pb2,
        errors_pb2,
        explanations_pb2,
        grants_pb2,
        metering_pb2,
        reservations_pb2,
        work_pb2,
    )
]
SERVICES: dict[str, ServiceDescriptor] = {name: each for file in FILES for name, each in file.services_by_name.items()}
MESSAGES: dict[str, Descriptor] = {name: each for file in FILES for name, each in file.message_types_by_name.items()}
ENUMS: dict[str, EnumDescriptor] = {name: each for file in FILES for name, each in file.enum_types_by_name.items()}
