"""Who may call what, over the wire: an RPC is refused without a credential, with the wrong scope and for the wrong account."""

import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from creditmeter.core.access import Scope
from creditmeter.core.ids import account_key
from creditmeter.server.access.requirements import REQUIREMENTS
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, work_pb2
from tests.credentials import AccessFile, Metadata, accounts
from tests.server.conftest import Failure, Services

CREDIT = 1_000_000
OURS = (metering_pb2, account_pb2, admin_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in OURS
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
TOOLS = {
    f"/{service.full_name}/{method.name}": method
    for module in (channelz_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
STREAMS = {path for path, method in (METHODS | TOOLS).items() if method.client_streaming}
LOST_BY_GRPC = "Internal error from Core"
"""How gRPC's client ends a stream that was refused while it wrote: it forgets what the server said. It is asked again then."""


@contextlib.asynccontextmanager
async def channels(services: Services) -> AsyncIterator[list[grpc.aio.Channel]]:
    """A channel by the socket, and one by TCP."""
    async with grpc.aio.insecure_channel(services.tcp) as channel:
        yield [services.channel, channel]


def empty(method: MethodDescriptor) -> bytes:
    """A request in which nothing is set."""
    return GetMessageClass(method.input_type)().SerializeToString()


async def answer(channel: Any, path: str, request: bytes, caller: Metadata = ()) -> Failure | bytes:
    """How a call ends: with a failure, or with the bytes of its first reply."""
    while True:
        try:
            if path not in STREAMS:
                reply: bytes = await channel.unary_unary(path)(request, metadata=caller, timeout=30)
                return reply
            stream = channel.stream_stream(path)(metadata=caller, timeout=30)
            await stream.write(request)
            await stream.done_writing()
            read: Any = await stream.read()
        except grpc.aio.AioRpcError as error:
            if error.details() != LOST_BY_GRPC:
                return Failure(error)
        else:
            return b"" if read is grpc.aio.EOF else read


async def code(channel: Any, path: str, request: bytes, caller: Metadata) -> str:
    """The status code with which a call ends."""
    call = channel.unary_unary(path)(request, metadata=caller)
    return str((await call.code()).name)


async def refusal(channel: Any, path: str, request: bytes, caller: Metadata = ()) -> str:
    """The reason for which a call is refused."""
    found = await answer(channel, path, request, caller)
    assert isinstance(found, Failure), f"{path} was answered: {found!r}"
    assert found.info.reason in (found.code.name, "INVALID_REQUEST")
    return found.code.name


def test_what_each_rpc_needs_is_written_down() -> None:
    """Of every RPC of the contract; and where something is named, it is a field of the request."""
    assert set(REQUIREMENTS) == set(METHODS)
    for path, need in REQUIREMENTS.items():
        assert need.id_in(GetMessageClass(METHODS[path].input_type)()) == ""


async def test_nobody_calls_without_a_token(guarded: Services) -> None:
    """No RPC of any service but Health, by no way: not with an unknown token either, nor with bytes that are no request."""
    strangers: list[Metadata] = [
        (),
        (("authorization", "Bearer cmt_aaaaaaaa_" + "A" * 43),),
        (("authorization", "Basic YWxpY2U6c2VjcmV0"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer a"), ("authorization", "Bearer b")),
    ]
    async with channels(guarded) as ways:
        for channel, (path, method) in itertools.product(ways, (METHODS | TOOLS).items()):
            assert {await refusal(channel, path, empty(method), each) for each in strangers} == {"UNAUTHENTICATED"}, path
            assert await refusal(channel, path, b"\xff", ()) == "UNAUTHENTICATED"
        for channel in ways:
            assert await refusal(channel, "/grpc.health.v1.Health/Check", b"\xff") == "INVALID_ARGUMENT"
            found = await answer(channel, "/grpc.health.v1.Health/Check", b"")
            assert isinstance(found, bytes)
            assert health_pb2.HealthCheckResponse.FromString(found).status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("scope", Scope)
async def test_a_scope_opens_what_it_says_and_no_more(guarded: Services, access_file: AccessFile, scope: Scope) -> None:
    """With every scope but the ones it needs an RPC is refused, before its request is looked at; with one of them it is not."""
    with_it, without = access_file.give("with", scope), access_file.give("without", *(set(Scope) - {scope}))
    async with channels(guarded) as ways:
        for channel, (path, method) in itertools.product(ways, METHODS.items()):
            wanted = REQUIREMENTS[path].scopes
            if scope not in wanted:
                assert await refusal(channel, path, empty(method), with_it) == "PERMISSION_DENIED"
                assert await refusal(channel, path, b"\xff", with_it) == "PERMISSION_DENIED"
            elif wanted == {scope}:
                assert await refusal(channel, path, empty(method), without) == "PERMISSION_DENIED"
            if scope in wanted and not REQUIREMENTS[path].of_all:
                found = await answer(channel, path, empty(method), with_it)
                assert not isinstance(found, Failure) or found.info.reason == "INVALID_REQUEST", path


async def test_tools_need_a_right(guarded: Services, access_file: AccessFile) -> None:
    """Reflection any; channelz the scope admin, for all accounts."""
    reads, bound = access_file.give("reads", Scope.READ), access_file.give("bound", within=accounts("alice"))
    administers = access_file.give("administers", Scope.ADMIN)
    for path, method in TOOLS.items():
        request = empty(method)
        if path in STREAMS:
            request = reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString()
            found = await answer(guarded.channel, path, request, reads)
            assert b"creditmeter.v1.MeteringService" in found  # type: ignore[operator]  # it is no failure
            continue
        assert await refusal(guarded.channel, path, request, reads) == "PERMISSION_DENIED"
        assert await refusal(guarded.channel, path, request, bound) == "PERMISSION_DENIED"
        assert await code(guarded.channel, path, request, administers) not in ("UNAUTHENTICATED", "PERMISSION_DENIED")


async def test_what_has_no_account_is_for_those_who_may_use_all(guarded: Services, access_file: AccessFile) -> None:
    """A list of everybody's reservations or leases takes the scope admin; a caller that is bound to accounts has none of it."""
    meters, reads = access_file.give("meters", Scope.METER), access_file.give("reads", Scope.READ)
    administers, bound = access_file.give("all"), access_file.give("bound", within=accounts("alice"))
    whole = [path for path, need in REQUIREMENTS.items() if need.of_all]
    assert "/creditmeter.v1.MeteringService/ListReservations" in whole
    for path in whole:
        for each in (meters, reads, bound):
            assert await refusal(guarded.channel, path, empty(METHODS[path]), each) == "PERMISSION_DENIED"
        found = await answer(guarded.channel, path, empty(METHODS[path]), administers)
        assert not isinstance(found, Failure) or found.info.reason == "INVALID_REQUEST"


Made = dict[str, str]
"""The ids that belong to an account, by the name of their field."""

_ids = itertools.count()


def request_id() -> str:
    """A new one."""
    return f"q{next(_ids)}"


REQUESTS: dict[str, Callable[[Made], Message]] = {
    "MeteringService/Quote": lambda made: metering_pb2.QuoteRequest(
        account_id=made["account_id"], work=[work_pb2.Work(action="view")]
    ),
    "MeteringService/Reserve": lambda made: metering_pb2.ReserveRequest(
        request_id=request_id(), account_id=made["account_id"], amount_microcredits=1
    ),
    "MeteringService/Extend": lambda made: metering_pb2.ExtendRequest(
        request_id=request_id(), reservation_id=made["reservation_id"], amount_microcredits=2 * CREDIT
    ),
    "MeteringService/Commit": lambda made: metering_pb2.CommitRequest(
        request_id=request_id(), reservation_id=made["reservation_id"], amount_microcredits=1, keep_open=True
    ),
    "MeteringService/Release": lambda made: metering_pb2.ReleaseRequest(
        request_id=request_id(), reservation_id=made["reservation_id"]
    ),
    "MeteringService/Charge": lambda made: metering_pb2.ChargeRequest(
        request_id=request_id(), account_id=made["account_id"], amount_microcredits=1
    ),
    "MeteringService/Refund": lambda made: metering_pb2.RefundRequest(
        request_id=request_id(), charge_id=made["charge_id"], amount_microcredits=1
    ),
    "MeteringService/GetReservation": lambda made: metering_pb2.GetReservationRequest(reservation_id=made["reservation_id"]),
    "MeteringService/GetCharge": lambda made: metering_pb2.GetChargeRequest(charge_id=made["charge_id"]),
    "MeteringService/GetRefund": lambda made: metering_pb2.GetRefundRequest(refund_id=made["refund_id"]),
    "MeteringService/ListReservations": lambda made: metering_pb2.ListReservationsRequest(account_id=made["account_id"]),
    "AccountService/GetBalance": lambda made: account_pb2.GetBalanceRequest(account_id=made["account_id"]),
    "AccountService/GetPastBalance": lambda made: account_pb2.GetPastBalanceRequest(
        account_id=made["account_id"], at=Timestamp(seconds=1_600_000_000)
    ),
    "AccountService/ListGrants": lambda made: account_pb2.ListGrantsRequest(account_id=made["account_id"]),
    "AccountService/ListHistory": lambda made: account_pb2.ListHistoryRequest(account_id=made["account_id"]),
    "AccountService/SummarizeUsage": lambda made: account_pb2.SummarizeUsageRequest(
        account_id=made["account_id"], group_by=[account_pb2.UsageGrouping(dimension=account_pb2.USAGE_DIMENSION_MODEL)]
    ),
    "AccountService/ForecastUsage": lambda made: account_pb2.ForecastUsageRequest(account_id=made["account_id"]),
    "AccountService/ExplainCharge": lambda made: account_pb2.ExplainChargeRequest(charge_id=made["charge_id"]),
    "AdminService/GetAccount": lambda made: admin_pb2.GetAccountRequest(account_id=made["account_id"]),
    "AdminService/UpdateAccount": lambda made: admin_pb2.UpdateAccountRequest(
        request_id=request_id(), account=admin_pb2.Account(account_id=made["account_id"], max_open_reservations=7)
    ),
    "AdminService/GrantCredits": lambda made: admin_pb2.GrantCreditsRequest(
        request_id=request_id(), account_id=made["account_id"], amount_microcredits=1
    ),
    "AdminService/VoidGrant": lambda made: admin_pb2.VoidGrantRequest(
        request_id=request_id(), account_id=made["account_id"], grant_id="none"
    ),
    "AdminService/ListLeases": lambda made: admin_pb2.ListLeasesRequest(account_id=made["account_id"]),
}
"""A valid request of each RPC that is about one account. CreateAccount makes one: the wrong account is not there."""


async def owned(services: Services, caller: Metadata, account_id: str) -> Made:
    """An account with a reservation, a charge and a refund."""
    create = admin_pb2.CreateAccountRequest(request_id="create", account=admin_pb2.Account(account_id=account_id))
    await services.admin.CreateAccount(create, metadata=caller)
    grant = admin_pb2.GrantCreditsRequest(request_id="grant", account_id=account_id, amount_microcredits=100 * CREDIT)
    await services.admin.GrantCredits(grant, metadata=caller)
    reserve = metering_pb2.ReserveRequest(request_id="r", account_id=account_id, amount_microcredits=CREDIT)
    held = await services.metering.Reserve(reserve, metadata=caller)
    charge = metering_pb2.ChargeRequest(request_id="c", account_id=account_id, amount_microcredits=CREDIT)
    charged = await services.metering.Charge(charge, metadata=caller)
    refund = metering_pb2.RefundRequest(request_id="f", charge_id=charged.charge.charge_id, amount_microcredits=1)
    refunded = await services.metering.Refund(refund, metadata=caller)
    return {
        "account_id": account_id,
        "reservation_id": held.reservation.reservation_id,
        "charge_id": charged.charge.charge_id,
        "refund_id": refunded.refund.refund_id,
    }


def nobodys(made: Made) -> Made:
    """The same ids, of an account that does not exist."""
    keys = account_key(made["account_id"]), account_key("nobody")
    return {name: "nobody" if name == "account_id" else text.replace(*keys) for name, text in made.items()}


def of_another_sidecar(made: Made) -> Made:
    """The same ids, as if another sidecar had made them."""
    return {name: re.sub("-[a-z0-9]+-", "-other-", text[20:]).join((text[:20], "")) for name, text in made.items()}


def bare_one(request: Message) -> Message:
    """The request with its id alone: it is not valid."""
    bare = type(request)()
    for name in ("account_id", "reservation_id", "charge_id", "refund_id"):
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(bare, name, getattr(request, name))
    return bare


def as_of(made: Made, found: Failure | bytes) -> object:
    """An answer without the ids that were asked for."""
    if isinstance(found, bytes):
        return found
    message = found.message
    for name, text in made.items():
        message = message.replace(text, name)
    return found.code, found.info.reason, message, found.kinds


def test_each_rpc_about_an_account_is_tried() -> None:
    """With a valid request."""
    named = {path.removeprefix("/creditmeter.v1.") for path, need in REQUIREMENTS.items() if need.named}
    assert set(REQUESTS) == named - {"AdminService/CreateAccount"}


def paths() -> Iterator[str]:
    """The RPCs about one account."""
    return (f"/creditmeter.v1.{name}" for name in REQUESTS)


@pytest.mark.parametrize("within", [accounts("alice"), accounts(prefixes=["alice", "team-"]), accounts()])
async def test_an_account_that_a_caller_may_not_use_is_not_there(
    guarded: Services, access_file: AccessFile, within: Any
) -> None:
    """Every RPC answers as it does for an account that does not exist, and changes nothing."""
    everybody, bound = access_file.give("everybody"), access_file.give("bound", within=within)
    bobs = await owned(guarded, everybody, "bob")
    balance = account_pb2.GetBalanceRequest(account_id="bob").SerializeToString()
    before = await answer(guarded.channel, "/creditmeter.v1.AccountService/GetBalance", balance, everybody)
    async with channels(guarded) as ways:
        for channel, path in itertools.product(ways, paths()):
            build = REQUESTS[path.removeprefix("/creditmeter.v1.")]
            hidden = await answer(channel, path, build(bobs).SerializeToString(), bound)
            absent = await answer(channel, path, build(nobodys(bobs)).SerializeToString(), everybody)
            assert as_of(bobs, hidden) == as_of(nobodys(bobs), absent), path
            for bare, changed in itertools.product((False, True), (bobs, of_another_sidecar(bobs))):
                asked = [bare_one(build(made)) if bare else build(made) for made in (changed, nobodys(changed))]
                found = [await answer(channel, path, each.SerializeToString(), bound) for each in asked]
                assert as_of(changed, found[0]) == as_of(nobodys(changed), found[1]), path
    after = await answer(guarded.channel, "/creditmeter.v1.AccountService/GetBalance", balance, everybody)
    balances = [account_pb2.GetBalanceResponse.FromString(each) for each in (before, after) if isinstance(each, bytes)]
    assert balances[0].held_microcredits == balances[1].held_microcredits == CREDIT
    assert balances[0].available_microcredits == balances[1].available_microcredits
    created = admin_pb2.CreateAccountRequest(request_id="x", account=admin_pb2.Account(account_id="carol")).SerializeToString()
    assert isinstance(await answer(guarded.channel, "/creditmeter.v1.AdminService/CreateAccount", created, bound), Failure)


@pytest.mark.parametrize("within", [accounts("alice"), accounts("bob", prefixes=["al"])])
async def test_what_belongs_to_a_callers_account_is_done(guarded: Services, access_file: AccessFile, within: Any) -> None:
    """By its id, and by the ids that were made for it: also when this sidecar has nothing of the account in memory."""
    everybody, bound = access_file.give("everybody"), access_file.give("bound", within=within)
    alices = await owned(guarded, everybody, "alice")
    last = "/creditmeter.v1.MeteringService/Release"
    for path in [*(each for each in paths() if each != last), last]:
        request = REQUESTS[path.removeprefix("/creditmeter.v1.")](alices).SerializeToString()
        found = await answer(guarded.channel, path, request, bound)
        assert not isinstance(found, Failure) or found.info.reason == "GRANT_NOT_FOUND", path


@pytest.mark.parametrize("in_parts", [False, True])
async def test_each_mutation_of_a_frame_is_judged_by_itself(guarded: Services, access_file: AccessFile, in_parts: bool) -> None:
    """The wrong account is not there, a refund needs its scope, and what may be done is done."""
    everybody = access_file.give("everybody")
    bobs, alices = [await owned(guarded, everybody, name) for name in ("bob", "alice")]
    bound = access_file.give("bound", Scope.METER, within=accounts("carol", prefixes=["ali"]))
    mutations = [
        metering_pb2.Mutation(charge=REQUESTS["MeteringService/Charge"](alices)),  # type: ignore[arg-type]  # it is one
        metering_pb2.Mutation(charge=REQUESTS["MeteringService/Charge"](bobs)),  # type: ignore[arg-type]  # it is one
        metering_pb2.Mutation(commit=REQUESTS["MeteringService/Commit"](bobs)),  # type: ignore[arg-type]  # it is one
        metering_pb2.Mutation(refund=REQUESTS["MeteringService/Refund"](alices)),  # type: ignore[arg-type]  # it is one
        metering_pb2.Mutation(release=REQUESTS["MeteringService/Release"](alices)),  # type: ignore[arg-type]  # it is one
        metering_pb2.Mutation(),
    ]
    wanted = ["charge", "ACCOUNT_NOT_FOUND", "RESERVATION_NOT_FOUND", "PERMISSION_DENIED", "release", "INVALID_REQUEST"]
    results: dict[int, str] = {}
    stream = guarded.metering.Pipeline(metadata=bound)
    await stream.write(metering_pb2.PipelineRequest(frame_id=1, mutations=mutations, answer_in_parts=in_parts))
    while len(results) < len(mutations):
        reply: Any = await stream.read()
        for number, each in enumerate(reply.results, reply.first_mutation):
            results[number] = _kind(each)
    assert [results[number] for number in range(len(mutations))] == wanted
    stream.cancel()
    again = await guarded.metering.Batch(metering_pb2.BatchRequest(mutations=mutations), metadata=bound)
    assert [_kind(each) for each in again.results] == wanted


def _kind(result: metering_pb2.MutationResult) -> str:
    """The kind of a mutation's reply, or why it was refused."""
    kind, info = result.WhichOneof("result") or "", ErrorInfo()
    return info.reason if any(each.Unpack(info) for each in result.error.details) else kind


async def test_a_metered_call_is_of_a_callers_account(guarded: Services, access_file: AccessFile) -> None:
    """Another one is not there."""
    everybody = access_file.give("everybody")
    await owned(guarded, everybody, "bob")
    bound = access_file.give("bound", Scope.METER, within=accounts("alice"))
    stream = guarded.metering.Meter(metadata=bound)
    await stream.write(metering_pb2.MeterRequest(open=REQUESTS["MeteringService/Reserve"]({"account_id": "bob"})))  # type: ignore[arg-type]  # it is one
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert Failure(caught.value).info.reason == "ACCOUNT_NOT_FOUND"
