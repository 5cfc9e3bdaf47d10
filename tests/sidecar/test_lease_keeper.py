"""What the lease keeper expects of the central store."""

import asyncio

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
