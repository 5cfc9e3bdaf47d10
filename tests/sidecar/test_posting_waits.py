"""Callers that wait until a charge is posted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from creditmeter.core.credit.charges import Charge
from creditmeter.core.instants import SECOND, Span
from creditmeter.sidecar import posting_waits
from tests.sidecar.bench import Bench
from tests.sidecar.requests import charge, charge_id, commit, held
from tests.sidecar.wire import Fate

pytestmark = pytest.mark.both_engines

LONG = Span(60 * SECOND)
BRIEF = Span(SECOND // 20)


@pytest.fixture
async def waits(bench: Bench) -> AsyncIterator[posting_waits.PostingWaits]:
    """The sidecar's. In the end nobody waits any more."""
    await bench.account(permanent=100)
    yield bench.sidecar.posting_waits
    assert not bench.sidecar.posting_waits._waiting


async def test_a_charge_is_posted_at_once_for_who_waits(bench: Bench, waits: posting_waits.PostingWaits) -> None:
    """Nothing is settled in the background here."""
    made = charge_id(await charge(bench, "c", 5))
    found = await waits.posted(made, LONG)
    assert found is not None
    assert found.posting is not None
    read = await bench.sidecar.reader.charge(made)
    assert isinstance(read, Charge)
    assert read.posting == found.posting


async def test_all_who_wait_share_a_message(bench: Bench, waits: posting_waits.PostingWaits) -> None:
    """Also for two charges of one account."""
    made = [charge_id(await charge(bench, f"c{number}", 5)) for number in range(2)]
    sent = len(bench.wire.sent)
    found = await asyncio.gather(*(waits.posted(each, LONG) for each in made * 10))
    assert all(each is not None and each.posting is not None for each in found)
    assert len(bench.wire.sent) == sent + 1


async def test_what_is_known_when_the_time_is_over(bench: Bench, waits: posting_waits.PostingWaits) -> None:
    """While the central store is away: no error, and no flood of messages."""
    made = charge_id(await charge(bench, "c", 5))
    bench.wire.is_cut = True
    sent = len(bench.wire.sent)
    assert await waits.posted(made, BRIEF) is None
    assert len(bench.wire.sent) - sent <= 1
    read = await bench.sidecar.reader.charge(made)
    assert isinstance(read, Charge)
    assert read.posting is None


async def test_a_message_that_was_lost_is_sent_again(
    bench: Bench, waits: posting_waits.PostingWaits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the wait."""
    monkeypatch.setattr(posting_waits, "ASKED_AGAIN_SECONDS", 0.01)
    made = charge_id(await charge(bench, "c", 5))
    bench.wire.fates = [Fate.UNHEARD]
    waiting = asyncio.create_task(waits.posted(made, LONG))
    while not bench.sidecar._exchanger.contact.is_failing:
        await asyncio.sleep(0)
    bench.clock.advance(60 * SECOND)
    assert (await waiting) is not None


async def test_a_charge_that_was_made_while_a_message_was_under_way(bench: Bench, waits: posting_waits.PostingWaits) -> None:
    """It goes with the next message, at once."""
    hold = await held(bench, "h", 5)
    await charge(bench, "first", 5)
    bench.wire.is_open.clear()
    settling = asyncio.create_task(bench.sidecar.settle())
    sent = len(bench.wire.sent)
    while len(bench.wire.sent) == sent:
        await asyncio.sleep(0)
    made = charge_id(await commit(bench, "second", hold, 5))
    waiting = asyncio.create_task(waits.posted(made, LONG))
    await asyncio.sleep(0)
    bench.wire.is_open.set()
    assert (await waiting) is not None
    await settling


async def test_callers_that_go_away_leave_nothing_behind(bench: Bench, waits: posting_waits.PostingWaits) -> None:
    """And those that stay are answered."""
    made = charge_id(await charge(bench, "c", 5))
    bench.wire.is_open.clear()
    gone, stays = (asyncio.create_task(waits.posted(made, LONG)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    bench.wire.is_open.set()
    assert (await stays) is not None


async def test_a_charge_that_is_not_to_be_posted_here_is_not_waited_for(
    bench: Bench, other: Bench, waits: posting_waits.PostingWaits
) -> None:
    """One of another sidecar, one that is posted, one that nobody made; and nobody waits who does not ask for it."""
    made = charge_id(await charge(bench, "c", 5))
    assert await other.sidecar.posting_waits.posted(made, LONG) is None
    assert await waits.posted(made, Span(0)) is None
    await bench.sidecar.settle()
    assert await waits.posted(made, LONG) is None
