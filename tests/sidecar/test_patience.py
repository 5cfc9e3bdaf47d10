"""An embedded store that is slow: callers wait for it no longer than they may, and what was asked for them goes on."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import DAY
from creditmeter.core.metering.composing import idle_of_other_days
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.sidecar.patience import Patience
from creditmeter.sidecar.reader import Balance
from tests.clocks import ManualClock
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, held, receipt, refund, reserve

PATIENCE = 0.2
MARGIN = 0.5
"""Seconds that a slow machine may take beside the wait itself."""


@pytest.fixture
async def slow(
    tmp_path: Path, clock: ManualClock, card: LoadedCard, migrated_file: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """A sidecar with an embedded store whose exchanges begin and do not end while the wire is not open."""
    monkeypatch.setattr("creditmeter.sidecar.sidecar.PATIENCE_SECONDS", PATIENCE)
    shutil.copyfile(migrated_file, tmp_path / "central.db")
    bench = Bench(tmp_path, clock, card, f"sqlite:///{tmp_path / 'central.db'}")
    await bench.start()
    await bench.account(permanent=100)
    yield bench
    bench.wire.is_open.set()
    await bench.crash()


async def test_a_request_that_lacks_credit(slow: Bench) -> None:
    """It is refused in its time. The credit comes in later, nothing is held of it, and the request is served when repeated."""
    slow.wire.is_open.clear()
    began = time.monotonic()
    with pytest.raises(CentralUnavailable, match="locked or slow"):
        await reserve(slow, "first", 5)
    assert time.monotonic() - began < PATIENCE + MARGIN
    book = slow.sidecar.books.open(ACCOUNT)
    assert not book.leases
    slow.wire.is_open.set()
    await slow.sidecar._exchanger.one_finished()
    assert book.idle(slow.sidecar.books.moment()) >= credits(5)
    assert not book.held
    sent = len(slow.wire.sent)
    await held(slow, "first", 5)
    assert len(slow.wire.sent) == sent


async def test_many_that_lack_credit(slow: Bench) -> None:
    """Nobody waits for the waits of others."""
    slow.wire.is_open.clear()
    began = time.monotonic()
    outcomes = await asyncio.gather(*(reserve(slow, f"r{number}", 1) for number in range(50)), return_exceptions=True)
    assert time.monotonic() - began < PATIENCE + 2 * MARGIN
    assert {type(each) for each in outcomes} == {CentralUnavailable}


async def test_a_refund_whose_charge_is_being_settled(slow: Bench) -> None:
    """It is refused in its time, and takes effect once when it is repeated."""
    paid = receipt(await charge(slow, "paid", 5)).charge
    assert paid is not None
    slow.wire.is_open.clear()
    settling = asyncio.create_task(slow.sidecar.settle())
    while not slow.sidecar._exchanger.is_busy(ACCOUNT):
        await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(CentralUnavailable, match="locked or slow"):
        await refund(slow, "back", paid.charge_id)
    assert time.monotonic() - began < PATIENCE + MARGIN
    slow.wire.is_open.set()
    await settling
    for _ in range(2):
        assert isinstance(await refund(slow, "back", paid.charge_id), Done)
    assert await slow.remaining() == (0, 0, 100)


async def test_a_balance_before_which_credit_is_to_return(slow: Bench, clock: ManualClock) -> None:
    """It is the last one that is known. Giving back goes on."""
    await charge(slow, "paid", 1)
    await slow.sidecar.settle()
    clock.advance(DAY)
    slow.wire.is_open.clear()
    balance = await slow.sidecar.reader.balance(ACCOUNT)
    assert isinstance(balance, Balance)
    assert balance.stale
    slow.wire.is_open.set()
    await slow.sidecar._exchanger.one_finished()
    assert not idle_of_other_days(slow.sidecar.books.open(ACCOUNT), slow.sidecar.books.moment().now)


async def test_patience_that_is_used_up_bit_by_bit() -> None:
    """It is for all waits together, until it is renewed."""
    patience = Patience(0.2, set())
    await patience.outlast(asyncio.sleep(0.15))
    with pytest.raises(CentralUnavailable):
        await patience.outlast(asyncio.sleep(0.15))
    patience.renew()
    await patience.outlast(asyncio.sleep(0.15))


async def test_a_server_keeps_times_of_its_own() -> None:
    """Nobody stops waiting for it."""
    patience = Patience(None, set())
    await patience.outlast(asyncio.sleep(0))
    await patience.see(asyncio.sleep(0))


async def test_an_exchange_that_fails_is_told() -> None:
    """To the caller who still waits; one that fails later is told to nobody, since its fault was noted."""
    started = asyncio.Event()

    async def fail() -> None:
        await started.wait()
        raise CentralUnavailable("away")

    with pytest.raises(CentralUnavailable, match="locked or slow"):
        await Patience(0.01, set()).see(fail())
    started.set()
    with pytest.raises(CentralUnavailable, match="away"):
        await Patience(1, set()).see(fail())
