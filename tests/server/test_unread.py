"""Callers who send and do not read their answers cost a bounded amount of memory, and keep nobody else waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from creditmeter.core.refusals import ShuttingDown
from creditmeter.server import unread
from creditmeter.server.app import running
from creditmeter.server.config import Settings
from creditmeter.server.errors import problem_of
from creditmeter.server.long_calls import LongCall
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.pipeline import PipelineStream
from creditmeter.server.unread import PATIENCE_SECONDS, Room
from creditmeter.v1.metering_pb2 import Mutation, PipelineRequest
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.server.requests import charge

ROOM_BYTES = 1_000_000
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))  # a client that takes little before it is read


@pytest.fixture
async def small(migrated_dir: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Services]:
    """A running program with little room for what is not read."""
    monkeypatch.setattr(unread, "MAX_BYTES", ROOM_BYTES)
    settings = Settings.load(None, listen=("127.0.0.1:0",), data_dir=migrated_dir, enable_admin=True, shutdown_grace=0.2)
    async with running(settings, clock) as program, grpc.aio.insecure_channel(program.addresses[1]) as channel:
        yield Services.on(program, migrated_dir, channel)


async def _sends_on(stream: Any) -> None:
    """Send frames for as long as they are taken, and read nothing."""
    wrong = PipelineRequest(mutations=[Mutation(charge=charge(account_id=""))] * 200)
    while True:
        await stream.write(wrong)


async def test_a_caller_who_reads_is_answered_beside_some_who_do_not(small: Services) -> None:
    """Streams that fill all room lose it once nothing of them was read for a while. One that reads is not ended."""
    await small.create("alice", permanent=1_000_000)
    reading: Any = small.metering.Pipeline()
    channels = [grpc.aio.insecure_channel(small.tcp, OPTIONS) for _ in range(4)]
    streams: list[Any] = [
        each.stream_stream("/creditmeter.v1.MeteringService/Pipeline", PipelineRequest.SerializeToString)() for each in channels
    ]
    sending = [asyncio.ensure_future(_sends_on(each)) for each in streams]
    async with asyncio.timeout(40):
        for _ in range(60):  # each needs as much room as one of the others, which keep it for ever unless they lose it
            await reading.write(PipelineRequest(mutations=[Mutation(charge=charge(amount_microcredits=1))] * 200))
            assert (await reading.read()).results[0].WhichOneof("result") == "charge"
    assert not reading.done()
    async with asyncio.timeout(20):
        await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    ended = [await stream.code() for stream, task in zip(streams, sending, strict=True) if task.done()]
    assert set(ended) == {grpc.StatusCode.UNAVAILABLE}, "its connection has ended, and with it what gRPC kept of the stream"
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    for channel in channels:
        await channel.close()


async def test_a_stream_that_lost_its_room_is_open_until_its_caller_leaves(
    small: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a Unix socket, whose connections cannot be told apart: gRPC keeps what it has of it until then."""
    monkeypatch.setattr(LongCall, "most", 2)
    await small.create("alice", permanent=1_000_000)
    reading, unread_one = small.metering.Pipeline(), small.metering.Pipeline()
    sending = asyncio.ensure_future(_sends_on(unread_one))
    frame = PipelineRequest(mutations=[Mutation(charge=charge(amount_microcredits=1))] * 200)
    with capture_logs() as entries:
        async with asyncio.timeout(40):
            while not any(each["event"].startswith("streams were ended") for each in entries):
                await reading.write(frame)
                assert await reading.read() is not grpc.aio.EOF
    assert (await failure(anext(aiter(small.metering.Pipeline())))).info.reason == "OVERLOADED"
    sending.cancel()
    unread_one.cancel()
    another = small.metering.Pipeline()
    async with asyncio.timeout(20):
        while await _is_refused(another):  # until gRPC has told that the caller has left
            another = small.metering.Pipeline()


async def _is_refused(stream: Any) -> bool:
    try:
        await stream.write(PipelineRequest())
        return await stream.read() is grpc.aio.EOF
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return True


class _Context:
    """gRPC's context of a call that nobody reads."""

    peer = staticmethod(lambda: "unix:")


async def _never() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield None


@pytest.mark.parametrize("is_dropped_first", [True, False])
@pytest.mark.parametrize("rounds", range(10))
async def test_a_caller_who_leaves_as_its_stream_loses_its_room(rounds: int, *, is_dropped_first: bool) -> None:
    """Nothing waits for it, however closely one comes after the other."""
    made: list[PipelineStream] = []

    async def answer() -> None:
        nothing: Any = _Context()
        made.append(PipelineStream(nothing, OpenStreams(), nothing, nothing))
        await made[0].answer(_never())

    handler = asyncio.create_task(answer())
    await _rounds(5)
    steps: list[Callable[[], object]] = [made[0].drop, handler.cancel]
    for step in steps if is_dropped_first else reversed(steps):
        step()
        await _rounds(rounds)
    async with asyncio.timeout(10):
        await asyncio.wait([handler])
    assert handler.cancelled()


async def test_a_stop_ends_a_stream_that_lost_its_room() -> None:
    """Though its caller is still there."""
    streams, made = OpenStreams(), list[PipelineStream]()

    async def answer() -> None:
        nothing: Any = _Context()
        made.append(PipelineStream(nothing, streams, nothing, nothing))
        await made[0].answer(_never())

    handler = asyncio.create_task(answer())
    await _rounds(5)
    made[0].drop()
    await _rounds(20)
    assert not handler.done()
    streams.end(problem_of(ShuttingDown()))
    async with asyncio.timeout(10):
        await asyncio.wait([handler])
    assert handler.cancelled()


async def _rounds(number: int) -> None:
    """Let other tasks go on."""
    for _ in range(number):
        await asyncio.sleep(0)


class _Stream:
    """A stream that does not read since a moment."""

    peer = "unix:"

    def __init__(self, room: Room, unread_since: float | None) -> None:
        self.unread_since = unread_since
        self.is_dropped = False
        self._room = room

    def drop(self) -> None:
        self.is_dropped = True
        self._room.free(self, unread.MAX_BYTES)


@pytest.mark.parametrize(("since", "is_dropped"), [(0.0, True), (PATIENCE_SECONDS, False), (None, False)])
async def test_only_who_has_not_read_for_long_is_dropped(since: float | None, *, is_dropped: bool) -> None:
    """And only where another stream needs the room. One that is read gives its room back by itself."""
    room = Room(lambda: PATIENCE_SECONDS + 0.5)
    stream, other = _Stream(room, since), _Stream(room, None)
    await room.take(stream, unread.MAX_BYTES)
    assert not stream.is_dropped
    taking = asyncio.ensure_future(room.take(other, 1))
    await asyncio.sleep(0)
    assert stream.is_dropped is is_dropped
    if not is_dropped:
        room.free(stream, unread.MAX_BYTES)
    await taking
    assert room.bytes == 1
