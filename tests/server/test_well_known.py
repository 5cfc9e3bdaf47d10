"""Durations and Timestamps obey the rules of their types, in every field of every request."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.server.well_known import malformed
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2
from tests.server.conftest import Services, failure
from tests.v1.contract import SERVICES

WRONG_DURATIONS = [
    Duration(seconds=1, nanos=-1),
    Duration(seconds=-1, nanos=1),
    Duration(seconds=60, nanos=10**9),
    Duration(nanos=-(10**9)),
    Duration(seconds=315_576_000_001),
    Duration(seconds=-315_576_000_001),
]
RIGHT_DURATIONS = [
    Duration(),
    Duration(seconds=1, nanos=999_999_999),
    Duration(seconds=-1, nanos=-999_999_999),
    Duration(seconds=315_576_000_000),
    Duration(seconds=-315_576_000_000),
]
WRONG_TIMESTAMPS = [
    Timestamp(nanos=-1),
    Timestamp(nanos=10**9),
    Timestamp(seconds=253_402_300_800),
    Timestamp(seconds=-62_135_596_801),
]
RIGHT_TIMESTAMPS = [
    Timestamp(),
    Timestamp(nanos=999_999_999),
    Timestamp(seconds=253_402_300_799, nanos=999_999_999),
    Timestamp(seconds=-62_135_596_800),
]
RULES: dict[str, list[Any]] = {"google.protobuf.Duration": WRONG_DURATIONS, "google.protobuf.Timestamp": WRONG_TIMESTAMPS}


def holding(value: Duration | Timestamp) -> Message:
    """A request with this value in it."""
    if isinstance(value, Duration):
        return metering_pb2.ReserveRequest(ttl=value)
    return account_pb2.ListHistoryRequest(start=value)


@pytest.mark.parametrize("value", [*WRONG_DURATIONS, *WRONG_TIMESTAMPS], ids=lambda each: str(each).replace("\n", " "))
def test_what_breaks_a_rule_is_found(value: Duration | Timestamp) -> None:
    """With the path of its field, once."""
    assert [path for path, _ in malformed(holding(value))] == ["ttl" if isinstance(value, Duration) else "start"]


@pytest.mark.parametrize("value", [*RIGHT_DURATIONS, *RIGHT_TIMESTAMPS], ids=lambda each: str(each).replace("\n", " "))
def test_what_keeps_the_rules_passes(value: Duration | Timestamp) -> None:
    """Up to their very ends."""
    assert list(malformed(holding(value))) == []


SECONDS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2), st.sampled_from([315_576_000_000, -62_135_596_800]))
NANOS = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-2, 2), st.sampled_from([-(10**9), 10**9 - 1, 10**9]))


@given(SECONDS, NANOS, st.sampled_from([Duration, Timestamp]))
def test_the_rules_are_those_of_protobuf_itself(seconds: int, nanos: int, kind: Any) -> None:
    """Protobuf refuses to write as JSON what is not well-formed."""
    value = kind(seconds=seconds, nanos=nanos)
    try:
        value.ToJsonString()
    except ValueError:
        assert list(malformed(holding(value)))
    else:
        assert not list(malformed(holding(value)))


def test_paths_go_through_messages_lists_and_maps() -> None:
    """Each step of a path is named."""
    frame = metering_pb2.PipelineRequest(
        mutations=[
            metering_pb2.Mutation(release=metering_pb2.ReleaseRequest()),
            metering_pb2.Mutation(extend=metering_pb2.ExtendRequest(ttl=WRONG_DURATIONS[0])),
        ]
    )
    assert [path for path, _ in malformed(frame)] == ["mutations[1].extend.ttl"]
    created = admin_pb2.CreateAccountRequest(account=admin_pb2.Account(created_at=WRONG_TIMESTAMPS[0]))
    assert [path for path, _ in malformed(created)] == ["account.created_at"]


def ruled_fields(kind: Descriptor, *path: str) -> Iterator[tuple[str, ...]]:
    """The paths of all Durations and Timestamps in a message, through no list."""
    for field in kind.fields:
        if field.message_type is not None and not field.is_repeated:
            if field.message_type.full_name in RULES:
                yield (*path, field.name)
            else:
                yield from ruled_fields(field.message_type, *path, field.name)


FIELDS = [
    pytest.param(service, method, path, id=f"{method.name}.{'.'.join(path)}")
    for service, methods in SERVICES.items()
    for method in methods.methods
    if not method.client_streaming
    for path in ruled_fields(method.input_type)
]


@pytest.mark.parametrize(("service", "method", "path"), FIELDS)
async def test_every_such_field_of_every_request_is_checked(
    services: Services, service: str, method: MethodDescriptor, path: tuple[str, ...]
) -> None:
    """Named by its path, beside everything else that is wrong with an otherwise empty request."""
    message = GetMessageClass(method.input_type)()
    place: Any = message
    for name in path:
        place = getattr(place, name)
    place.CopyFrom(RULES[place.DESCRIPTOR.full_name][0])
    stubs = {"MeteringService": services.metering, "AccountService": services.account, "AdminService": services.admin}
    failed = await failure(getattr(stubs[service], method.name)(message))
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert ".".join(path) in failed.fields
    assert len(failed.fields) > 1
    assert len(failed.bad_request.field_violations) == len(failed.fields), "each field is named once"
