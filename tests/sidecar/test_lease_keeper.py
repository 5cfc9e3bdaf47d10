"""What the lease keeper expects of the central store."""

import asyncio

import pytest

from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import MINUTE
from tests.sidecar.bench import Bench
from tests.sidecar.requests import charge, commit, held, reserve


async def test_notifications_are_expected_while_there_is_credit_or_a_charge(bench: Bench) -> None:
    """An idle sidecar that gave everything back need not look for them often."""
    may_be_notified = bench.sidecar._lease_keeper.may_be_notified
    assert not may_be_notified()
    await bench.account(permanent=100)
    hold = await held(bench, "r", 5)
    assert may_be_notified()
    await commit(bench, "c", hold, 4)
    await charge(bench, "now", 2)
    await bench.settled_in_the_end()
    assert may_be_notified(), "of the credit that is idle"
    bench.clock.advance(MINUTE)
    await bench.round()
    assert not may_be_notified()
    waiting = asyncio.create_task(reserve(bench, "more", 1_000))
    while not may_be_notified():
        await asyncio.sleep(0)
    await waiting


@pytest.mark.parametrize(("credits_there", "messages"), [(100, 1), (10, 2)])
async def test_requests_that_come_during_an_exchange_use_what_it_brings(
    bench: Bench, credits_there: int, messages: int
) -> None:
    """They ask for nothing themselves, but for those for which it is too little: these share one more exchange."""
    await bench.account(permanent=credits_there)
    bench.wire.is_open.clear()
    requests = [asyncio.create_task(reserve(bench, "first", 1))]
    while not bench.wire.sent:
        await asyncio.sleep(0)
    requests += [asyncio.create_task(reserve(bench, f"later-{number}", 1)) for number in range(8)]
    for _ in range(3):
        await asyncio.sleep(0)
    bench.wire.is_open.set()
    assert all(isinstance(each, Done) for each in await asyncio.gather(*requests))
    assert len(bench.wire.sent) == messages
