"""One stream for all calls of a client: what shares a frame, what happens when it breaks, and what an old sidecar gets."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from creditmeter.client import Client, CreditmeterError, DeadlineExceeded, InsufficientCredits, NotAllowed, Overloaded, Retry
from creditmeter.client.pipeline import MAX_BYTES, MAX_MUTATIONS, PipelineTransport
from creditmeter.client.retrying import NO_RETRY
from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2
from tests.client.conftest import ACCOUNT, CREDIT, QUICK
from tests.client.proxy import Proxy, Treatment


class CountedFrames:
    """The stub of the service, which notes how many mutations each frame has."""

    def __init__(self, connection: Connection) -> None:
        self._metering = connection.metering
        self.frames: list[int] = []
        self.streams = 0

    def Pipeline(self) -> object:  # noqa: N802 - as the contract says
        """A stream, the frames of which are counted."""
        stream: Any = self._metering.Pipeline()
        write, self.streams = stream.write, self.streams + 1

        async def counted(frame: metering_pb2.PipelineRequest) -> None:
            self.frames.append(len(frame.mutations))
            await write(frame)

        stream.write = counted
        return stream


def charge(number: int, microcredits: int = 1, size: int = 0) -> metering_pb2.Mutation:
    """A charge of its own id."""
    request = metering_pb2.ChargeRequest(request_id=f"c{number}", account_id=ACCOUNT, amount_microcredits=microcredits)
    if size:
        request.labels["k"] = "v" * size
    return metering_pb2.Mutation(charge=request)


async def test_calls_of_one_turn_share_a_frame(address: str) -> None:
    """Up to the most that a frame may have. One by itself travels at once."""
    async with Connection(address) as connection:
        counted = CountedFrames(connection)
        transport = PipelineTransport(counted, None)  # type: ignore[arg-type]  # it is what the stub is, and nothing is unary
        results = await asyncio.gather(*(transport.send(charge(number), 5) for number in range(32)))
        assert {each.WhichOneof("result") for each in results} == {"charge"}
        assert len({each.charge.charge.charge_id for each in results}) == 32
        await transport.send(charge(32), 5)
        assert counted.frames == [32, 1]
        await asyncio.gather(*(transport.send(charge(number), 5) for number in range(100, 100 + MAX_MUTATIONS + 1)))
        assert counted.frames[2:] == [MAX_MUTATIONS, 1]
        assert counted.streams == 1
        await transport.close()


async def test_a_frame_is_no_larger_than_a_message_may_be(address: str) -> None:
    """What is larger by itself is a call of its own; the sidecar says what is wrong with it."""
    async with Connection(address) as connection:
        transport = PipelineTransport.on(connection)
        big = await asyncio.gather(*(transport.send(charge(number, size=MAX_BYTES // 3), 5) for number in range(6)))
        assert {each.WhichOneof("result") for each in big} == {"error"}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await transport.send(charge(10, size=MAX_BYTES + 1), 5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await transport.close()


async def test_an_older_sidecar_is_called_by_unary_rpcs(proxy: Proxy) -> None:
    """It is found out once, by all calls that were on their way."""
    proxy.has_pipeline = False
    async with Client(proxy.address, retry=Retry(total=0)) as meter:
        charges = await asyncio.gather(*(meter.charge(ACCOUNT, amount_microcredits=CREDIT) for _ in range(5)))
        assert len({each.charge_id for each in charges}) == 5
        with pytest.raises(InsufficientCredits):
            await meter.charge(ACCOUNT, amount_microcredits=1_000 * CREDIT)
    assert proxy.calls == ["Charge"] * 6


async def test_a_stream_that_breaks_is_opened_again_for_the_same_requests(proxy: Proxy) -> None:
    """All that was on its way is sent again, and takes effect once."""
    async with Client(proxy.address, retry=QUICK) as meter:
        proxy.next("Charge", *[Treatment.PASS] * 3, Treatment.LOSE_REPLY)
        charges = await asyncio.gather(
            *(meter.charge(ACCOUNT, amount_microcredits=CREDIT, request_id=f"r{number}") for number in range(10))
        )
        assert len({each.charge_id for each in charges}) == 10
        assert (await meter.balance(ACCOUNT)).available_microcredits == 90 * CREDIT
    assert len(proxy.calls) > 11


async def test_a_call_that_waits_holds_up_no_other(proxy: Proxy) -> None:
    """And a caller who gives it up leaves the stream as it is."""
    async with Client(proxy.address, retry=NO_RETRY) as meter:
        proxy.next("Charge", Treatment.KEEP_REQUEST)
        first = asyncio.ensure_future(meter.charge(ACCOUNT, amount_microcredits=CREDIT))
        await proxy.kept.get()
        for _ in range(3):
            await meter.charge(ACCOUNT, amount_microcredits=CREDIT)
        assert not first.done()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        proxy.go_on.set()
        await meter.charge(ACCOUNT, amount_microcredits=CREDIT)


async def test_a_hold_that_waits_holds_up_no_commit(proxy: Proxy) -> None:
    """Although the sidecar reads no more of the stream on which it waits."""
    proxy.reads_on = False
    async with Client(proxy.address, retry=QUICK) as meter:
        async with meter.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
            proxy.next("Reserve", Treatment.KEEP_REQUEST)
            waiting = asyncio.ensure_future(meter.hold(ACCOUNT, amount_microcredits=CREDIT).__aenter__())
            await proxy.kept.get()
            await hold.commit(amount_microcredits=CREDIT)
            assert not waiting.done()
        proxy.go_on.set()
        await (await waiting).release()


async def test_what_nobody_waits_for_any_more_is_not_sent(proxy: Proxy) -> None:
    """Of a sidecar that reads nothing for a while; and the client is closed within a bound meanwhile."""
    proxy.reads_at_once = False
    meter, report = Client(proxy.address, retry=Retry(total=0, attempt=0.3)), {"prompt_tokens": 1, "x": "y" * 60_000}
    charging = [meter.charge(ACCOUNT, report, model="gpt-4o") for _ in range(100)]
    errors = await asyncio.gather(*charging, return_exceptions=True)
    assert {type(each) for each in errors} == {DeadlineExceeded}
    proxy.go_on.set()
    async with asyncio.timeout(10):
        while not await _has_balance(meter):  # until the sidecar is done with what it had not read
            await asyncio.sleep(0.01)
    await Client(proxy.address).charge(ACCOUNT, amount_microcredits=1)
    assert proxy.calls.count("Charge") < 100
    await meter.close()


async def _has_balance(meter: Client) -> bool:
    try:
        await meter.balance(ACCOUNT)
    except DeadlineExceeded:
        return False
    return True


async def test_it_is_closed_although_the_sidecar_reads_nothing(proxy: Proxy) -> None:
    """A frame that cannot be written holds up nothing for longer than a second."""
    proxy.reads_at_once = False
    meter, report = Client(proxy.address, retry=Retry(total=0, attempt=0.3)), {"prompt_tokens": 1, "x": "y" * 60_000}
    await asyncio.gather(*(meter.charge(ACCOUNT, report, model="gpt-4o") for _ in range(300)), return_exceptions=True)
    began = time.monotonic()
    await asyncio.wait_for(meter.close(), 10)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("treatment", "known"), [(Treatment.FORBID, NotAllowed), (Treatment.OVERLOADED, Overloaded)])
async def test_a_stream_that_is_refused(
    meter: Client, proxy: Proxy, treatment: Treatment, known: type[CreditmeterError]
) -> None:
    """The refusal is that of each call on it, which changed nothing."""
    proxy.refuses_streams = treatment
    with pytest.raises(known) as caught:
        await meter.charge(ACCOUNT, amount_microcredits=CREDIT)
    assert not caught.value.is_outcome_unknown
