"""Replies of single calls that are not read take a bounded amount of memory, and what others ask for is done."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from creditmeter.server import unread_replies
from creditmeter.server.unread_replies import UnreadReplies, is_read
from creditmeter.v1 import account_pb2, metering_pb2
from creditmeter.v1.metering_pb2 import Mutation
from tests.fuzz.wire import an_empty_request
from tests.server.conftest import Services, failure
from tests.server.requests import charge
from tests.v1.contract import SERVICES

PATH = b"/creditmeter.v1.AccountService/ListModelPrices"
PRICES = account_pb2.ListModelPricesRequest()
HEADERS = 1


def refusals(sent: bytes) -> list[bool]:
    """For each answer that has begun, whether it is a refusal: then its headers end it."""
    found, at = [], 0
    while at + 9 <= len(sent):
        if sent[at + 3] == HEADERS:
            found.append(bool(sent[at + 4] & 1))
        at += 9 + int.from_bytes(sent[at : at + 3])
    return found


@contextlib.asynccontextmanager
async def unread(services: Services, calls: int) -> AsyncIterator[list[bool]]:
    """A connection that asks so often for a page of prices and reads none. Yields, once each is answered, which are refused."""
    host, _, port = services.tcp.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = b""
    try:
        writer.write(an_empty_request(PATH, calls=calls, reads=0))
        async with asyncio.timeout(20):
            while len(refusals(sent)) < calls:
                sent += await reader.read(65_536)
        yield refusals(sent)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def size(services: Services) -> int:
    """How many bytes a page of prices has."""
    found: int = (await services.account.ListModelPrices(PRICES)).ByteSize()
    return found


async def test_reads_are_refused_while_replies_are_not_read(
    services: Services, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large ones before small ones, and only until those are gone that are not read."""
    await services.create("alice", permanent=100)
    monkeypatch.setattr(unread_replies, "LARGE_BYTES", size - 1)
    monkeypatch.setattr(unread_replies, "MAX_BYTES_OF_LARGE", 2 * size)
    async with unread(services, 1) as first:
        assert first == [False]
        await services.account.ListModelPrices(PRICES)
        async with unread(services, 1) as second, unread(services, 1) as third:
            assert (second, third) == ([False], [True])
            refused = await failure(services.account.ListModelPrices(PRICES))
            assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert refused.retry.retry_delay.seconds == 1
            small = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
            assert small.available_microcredits == 100
            monkeypatch.setattr(unread_replies, "MAX_BYTES", 2 * size)
            await failure(services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice")))
            await services.metering.Charge(charge(amount_microcredits=1))
    async with asyncio.timeout(20):
        while True:  # until gRPC has told that the connections are gone
            with contextlib.suppress(grpc.aio.AioRpcError):
                await services.account.ListModelPrices(PRICES)
                return


async def test_a_caller_who_reads_nothing_is_refused_alone(
    services: Services, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much room there is for others."""
    monkeypatch.setattr(unread_replies, "MAX_BYTES_OF_CALLER", 3 * size)
    async with unread(services, 5) as refused:
        assert sorted(refused) == [False, False, False, True, True]
        await services.account.ListModelPrices(PRICES)


async def test_a_batch_is_refused_before_it_begins(services: Services, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is done, since nobody could be told. Once it has begun it is answered."""
    await services.create("alice", permanent=100)
    batch = metering_pb2.BatchRequest(mutations=[Mutation(charge=charge(amount_microcredits=1))])
    async with unread(services, 1):
        monkeypatch.setattr(unread_replies, "MAX_BYTES", size + 1_023)
        refused = await failure(services.metering.Batch(batch))
        assert refused.info.reason == "OVERLOADED"
        monkeypatch.setattr(unread_replies, "MAX_BYTES", size + 1_024)
        (result,) = (await services.metering.Batch(batch)).results
        assert not result.charge.replayed


class _Reply:
    """A reply, or its bytes, that can be watched."""

    def __len__(self) -> int:
        return 1


class _Call:
    """gRPC's context of a call."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def abort(self, *_why: object) -> None:
        raise grpc.aio.AbortError


async def test_a_refused_reply_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by what its call ended with, which lives until garbage is collected."""
    monkeypatch.setattr(unread_replies, "MAX_BYTES_OF_CALLER", -1)
    made: list[weakref.ref[Any]] = []

    def serialized(*_what: object) -> Any:
        made.append(weakref.ref(reply := _Reply()))
        return reply

    async def answer(*what: object) -> object:
        return serialized(what)

    call: Any = _Call()
    with pytest.raises(grpc.aio.AbortError) as ended:
        await UnreadReplies().bounded(answer, serialized)(None, call)
    assert ended.tb is not None
    assert [each() for each in made] == [None, None]


def test_whatever_is_not_bounded_has_a_small_reply_or_bounds_it() -> None:
    """Of all calls of the contract: Batch bounds its own, and streams have another bound."""
    others = {
        each.name for service in SERVICES.values() for each in service.methods if not is_read(each.full_name.replace(".", "/"))
    }
    changes = {"Reserve", "Extend", "Commit", "Release", "Charge", "Refund"}
    administers = {"CreateAccount", "UpdateAccount", "PutPlan", "GrantCredits", "VoidGrant", "PublishRateCard"}
    assert others == changes | administers | {"Batch", "Pipeline", "Meter"}
