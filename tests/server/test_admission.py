"""Calls begin in turns: those of one account do not hold up those of others, and too many are refused with a reason."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from creditmeter.core.ids import AccountId, account_key
from creditmeter.core.instants import Span
from creditmeter.core.refusals import Overloaded
from creditmeter.server.admission import (
    ACCOUNTS_AT_ONCE,
    AT_ONCE_OF_ACCOUNT,
    MAX_WAITING_OF_ACCOUNT,
    MAX_WAITING_OF_CALLER,
    Admission,
    _limits,
    nobody,
)
from creditmeter.server.counters import Counters
from creditmeter.server.frames import PART, Frames
from creditmeter.server.mutations import Mutations
from creditmeter.v1 import metering_pb2
from tests.gates import anybody
from tests.server.conftest import Failure, Services
from tests.server.requests import reserve

CREDIT = 1_000_000


async def _taken(admission: Admission, key: str, order: list[str], *, frees: bool = False) -> Overloaded | None:
    refusal = await admission.begin(key, nobody, frees=frees)
    if refusal is None:
        order.append(key)
        await asyncio.sleep(0)
        admission.end(key)
    return refusal


async def test_an_account_does_not_wait_for_the_many_calls_of_another() -> None:
    """The call of a quiet account comes after a few of a hot one, whose hundred calls were there before."""
    admission, order = Admission(), list[str]()
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(_taken(admission, "hot", order))
        await asyncio.sleep(0)
        group.create_task(_taken(admission, "quiet", order))
    assert len(order) == 101
    assert order.index("quiet") <= 2 * AT_ONCE_OF_ACCOUNT


async def test_too_many_of_an_account_are_refused_and_what_frees_credit_is_not() -> None:
    """A Reserve beyond the bound is OVERLOADED, while a Commit is not, and another account is served."""
    admission = Admission()
    for _ in range(AT_ONCE_OF_ACCOUNT):
        assert await admission.begin("hot", nobody) is None
    order = list[str]()
    waiting = [asyncio.ensure_future(_taken(admission, "hot", order)) for _ in range(MAX_WAITING_OF_ACCOUNT)]
    await asyncio.sleep(0)
    assert isinstance(await admission.begin("hot", nobody), Overloaded)
    commit = asyncio.ensure_future(_taken(admission, "hot", order, frees=True))
    assert await admission.begin("quiet", nobody) is None
    for _ in range(AT_ONCE_OF_ACCOUNT):
        admission.end("hot")
    assert [each for each in await asyncio.gather(commit, *waiting) if each is not None] == []


async def test_too_many_of_a_caller_are_refused() -> None:
    """Whatever accounts they are of. Another caller is served."""
    admission = Admission()
    for number in range(AT_ONCE_OF_ACCOUNT * ACCOUNTS_AT_ONCE):
        assert await admission.begin(number, nobody) is None
    waiting = [asyncio.ensure_future(admission.begin(n, lambda: "one")) for n in range(MAX_WAITING_OF_CALLER)]
    await asyncio.sleep(0)
    assert isinstance(await admission.begin("any", lambda: "one"), Overloaded)
    other = asyncio.ensure_future(admission.begin("any", lambda: "two"))
    await asyncio.sleep(0)
    assert not other.done()
    for each in (*waiting, other):
        each.cancel()
    await asyncio.gather(*waiting, other, return_exceptions=True)


@pytest.mark.parametrize("rounds", range(12))
async def test_whoever_gives_up_takes_no_turn(rounds: int) -> None:
    """Before its turn, and in the moment in which it has it. All turns are there again afterwards."""
    admission = Admission()
    for _ in range(AT_ONCE_OF_ACCOUNT):
        await admission.begin("hot", nobody)
    waiting = [asyncio.ensure_future(admission.begin("hot", nobody)) for _ in range(3 * AT_ONCE_OF_ACCOUNT)]
    await asyncio.sleep(0)
    for _ in range(AT_ONCE_OF_ACCOUNT):
        admission.end("hot")
    for _ in range(rounds):
        await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        if found is None:
            admission.end("hot")
    async with asyncio.timeout(5):
        for _ in range(AT_ONCE_OF_ACCOUNT):
            assert await admission.begin("hot", nobody) is None


async def test_a_short_turn_ends_by_itself() -> None:
    """What waits for the central store holds up no other call of its account."""
    admission = Admission()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        is_over = asyncio.Event()

        async def long() -> None:
            async with admission.short_turn("hot", nobody) as refusal:
                assert refusal is None
                await is_over.wait()

        for _ in range(AT_ONCE_OF_ACCOUNT):
            group.create_task(long())
        await asyncio.sleep(0)
        assert await admission.begin("hot", nobody) is None
        is_over.set()


async def test_a_burst_is_answered_or_refused_with_a_reason(services: Services) -> None:
    """Of calls at once on one connection, which gRPC itself would cut short beyond 1,000: none ends without a reason."""
    await services.create("alice", permanent=10_000 * CREDIT, max_open_reservations=100_000)
    ended: Counter[str] = Counter()

    async def call() -> None:
        try:
            await services.metering.Reserve(reserve(), timeout=60)
        except grpc.aio.AioRpcError as error:
            ended[Failure(error).info.reason] += 1
        else:
            ended["OK"] += 1

    await asyncio.gather(*(call() for _ in range(2_500)))
    assert set(ended) <= {"OK", "OVERLOADED"}
    assert ended["OK"] >= MAX_WAITING_OF_ACCOUNT


@pytest.mark.parametrize(("at_once", "beside_quiet"), [(4, 2), (10, 2), (12, 3), (64, 16)])
def test_how_many_calls_are_under_way_beside_a_quiet_account(at_once: int, beside_quiet: int) -> None:
    """A quarter, so that calls still share a write to a slow disk, and at least two. In all as many as without."""
    limits = _limits(at_once)
    assert (limits.under_way_of_account, limits.under_way_beside_quiet) == (at_once, beside_quiet)
    assert limits.under_way == ACCOUNTS_AT_ONCE * at_once


async def test_a_frame_for_which_there_is_no_turn_is_refused(services: Services) -> None:
    """Each of its mutations is OVERLOADED, and says when to come again, whichever way the frame is answered."""
    await services.create("alice", permanent=100 * CREDIT)
    mutations = Mutations(services.program.sidecar.meter, Span(1))
    key, frames = account_key(AccountId("alice")), Frames(mutations, Counters())
    for _ in range(AT_ONCE_OF_ACCOUNT):
        assert await mutations.admission.begin(key, nobody) is None
    waiting = [asyncio.ensure_future(mutations.admission.begin(key, nobody)) for _ in range(MAX_WAITING_OF_ACCOUNT)]
    await asyncio.sleep(0)
    asked, found = [metering_pb2.Mutation(reserve=reserve()) for _ in range(PART + 1)], list[metering_pb2.MutationResult]()

    async def send(_first: int, results: Sequence[metering_pb2.MutationResult]) -> None:
        found.extend(results)

    found += await frames.apply(asked, lambda: None, anybody())
    await frames.apply_in_parts(asked, send, anybody())
    assert len(found) == 2 * len(asked)
    for each in found:
        info, retry = ErrorInfo(), RetryInfo()
        assert each.error.details[0].Unpack(info)
        assert each.error.details[1].Unpack(retry)
        assert (info.reason, retry.retry_delay.seconds) == ("OVERLOADED", 1)
    for task in waiting:
        task.cancel()
