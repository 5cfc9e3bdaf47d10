"""The stream that meters a hold, as its worker, its sidecar and the way between them fail."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from creditmeter.client import (
    Client,
    Hold,
    MeterStopReason,
    ReservationCommitted,
    Retry,
    StreamResumed,
    Unreachable,
    UsageSource,
)
from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2
from tests.client.conftest import ACCOUNT, CREDIT, give, sidecar
from tests.client.holds import charges
from tests.client.proxy import Proxy, Treatment

MODEL = "claude-sonnet-4-5"
"""0.3 credits for 1,000 input tokens, 1.5 for 1,000 output tokens."""

WORDS = ["word" * 50] * 10
"""A stream of 500 tokens, as they are estimated."""


def text_hold(meter: Client, **terms: Any) -> Hold:
    """A hold for a stream of at most 2,000 output tokens."""
    defaults: dict[str, Any] = {"model": MODEL, "input_tokens": 1_000, "max_output_tokens": 2_000}
    return meter.hold(ACCOUNT, **defaults | terms)


class Words:
    """A stream of words, which waits before the last one until it is told to go on."""

    def __init__(self) -> None:
        self.is_waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aiter__(self) -> Any:
        for each in WORDS[:-1]:
            await asyncio.sleep(0.001)
            yield each
        self.is_waiting.set()
        await self.go_on.wait()
        yield WORDS[-1]


async def reported(address: str, hold: Hold, output_tokens: int) -> None:
    """Wait until the sidecar knows of so much output."""
    asked = metering_pb2.GetReservationRequest(reservation_id=hold.reservation.reservation_id)
    async with Connection(address) as connection:
        while (await connection.metering.GetReservation(asked)).reservation.progress.output_tokens < output_tokens:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("metered", [False, True])
async def test_a_worker_that_died_is_charged_by_the_next_run_of_its_job(address: str, meter: Client, metered: bool) -> None:
    """What the first run reported is charged first, as a part of the job; the second counts from 0."""
    first, stream = Client(address), Words()
    hold = text_hold(first, job_id="job", metered=metered)
    dead = asyncio.ensure_future(_read(hold, stream))
    await stream.is_waiting.wait()
    await reported(address, hold, 440)
    async with text_hold(meter, job_id="job", metered=metered) as second:
        assert len(second.reservation.charge_ids) == 1
        async for _ in second.stream(_all(WORDS[:2])):
            pass
    assert sorted([-each.amount_microcredits for each in await charges(meter)]) == [CREDIT, CREDIT]
    assert second.charge is not None
    assert second.charge.usage is not None
    assert (second.charge.usage.output_tokens, second.charge.usage.source) == (100, UsageSource.PARTIAL_STREAM)
    with pytest.raises(ReservationCommitted):
        async with text_hold(meter, job_id="job"):
            pass
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)
    await first.close()
    assert len(await charges(meter)) == 2


async def _read(hold: Hold, stream: Any) -> None:
    async with hold:
        async for _ in hold.stream(stream):
            pass


async def _all(chunks: list[Any]) -> Any:
    for each in chunks:
        yield each


async def test_a_stream_goes_on_over_a_restart_of_its_sidecar(data_dir: Path, migrated_file: Path) -> None:
    """It is resumed on the next process, and charged once."""
    stream = Words()
    shutil.copyfile(migrated_file, data_dir / "central.db")
    async with sidecar(data_dir) as address:
        await give(address, ACCOUNT, 100 * CREDIT)
        client = Client(address)
        hold = text_hold(client, metered=True)
        reading = asyncio.ensure_future(_read(hold, stream))
        await stream.is_waiting.wait()
        await reported(address, hold, 440)
    async with sidecar(data_dir) as address, client:
        stream.go_on.set()
        await reading
        assert hold.stop_reason is None
        assert hold.charge is not None
        assert hold.charge.usage is not None
        assert hold.charge.usage.output_tokens == 500
        assert [-each.amount_microcredits for each in await charges(client)] == [hold.charge.cost_microcredits]


async def test_a_stream_whose_sidecar_is_away_goes_on_as_far_as_is_paid(data_dir: Path, migrated_file: Path) -> None:
    """Then it ends with an error, since nobody says that more is paid."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(sidecar(data_dir))
        await give(address, ACCOUNT, 100 * CREDIT)
        client = Client(address, retry=Retry(total=0.2, attempt=0.2, first_delay=0.01))
        hold, seen = text_hold(client, metered=True, max_output_tokens=20_000), list[str]()
        with pytest.raises(Unreachable):
            await _read_on(hold, seen, stack)
    assert 900 <= 50 * len(seen) <= 2_000
    assert (hold.stop_reason, hold.charge) == (None, None)
    await client.close()


async def _read_on(hold: Hold, seen: list[str], stack: AsyncExitStack) -> None:
    async with hold:
        async for each in hold.stream(_all(WORDS * 100)):
            seen.append(each)
            if len(seen) == 5:
                await stack.aclose()


async def test_a_hold_that_another_call_released_ends_its_stream(meter: Client, address: str) -> None:
    """Nothing more is paid for."""
    async with text_hold(meter) as hold:
        chunks = 0
        async for _ in hold.stream(_all(WORDS * 4)):
            chunks += 1
            if chunks == 1:
                request = metering_pb2.ReleaseRequest(request_id="r", reservation_id=hold.reservation.reservation_id)
                async with Connection(address) as connection:
                    await connection.metering.Release(request)
            await asyncio.sleep(0.002)
    assert hold.stop_reason is MeterStopReason.RESERVATION_ENDED
    assert chunks < 40
    assert await charges(meter) == []


async def test_a_cancelled_opening_leaves_nothing_held(meter: Client, proxy: Proxy) -> None:
    """Its reply was lost, and so the same hold is asked for again, and released."""
    proxy.next("Meter", *[Treatment.LOSE_REPLY] * 50)
    entering = asyncio.ensure_future(_read(text_hold(meter, metered=True), Words()))
    while proxy.calls.count("Meter") < 2:
        await asyncio.sleep(0.001)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    await meter.close()
    assert await charges(meter) == []
    assert "Release" in proxy.calls


@pytest.mark.parametrize("metered", [False, True])
async def test_a_job_that_runs_twice_at_once_is_charged_once(address: str, meter: Client, metered: bool) -> None:
    """The second run charges what the first has reported, and goes on with the hold. The first is stopped."""
    stream = Words()
    async with Client(address) as first:
        hold = text_hold(first, job_id="job", metered=metered)
        reading = asyncio.ensure_future(_read(hold, stream))
        await stream.is_waiting.wait()
        await reported(address, hold, 440)
        async with text_hold(meter, job_id="job", metered=metered) as second:
            stream.go_on.set()
            await reading
            assert hold.stop_reason is MeterStopReason.RESERVATION_ENDED
            with pytest.raises(StreamResumed):
                await hold.commit(output_tokens=500)
            async for _ in second.stream(_all(WORDS[:2])):
                pass
    assert hold.charge is None
    found = [await meter.settled(each.charge_id) for each in await charges(meter)]
    assert sorted(each.usage.output_tokens or 0 for each in found if each.usage) == [100, 450]
