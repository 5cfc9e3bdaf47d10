"""The client on another way to the sidecar, where a refusal is a result and not a failed call; and what is repeated on each."""

import asyncio

import pytest

from creditmeter.client import Client, CreditmeterError, InsufficientCredits, Overloaded, Unreachable
from creditmeter.client.retrying import NO_RETRY
from creditmeter.client.session import Session
from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2
from tests.client.conftest import ACCOUNT, CREDIT, QUICK
from tests.client.proxy import Proxy, Treatment


class BatchTransport:
    """Sends each mutation as a Batch of one. A refusal is a result."""

    def __init__(self, connection: Connection) -> None:
        self._metering = connection.metering

    async def send(self, mutation: metering_pb2.Mutation, timeout: float) -> metering_pb2.MutationResult:  # noqa: ASYNC109
        """As `Transport` says."""
        reply = await self._metering.Batch(metering_pb2.BatchRequest(mutations=[mutation]), timeout=timeout)
        return reply.results[0]

    async def close(self) -> None:
        """As `Transport` says."""


def reserve(microcredits: int) -> metering_pb2.Mutation:
    """A hold of an amount."""
    request = metering_pb2.ReserveRequest(request_id="r", account_id=ACCOUNT, amount_microcredits=microcredits)
    return metering_pb2.Mutation(reserve=request)


async def test_a_refusal_that_is_a_result(proxy: Proxy) -> None:
    """It is the same error, and what is lost is repeated in the same way."""
    session = Session(proxy.address, QUICK, BatchTransport)
    with pytest.raises(InsufficientCredits) as caught:
        await session.send(reserve(101 * CREDIT))
    assert caught.value.required_microcredits == 101 * CREDIT
    proxy.next("Batch", Treatment.LOSE_REPLY, Treatment.OVERLOADED)
    assert (await session.send(reserve(CREDIT))).reserve.replayed
    await session.close()


async def test_a_refusal_at_the_door_after_an_attempt_without_an_answer(meter: Client, proxy: Proxy) -> None:
    """The outcome is as unknown as before: what may be held is released."""
    proxy.next("Reserve", Treatment.LOSE_REPLY, *[Treatment.OVERLOADED] * 1_000)
    with pytest.raises(Overloaded) as caught:
        await meter.hold(ACCOUNT, amount_microcredits=CREDIT).__aenter__()
    assert caught.value.is_outcome_unknown
    proxy.forget()
    await meter.close()
    assert (await meter.balance(ACCOUNT)).held_microcredits == 0


@pytest.mark.parametrize(("treatment", "known"), [(Treatment.OVERLOADED, Overloaded), (Treatment.LOSE_REPLY, Unreachable)])
async def test_one_attempt(proxy: Proxy, treatment: Treatment, known: type[CreditmeterError]) -> None:
    """A refusal alone changed nothing; without an answer nobody knows."""
    session = Session(proxy.address, NO_RETRY)
    proxy.next("Reserve", treatment)
    with pytest.raises(known) as caught:
        await session.send(reserve(CREDIT))
    assert caught.value.is_outcome_unknown is (known is Unreachable)
    await session.close()


async def test_a_reply_that_comes_too_late(proxy: Proxy) -> None:
    """Its attempt ends at its deadline, and the next one gets the first reply."""
    session = Session(proxy.address, QUICK)
    proxy.next("Reserve", Treatment.KEEP_REPLY)
    asking = asyncio.create_task(session.send(reserve(CREDIT), type(QUICK)(total=60, attempt=0.2)))
    assert (await asking).reserve.replayed
    assert proxy.calls == ["Reserve", "Reserve"]
    await session.close()
