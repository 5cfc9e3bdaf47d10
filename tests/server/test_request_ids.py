"""A request_id that comes again with another request: the refusal names the field that differs, wherever that is found out.

A sidecar finds it out by its receipts; the central store by the requests that it keeps and by the refunds that were posted.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.v1 import admin_pb2, metering_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.server.requests import text, used
from tests.v1.contract import SERVICES

CREDIT = 1_000_000

OTHER_VALUES: Mapping[str, Any] = {
    "time_zone": "Europe/Berlin",
    "provider_usage_json": '{"prompt_tokens": 2, "completion_tokens": 2}',
    "ttl": Duration(seconds=10),
    "effective_at": Timestamp(seconds=1_798_761_600),
    "expires_at": Timestamp(seconds=1_798_761_600),
    "labels": {"job": "other"},
    "units": {"web_searches": 1},
    "alerts": [admin_pb2.Alert(percent=2)],
}
"""Another valid value for the fields for which no rule below makes one."""

NEVER_DIFFERING = {"request_id", "account_id", "update_mask", "created_at", "wait"}
"""What makes no other request of one that repeats: an id is unique for one account, the central store sets created_at, and a
repeated request may wait for another time.
"""


@asynccontextmanager
async def sidecar(data_dir: Path, central: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """A program that posts when the test says so, with its stubs."""
    settings = Settings.load(
        None,
        listen=("127.0.0.1:0",),
        data_dir=data_dir,
        central=f"sqlite:///{central}",
        enable_admin=True,
        settle_interval=60,
        shutdown_grace=0.2,
    )
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, data_dir, channel)


@pytest.fixture
async def first(migrated_dir: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """A sidecar, and alice with credit."""
    async with sidecar(migrated_dir / "1", migrated_dir / "central.db", clock) as services:
        await services.create("alice", permanent=1_000 * CREDIT)
        yield services


@pytest.fixture
async def second(first: Services, data_dir: Path, clock: ManualClock) -> AsyncIterator[Services]:
    """Another sidecar on the same central store."""
    async with sidecar(data_dir / "2", data_dir / "central.db", clock) as services:
        assert services.program.sidecar.sidecar_id != first.program.sidecar.sidecar_id
        yield services


async def put(services: Services, request: Message) -> Any:
    """The reply to a request, from the RPC whose request it is."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    stub = next(each for each in (services.metering, services.account, services.admin) if hasattr(each, name))
    return await getattr(stub, name)(request)


async def reserved(services: Services, name: str) -> str:
    """The id of a new reservation."""
    request = metering_pb2.ReserveRequest(request_id=f"hold-{name}", account_id="alice", amount_microcredits=CREDIT)
    return (await services.metering.Reserve(request)).reservation.reservation_id


async def charged(services: Services, name: str) -> str:
    """The id of a new charge."""
    request = metering_pb2.ChargeRequest(request_id=f"paid-{name}", account_id="alice", amount_microcredits=CREDIT)
    return (await services.metering.Charge(request)).charge.charge_id


async def requests_of(services: Services) -> list[Message]:
    """A request of every kind that has a request_id, with each of the forms it comes in, all of which are granted."""
    holds = [await reserved(services, f"{number}") for number in range(5)]
    account = admin_pb2.Account(account_id="bob", plan_id="plan-0-0")
    changed = admin_pb2.Account(account_id="alice", plan_id="plan-0-0", alerts=[admin_pb2.Alert(percent=1)])
    gift = admin_pb2.GrantCreditsRequest(request_id="given", account_id="alice", amount_microcredits=CREDIT)
    given = (await services.admin.GrantCredits(gift)).grant
    return [
        metering_pb2.ReserveRequest(request_id="r1", account_id="alice", amount_microcredits=CREDIT),
        metering_pb2.ReserveRequest(request_id="r2", account_id="alice", work=text()),
        metering_pb2.ExtendRequest(request_id="e1", reservation_id=holds[0], amount_microcredits=2 * CREDIT),
        metering_pb2.ExtendRequest(request_id="e2", reservation_id=holds[1], work=text()),
        metering_pb2.CommitRequest(request_id="c1", reservation_id=holds[2], amount_microcredits=CREDIT),
        metering_pb2.CommitRequest(request_id="c2", reservation_id=holds[3], usage=used()),
        metering_pb2.ReleaseRequest(request_id="l", reservation_id=holds[4]),
        metering_pb2.ChargeRequest(request_id="p1", account_id="alice", amount_microcredits=CREDIT),
        metering_pb2.ChargeRequest(request_id="p2", account_id="alice", usage=used()),
        metering_pb2.RefundRequest(request_id="f", charge_id=await charged(services, "f"), amount_microcredits=1),
        admin_pb2.CreateAccountRequest(request_id="a", account=account),
        admin_pb2.UpdateAccountRequest(request_id="u", account=changed),
        admin_pb2.GrantCreditsRequest(request_id="g", account_id="alice", amount_microcredits=1),
        admin_pb2.VoidGrantRequest(request_id="v", account_id="alice", grant_id=given.grant_id),
    ]


def paths(message: Message, prefix: str = "") -> Iterator[str]:
    """The paths of the fields that may differ: of a oneof only the one that is set, of a message inside each of its own."""
    for field in message.DESCRIPTOR.fields:
        is_choice = field.containing_oneof is not None and len(field.containing_oneof.fields) > 1
        if field.name in NEVER_DIFFERING or (is_choice and not message.HasField(field.name)):
            continue
        if field.message_type is not None and field.name not in OTHER_VALUES:
            yield from paths(getattr(message, field.name), f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def differing(request: Message, path: str, others: Mapping[str, str]) -> Message:
    """A request that differs from this one in one field."""
    made = type(request)()
    made.CopyFrom(request)
    *outer, name = path.split(".")
    inside: Any = made
    for each in outer:
        inside = getattr(inside, each)
    field = inside.DESCRIPTOR.fields_by_name[name]
    value = OTHER_VALUES.get(name, others.get(name))
    if value is None:
        value = another(field, getattr(inside, name))
    if field.message_type is not None:
        inside.ClearField(name)
        inside.MergeFrom(type(inside)(**{name: value}))
    else:
        setattr(inside, name, value)
    return made


def another(field: FieldDescriptor, value: Any) -> Any:
    """Another value of a plain field."""
    if field.enum_type is not None:
        return 2 if value != 2 else 1
    if isinstance(value, str):
        return "other"
    return not value if isinstance(value, bool) else value + 1


async def reused_fields(services: Services, request: Message, others: Mapping[str, str]) -> dict[str, str]:
    """Each field of a request that was granted, with the field that the refusal names when only that one differs."""
    assert (await put(services, request)).replayed
    found = {}
    for path in paths(request):
        failed = await failure(put(services, differing(request, path, others)))
        assert failed.info.reason == "REQUEST_ID_REUSED", (request, path, failed.message)
        found[path] = failed.info.metadata["field"]
    return found


async def test_every_request_names_the_field_that_differs(first: Services) -> None:
    """All RPCs that take a request_id, all of their fields."""
    others = {"reservation_id": await reserved(first, "other"), "charge_id": await charged(first, "other")}
    requests = await requests_of(first)
    inputs = [method.input_type for service in SERVICES.values() for method in service.methods]
    assert {each.DESCRIPTOR.name for each in requests} == {each.name for each in inputs if "request_id" in each.fields_by_name}
    for request in requests:
        assert not (await put(first, request)).replayed
        found = await reused_fields(first, request, others)
        assert found
        assert found == {path: path for path in found}


async def test_a_refund_names_it_wherever_it_was_decided(first: Services, second: Services) -> None:
    """By the sidecar before the charge was posted, asked again there and elsewhere; and by the central store after."""
    others = {"charge_id": await charged(first, "other")}
    charges = [await charged(first, "early"), await charged(first, "late")]
    early, late = (
        metering_pb2.RefundRequest(request_id=f"refund-{each}", charge_id=each, amount_microcredits=1, reason="slow")
        for each in charges
    )
    fields = {each: each for each in ("charge_id", "amount_microcredits", "mode", "reason")}
    assert not (await first.metering.Refund(early)).replayed
    assert await reused_fields(first, early, others) == fields
    await first.program.sidecar.settle()
    assert await reused_fields(first, early, others) == fields, "by its receipt"
    assert await reused_fields(second, early, others) == fields, "by the refund that the first one posted"
    assert not (await first.metering.Refund(late)).replayed
    assert await reused_fields(first, late, others) == fields, "by the request that the central store keeps"
    assert await reused_fields(second, late, others) == fields


async def test_an_id_of_another_rpc(first: Services) -> None:
    """Then it is the RPC that differs, at a sidecar as at the central store."""
    held = await reserved(first, "one")
    used_before = metering_pb2.ReleaseRequest(request_id="hold-one", reservation_id=held)
    assert (await failure(first.metering.Release(used_before))).info.metadata["field"] == "rpc"
    changed = admin_pb2.Account(account_id="alice", anchor_day=5)
    request = admin_pb2.UpdateAccountRequest(request_id="create", account=changed)
    assert (await failure(first.admin.UpdateAccount(request))).info.metadata["field"] == "rpc"
