"""Batch and Pipeline: mutations that travel together, each with a result of its own."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from creditmeter.core.ids import account_key, origin_of
from creditmeter.core.instants import Span
from creditmeter.server.counters import Counters
from creditmeter.server.frames import MAX_MUTATIONS, MAX_REFUSED, MAX_REPLY_BYTES, MAX_RESULT_BYTES, PART, Frames
from creditmeter.server.mutations import Mutations
from creditmeter.server.open_streams import OpenStreams
from creditmeter.server.pipeline import ANSWER_BYTES, MAX_FRAMES, PipelineStream
from creditmeter.v1 import account_pb2, metering_pb2
from tests.gates import Neighbour, anybody, open_gate
from tests.server.conftest import Failure, Services, failure, locked_store
from tests.server.requests import charge, reserve, text, usage_json, used

CREDIT = 1_000_000
Mutation = metering_pb2.Mutation
Result = metering_pb2.MutationResult


def charged(amount: int = CREDIT, **fields: Any) -> Mutation:
    """A charge of an amount."""
    return Mutation(charge=charge(amount_microcredits=amount, **fields))


def reason(result: Result) -> str:
    """Why a mutation failed; the kind of its reply if it did not."""
    kind = result.WhichOneof("result") or "nothing"
    return str(_details(result.error)[ErrorInfo].reason) if kind == "error" else kind


def _details(status: Status) -> dict[type, Any]:
    found: dict[type, Any] = {}
    for detail in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind] = message
    return found


async def batch(services: Services, *mutations: Mutation) -> list[Result]:
    """The results of a Batch."""
    return list((await services.metering.Batch(metering_pb2.BatchRequest(mutations=mutations))).results)


async def available(services: Services, account_id: str = "alice") -> int:
    """What an account may spend, in microcredits."""
    balance = await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id=account_id))
    return int(balance.available_microcredits)


async def test_a_batch_applies_in_order_and_each_succeeds_or_fails_by_itself(services: Services) -> None:
    """What a mutation takes is gone for the next one, and what fails leaves it. The same request twice takes effect once."""
    await services.create("alice", permanent=10 * CREDIT)
    twice = charged(2 * CREDIT)
    results = await batch(services, charged(6 * CREDIT), charged(5 * CREDIT), twice, twice, Mutation(), charged(2 * CREDIT))
    assert [reason(each) for each in results] == [
        *("charge", "INSUFFICIENT_CREDITS", "charge", "charge", "INVALID_REQUEST", "charge"),
    ]
    assert [each.charge.replayed for each in results] == [False, False, False, True, False, False]
    assert await available(services) == 0
    assert await batch(services) == []


async def test_each_kind_of_mutation_is_answered_as_its_rpc_would(services: Services) -> None:
    """Replies and errors, with the fields that are wrong."""
    await services.create("alice", permanent=100 * CREDIT)
    (held,) = await batch(services, Mutation(reserve=reserve(amount_microcredits=5 * CREDIT)))
    name = held.reserve.reservation.reservation_id
    (extended, committed, released, made) = await batch(
        services,
        Mutation(extend=metering_pb2.ExtendRequest(request_id="e", reservation_id=name, amount_microcredits=7 * CREDIT)),
        Mutation(commit=metering_pb2.CommitRequest(request_id="c", reservation_id=name, amount_microcredits=6 * CREDIT)),
        Mutation(release=metering_pb2.ReleaseRequest(request_id="l", reservation_id=name)),
        charged(2 * CREDIT),
    )
    assert extended.extend.reservation.held_microcredits == 7 * CREDIT
    assert committed.commit.charge.cost_microcredits == 6 * CREDIT
    assert reason(released) == "RESERVATION_COMMITTED"
    refund = metering_pb2.RefundRequest(request_id="f", charge_id=made.charge.charge.charge_id)
    wrong = metering_pb2.RefundRequest(request_id="g", charge_id="none", amount_microcredits=0)
    (refunded, invalid) = await batch(services, Mutation(refund=refund), Mutation(refund=wrong))
    assert refunded.refund.refund.amount_microcredits == 2 * CREDIT
    details = _details(invalid.error)
    assert invalid.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [each.field for each in details[BadRequest].field_violations] == ["amount_microcredits"]
    assert (await services.metering.Refund(refund)).replayed


async def test_a_batch_has_at_most_a_thousand_mutations(services: Services) -> None:
    """One more, and nothing is applied."""
    await services.create("alice", permanent=5_000)
    many = [charged(1) for _ in range(MAX_MUTATIONS)]
    assert {reason(each) for each in await batch(services, *many)} == {"charge"}
    assert await available(services) == 4_000
    failed = await failure(services.metering.Batch(metering_pb2.BatchRequest(mutations=[*many, charged(1)])))
    assert (failed.code, failed.fields) == (grpc.StatusCode.INVALID_ARGUMENT, {"mutations"})
    assert await available(services) == 4_000


def _largest(request_id: str) -> metering_pb2.ReserveRequest:
    """A Reserve of which the replies are as large as they can be."""
    labels = {f"{number:02}".ljust(64, "💠"): "💠" * 256 for number in range(16)}
    return reserve(request_id=request_id, work=text(units={f"{n:02}".ljust(64, "u"): 1 for n in range(32)}), labels=labels)


def _commit_of(result: Result, request_id: str) -> Mutation:
    usage = used(provider_usage_json=usage_json(64 * 1024), response_id="💠" * 256, speed="💠" * 256, region="💠" * 256)
    name = result.reserve.reservation.reservation_id
    return Mutation(commit=metering_pb2.CommitRequest(request_id=request_id, reservation_id=name, usage=usage))


async def test_mutations_whose_results_have_no_room_are_not_applied(services: Services) -> None:
    """The reply is one that every client takes. The rest are taken when they are sent again."""
    await services.create("alice", permanent=1_000 * CREDIT)
    held = await batch(services, *(Mutation(reserve=_largest(f"r{number}")) for number in range(45)))
    commits = [_commit_of(each, f"c{number}") for number, each in enumerate(held)]
    assert metering_pb2.BatchRequest(mutations=commits).ByteSize() < MAX_REPLY_BYTES
    results = await batch(services, *commits)
    done = [reason(each) for each in results].index("OVERLOADED")
    assert {reason(each) for each in results[:done]} == {"commit"}
    assert {reason(each) for each in results[done:]} == {"OVERLOADED"}
    assert _details(results[-1].error)[RetryInfo].retry_delay.ToMilliseconds() > 0
    assert max(each.ByteSize() for each in results) < MAX_RESULT_BYTES
    again = await batch(services, *commits[done:])
    assert {(reason(each), each.commit.replayed) for each in again} == {("commit", False)}


async def test_a_disk_that_cannot_be_written_fails_all_of_a_frame(services: Services) -> None:
    """It is unknown what took effect. Once the disk is well, each is taken once."""
    await services.create("alice", permanent=10 * CREDIT)
    await batch(services, charged())
    journal = services.program.sidecar._journal
    asked = [charged(), charged()]
    await journal._connection.execute("PRAGMA query_only = ON")
    assert [reason(each) for each in await batch(services, *asked)] == ["STORAGE_UNAVAILABLE"] * 2
    await journal._connection.execute("PRAGMA query_only = OFF")
    await services.program.sidecar.look_after()
    assert [reason(each) for each in await batch(services, *asked)] == ["charge"] * 2
    assert await available(services) == 7 * CREDIT


# --- Pipeline ---------------------------------------------------------------------------------------------------------

_frame_ids = itertools.count(1)


def frame(*mutations: Mutation, **fields: Any) -> metering_pb2.PipelineRequest:
    """A frame with an id of its own."""
    return metering_pb2.PipelineRequest(frame_id=next(_frame_ids), mutations=mutations, **fields)


async def results_of(stream: Any, frames: Sequence[metering_pb2.PipelineRequest]) -> list[list[Result]]:
    """The results of frames, in the order of the frames and their mutations, however they are answered."""
    found: dict[int, dict[int, Result]] = {each.frame_id: {} for each in frames}
    while any(len(found[each.frame_id]) < len(each.mutations) for each in frames):
        reply = await stream.read()
        assert reply is not grpc.aio.EOF
        for number, result in enumerate(reply.results, reply.first_mutation):
            assert number not in found[reply.frame_id]
            found[reply.frame_id][number] = result
    return [[found[each.frame_id][number] for number in range(len(each.mutations))] for each in frames]


@pytest.mark.parametrize("in_parts", [False, True])
async def test_frames_are_answered_and_closing_the_sending_side_drains_them(services: Services, in_parts: bool) -> None:
    """Every mutation of every frame has a result, those of an account in their order."""
    await services.create("alice", permanent=200 * CREDIT)
    stream = services.metering.Pipeline()
    frames = [frame(*(charged() for _ in range(70)), answer_in_parts=in_parts) for _ in range(3)]
    for each in frames:
        await stream.write(each)
    await stream.done_writing()
    results = [reason(each) for each in itertools.chain(*await results_of(stream, frames))]
    assert sorted(results) == ["INSUFFICIENT_CREDITS"] * 10 + ["charge"] * 200
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    assert await available(services) == 0


async def test_a_frame_that_waits_for_credit_holds_up_no_other(services: Services) -> None:
    """Nor, where the answer may come in parts, what is beside it in its frame."""
    await services.create("alice", permanent=10 * CREDIT)
    await services.create("bob", permanent=10 * CREDIT)
    await batch(services, charged(account_id="bob"))
    stream = services.metering.Pipeline()
    waiting, other = frame(charged()), frame(charged(account_id="bob"))
    mixed = frame(charged(), charged(account_id="bob"), charged(2 * CREDIT), charged(account_id="bob"), answer_in_parts=True)
    early: list[Any] = []
    async with locked_store(services):
        for each in (waiting, mixed, other):
            await stream.write(each)
        early += [await stream.read() for _ in range(3)]
        assert {(each.frame_id, each.first_mutation, len(each.results)) for each in early} == {
            *((mixed.frame_id, 1, 1), (mixed.frame_id, 3, 1), (other.frame_id, 0, 1)),
        }
    late: list[Any] = [await stream.read() for _ in range(3)]
    assert {(each.frame_id, each.first_mutation) for each in late} == {
        *((waiting.frame_id, 0), (mixed.frame_id, 0), (mixed.frame_id, 2)),
    }
    assert {reason(result) for each in early + late for result in each.results} == {"charge"}
    stream.cancel()


async def test_mutations_of_one_account_keep_their_order_in_parts(services: Services) -> None:
    """The first waits for credit, and the second for the first."""
    await services.create("alice", permanent=10 * CREDIT)
    stream = services.metering.Pipeline()
    asked = frame(charged(7 * CREDIT, request_id="first"), charged(7 * CREDIT, request_id="second"), answer_in_parts=True)
    await stream.write(asked)
    ((first, second),) = await results_of(stream, [asked])
    assert (reason(first), reason(second)) == ("charge", "INSUFFICIENT_CREDITS")
    stream.cancel()


async def test_frames_of_no_bytes(services: Services) -> None:
    """Several are under way at once, and each is answered."""
    loop, wrong = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, what: wrong.append(what))
    stream = services.metering.Pipeline()
    for _ in range(20):
        await stream.write(metering_pb2.PipelineRequest())
    replies: list[Any] = [await stream.read() for _ in range(20)]
    assert [len(each.results) for each in replies] == [0] * 20
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    loop.set_exception_handler(None)
    assert wrong == []


async def test_what_is_no_id_is_not_kept(services: Services) -> None:
    """It may be as long as a message, and ids that were looked at are kept for a while."""
    long = "x" * 100_000
    stream = services.metering.Pipeline()
    asked = frame(
        Mutation(reserve=reserve(account_id=long)),
        Mutation(release=metering_pb2.ReleaseRequest(request_id="r", reservation_id=long)),
        Mutation(refund=metering_pb2.RefundRequest(request_id="f", charge_id=long)),
        answer_in_parts=True,
    )
    before = account_key.cache_info().misses, origin_of.cache_info().misses
    await stream.write(asked)
    (results,) = await results_of(stream, [asked])
    assert [reason(each) for each in results] == ["INVALID_REQUEST"] * 3
    assert (account_key.cache_info().misses, origin_of.cache_info().misses) == before
    stream.cancel()


async def test_a_bad_frame_fails_alone(services: Services) -> None:
    """One with too many mutations: each gets the error. The stream goes on."""
    await services.create("alice", permanent=10 * CREDIT)
    stream = services.metering.Pipeline()
    bad, good = frame(*[charged(1)] * (MAX_MUTATIONS + 1)), frame(charged())
    for each in (bad, good):
        await stream.write(each)
    refused, taken = await results_of(stream, [bad, good])
    assert {reason(each) for each in refused} == {"INVALID_REQUEST"}
    assert [reason(each) for each in taken] == ["charge"]
    empty = frame()
    await stream.write(empty)
    reply: Any = await stream.read()
    assert (reply.frame_id, list(reply.results)) == (empty.frame_id, [])
    assert await available(services) == 9 * CREDIT
    stream.cancel()


@pytest.mark.parametrize(("in_parts", "method"), [(False, "apply"), (True, "apply_in_parts")])
async def test_a_frame_that_meets_a_fault_of_the_program_fails_alone(
    services: Services, monkeypatch: pytest.MonkeyPatch, in_parts: bool, method: str
) -> None:
    """INTERNAL for each of its mutations; the stream goes on, and the frame can be sent again."""
    await services.create("alice", permanent=10 * CREDIT)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    stream, asked = services.metering.Pipeline(), [frame(charged(), charged(), answer_in_parts=in_parts)]
    with monkeypatch.context() as patch:
        patch.setattr(Frames, method, broken)
        await stream.write(asked[0])
        assert [reason(each) for each in (await results_of(stream, asked))[0]] == ["INTERNAL"] * 2
    await stream.write(asked[0])
    assert [reason(each) for each in (await results_of(stream, asked))[0]] == ["charge"] * 2
    stream.cancel()


async def test_bytes_that_are_no_frame_end_the_stream_once_the_frames_before_are_answered(services: Services) -> None:
    """Whose answer it would be nobody knows."""
    await services.create("alice", permanent=10 * CREDIT)
    channel: Any = services.channel
    stream = channel.stream_stream("/creditmeter.v1.MeteringService/Pipeline")()
    before = frame(charged())
    await stream.write(before.SerializeToString())
    await stream.write(b"\xff\xff")
    reply = metering_pb2.PipelineResponse.FromString(await stream.read())
    assert (reply.frame_id, reason(reply.results[0])) == (before.frame_id, "charge")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    failed = Failure(caught.value)
    assert (failed.code, failed.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_a_sidecar_that_stops_answers_what_it_read_and_ends_the_stream(services: Services) -> None:
    """A commit is taken to the last, and new work is not."""
    await services.create("alice", permanent=10 * CREDIT)
    stream = services.metering.Pipeline()
    first = frame(Mutation(reserve=reserve(amount_microcredits=CREDIT)))
    await stream.write(first)
    ((held,),) = await results_of(stream, [first])
    stopping = asyncio.ensure_future(services.program.stop(5))
    while not services.program.sidecar.meter.is_draining:
        await asyncio.sleep(0)
    name = held.reserve.reservation.reservation_id
    commit = metering_pb2.CommitRequest(request_id="c", reservation_id=name, amount_microcredits=CREDIT)
    last = frame(charged(), Mutation(commit=commit))
    await stream.write(last)
    ((refused, done),) = await results_of(stream, [last])
    assert (reason(refused), reason(done)) == ("SHUTTING_DOWN", "commit")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert Failure(caught.value).info.reason == "SHUTTING_DOWN"
    await stopping
    assert services.program.is_settled


async def test_a_caller_that_goes_away_leaves_what_was_decided(services: Services) -> None:
    """The stream ends with it, and the mutations are there for a repetition."""
    await services.create("alice", permanent=10 * CREDIT)
    await batch(services, charged())
    stream = services.metering.Pipeline()
    asked = frame(charged(request_id="kept"))
    await stream.write(asked)
    await results_of(stream, [asked])
    stream.cancel()
    (again,) = await batch(services, asked.mutations[0])
    assert again.charge.replayed
    assert await available(services) == 8 * CREDIT


class _Unread(Neighbour):
    """The side of a caller who sends and does not read: what is written to it waits."""

    def __init__(self) -> None:
        self.written = 0
        self.is_reading = asyncio.Event()

    async def write(self, _reply: object) -> None:
        """Take a reply once the caller reads."""
        await self.is_reading.wait()
        self.written += 1


@pytest.mark.parametrize(("size", "most"), [(0, MAX_FRAMES), (MAX_REPLY_BYTES - 64 - ANSWER_BYTES, 2)])
async def test_what_is_under_way_on_a_stream_is_bounded(services: Services, size: int, most: int) -> None:
    """By the number of frames, and by their bytes: no more is read until the caller reads."""
    await services.create("alice", permanent=10 * CREDIT)
    read = 0

    async def requests() -> AsyncIterator[metering_pb2.PipelineRequest]:
        nonlocal read
        for _ in range(most + 10):
            read += 1
            yield frame(charged(1, labels={"k": "v" * size} if size else {}))
        enough.set()

    enough, unread = asyncio.Event(), _Unread()
    frames = Frames(Mutations(services.program.sidecar.meter, Span(1)), Counters())
    gate = open_gate()
    stream = PipelineStream(frames, OpenStreams(), gate, unread)  # type: ignore[arg-type]  # of a context it uses two methods
    answering = asyncio.ensure_future(stream.answer(requests()))
    seen = -1
    while seen != read or not stream._under_way:
        seen = read
        for _ in range(100):  # turns of the loop: a frame is read in a few
            await asyncio.sleep(0)
    assert (read, len(stream._under_way)) == (most + 1, most)
    unread.is_reading.set()
    assert await answering is None
    assert (enough.is_set(), unread.written) == (True, most + 10)


@pytest.mark.parametrize("in_pipeline", [False, True])
async def test_nothing_is_acknowledged_that_was_lost_meanwhile(services: Services, in_pipeline: bool) -> None:
    """The journal failed, and recovered, while the second mutation of a frame waited for credit."""
    await services.create("alice", permanent=10 * CREDIT)
    await services.create("bob", permanent=10 * CREDIT)
    await batch(services, charged())
    sidecar = services.program.sidecar
    while any(book.has_unposted for book in sidecar.books):  # else the settler would write, and might be the first to fail
        await sidecar.settle()
    first, second = charged(1_000, request_id="first"), charged(account_id="bob", request_id="second")
    async with locked_store(services):
        other = asyncio.ensure_future(batch(services, charged(1, account_id="bob")))
        while sidecar._exchanger.has_nothing_under_way:
            await asyncio.sleep(0.001)  # until bob's lease is asked for
        await sidecar.books.durable()
        await sidecar._journal._connection.execute("PRAGMA query_only = ON")
        answer = asyncio.ensure_future(_one_frame(services, first, second) if in_pipeline else batch(services, first, second))
        while not sidecar._journal.has_failed:
            await asyncio.sleep(0.001)  # the frame's first mutation is being written
        await sidecar._journal._connection.execute("PRAGMA query_only = OFF")
        await sidecar.look_after()
        assert not answer.done()
    results = await answer
    await other
    assert reason(results[0]) == "STORAGE_UNAVAILABLE"
    (again,) = await batch(services, first)
    assert not again.charge.replayed


async def _one_frame(services: Services, *mutations: Mutation) -> list[Result]:
    stream = services.metering.Pipeline()
    sent = frame(*mutations)
    await stream.write(sent)
    return (await results_of(stream, [sent]))[0]


async def test_a_frame_that_nobody_could_be_answered_ends_the_stream(services: Services) -> None:
    """Its errors have no room in a reply. The frames before it are answered."""
    await services.create("alice", permanent=10 * CREDIT)
    stream: Any = services.metering.Pipeline()
    await stream.write(frame(charged()))
    await stream.write(frame(*[Mutation()] * (MAX_REFUSED + 1)))
    assert reason((await stream.read()).results[0]) == "charge"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert Failure(caught.value).info.reason == "INVALID_REQUEST"


async def test_a_part_that_waits_until_the_one_before_is_read(services: Services) -> None:
    """It is on disk, so it is acknowledged although the books were read from there meanwhile. It holds no turn."""
    await services.create("alice", permanent=1_000 * CREDIT)
    await batch(services, charged())
    sidecar, is_read, parts = services.program.sidecar, asyncio.Event(), dict[int, list[Result]]()
    mutations = Mutations(sidecar.meter, Span(1))
    asked = [charged(1_000) for _ in range(2 * PART + 1)]
    is_written = asyncio.Event()

    async def send(first: int, results: Sequence[Result]) -> None:
        parts[first] = list(results)
        is_written.set()
        await is_read.wait()

    decided = sidecar.books.changes + 2 * PART
    answering = asyncio.ensure_future(Frames(mutations, Counters()).apply_in_parts(asked, send, anybody()))
    await is_written.wait()
    async with asyncio.timeout(20):
        while sidecar.books.changes < decided or mutations.admission.under_way:
            await asyncio.sleep(0)
    assert list(parts) == [0]
    await sidecar.books.reload()  # as a journal that failed and recovered has it
    is_read.set()
    await answering
    assert [len(each) for each in parts.values()] == [PART, PART, 1]
    assert {reason(each) for results in parts.values() for each in results} == {"charge"}
    assert all(each.charge.replayed for each in await batch(services, *asked))
