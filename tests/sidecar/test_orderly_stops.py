"""A sidecar that stopped in order is not waited for: its last message says that it authorises nothing more."""

import asyncio
from unittest.mock import Mock

import pytest

from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.refusals import InsufficientCredits, RecallPending, Refusal, ShuttingDown
from creditmeter.sidecar.account_records import Mark
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import commit, held, release, reserve
from tests.sidecar.wire import Fate

pytestmark = pytest.mark.both_engines

LONG = 20.0
"""Longer than any exchange takes on a busy machine."""


async def test_a_stop_with_an_open_hold_before_another_sidecar_is_exhausted(bench: Bench, other: Bench) -> None:
    """The next need is refused for good, at once; what is held can be committed after a restart, and is charged once."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 15)
    await bench.sidecar.settle()
    bench.sidecar.drain()
    assert await bench.sidecar.stop(LONG)
    last = bench.wire.sent[-1][0]
    assert (last.authorises, sum(each.held for each in last.leases)) == (False, credits(15))
    assert isinstance(await reserve(other, "too much", 6, within=0.0), InsufficientCredits)
    assert isinstance(await reserve(other, "the rest", 5), Done)
    await bench.restart()
    assert isinstance(await commit(bench, "late", hold, 15), Done)
    await bench.sidecar.settle()
    assert (await other.summary()).available == 0


async def test_whoever_waits_is_told_at_once_of_a_stop(bench: Bench, other: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recall has its answer, though the sidecar that stops never looked at its notifications."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)
    monkeypatch.setattr(bench.sidecar._planner, "recall", Mock())
    waiting = asyncio.create_task(reserve(other, "waits", 1))
    while not other.wire.sent or not other.sidecar.books.open(ACCOUNT).account:
        await asyncio.sleep(0.001)
    assert not waiting.done()
    bench.sidecar.drain()
    await bench.sidecar.stop(LONG)
    async with asyncio.timeout(LONG):
        assert isinstance(await waiting, InsufficientCredits)


async def test_a_request_under_way_while_its_sidecar_stops(bench: Bench, other: Bench) -> None:
    """A message that still asks for it is not the last word. It is refused, and then the last word is said."""
    await bench.account(permanent=20)
    await held(bench, "open", 15)
    bench.wire.is_open.clear()
    late = asyncio.create_task(reserve(bench, "late", 3))
    while len(bench.wire.sent) < 2:
        await asyncio.sleep(0.001)
    bench.sidecar.drain()
    stopping = asyncio.create_task(bench.sidecar.stop(LONG))
    bench.wire.is_open.set()
    assert isinstance(await late, ShuttingDown)
    await stopping
    assert bench.wire.sent[1][0].authorises
    assert not bench.wire.sent[-1][0].authorises
    assert isinstance(await reserve(other, "too much", 6, within=0.0), InsufficientCredits)


async def test_a_stop_while_the_store_is_away(bench: Bench, other: Bench) -> None:
    """The last word was never said: what is held there may be let go, as far as anybody knows."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)
    bench.wire.is_cut = True
    bench.sidecar.drain()
    await bench.sidecar.stop(0.05)
    assert isinstance(await reserve(other, "early", 1, within=0.0), RecallPending)


async def test_a_sidecar_that_starts_again_authorises_once_its_leases_are_renewed(bench: Bench, other: Bench) -> None:
    """From then on it is waited for again."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    await bench.sidecar.settle()
    bench.sidecar.drain()
    await bench.sidecar.stop(LONG)
    await bench.restart()
    await release(bench, "back", hold)
    moment = bench.sidecar.books.moment()
    assert bench.sidecar.books.open(ACCOUNT).idle(moment) == 0
    assert isinstance(await reserve(bench, "again", 20), Done)
    assert isinstance(await reserve(other, "pending", 1, within=0.0), RecallPending)


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.UNHEARD])
async def test_a_last_word_that_is_lost_is_said_again(bench: Bench, other: Bench, fate: Fate) -> None:
    """And one that arrives once more, after its sidecar has started again, changes nothing."""
    await bench.account(permanent=20)
    await held(bench, "open", 20)
    bench.wire.fates = [fate]
    bench.sidecar.drain()
    stopping = asyncio.create_task(bench.sidecar.stop(LONG))
    while bench.wire.fates:
        await asyncio.sleep(0.001)
    bench.clock.advance(Span(30 * SECOND))
    assert await stopping
    assert isinstance(await reserve(other, "too much", 1, within=0.0), InsufficientCredits)
    last = bench.wire.sent[-1]
    await bench.restart()
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await bench.sidecar.settle()
    await bench.wire.deliver_again(last)
    assert isinstance(await reserve(other, "pending", 1, within=0.0), RecallPending)


async def test_what_is_let_go_after_the_last_word_authorises_nothing_here(bench: Bench, other: Bench) -> None:
    """It is idle on a lease of which the sidecar said that it authorises nothing more; the others get it."""
    await bench.account(permanent=20)
    hold = await held(bench, "open", 20)
    bench.sidecar._planner.returns_all = True
    bench.sidecar.records.mark(ACCOUNT, Mark.UNSETTLED)
    await bench.sidecar.settle()
    await release(bench, "back", hold)
    assert bench.sidecar.books.open(ACCOUNT).idle(bench.sidecar.books.moment()) == 0
    await bench.sidecar.stop(LONG)
    outcome = await reserve(other, "all", 20)
    assert not isinstance(outcome, Refusal)
