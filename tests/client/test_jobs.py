"""Request ids that are made from a job's: a job that is run again goes on where it was."""

import asyncio
import re

import pytest

from creditmeter.client import Client, RequestIdReused, ReservationCommitted, ReservationReleased, SyncClient
from creditmeter.client.request_ids import StepIds, random_id, request_id_of
from tests.client.conftest import ACCOUNT, CREDIT
from tests.client.proxy import Proxy, Treatment


def test_the_ids() -> None:
    """Each step of each hold has its own, within what the contract allows."""
    ids = StepIds("job42")
    assert [ids.of("reserve"), ids.of("commit"), ids.of("extend", 1)] == ["job42/reserve", "job42/commit", "job42/extend-1"]
    assert ids.next().of("reserve") == "job42~2/reserve"
    assert request_id_of("charge", "job42", None) == "job42/charge"
    assert request_id_of("charge", "job42", "mine") == "mine"
    assert re.fullmatch("[a-z2-7]{26}", random_id())
    assert len({random_id() for _ in range(1_000)}) == 1_000


async def test_a_job_that_is_run_again_after_a_crash(address: str) -> None:
    """It goes on with the hold that it has, and its steps with the next numbers."""
    async with Client(address) as first, Client(address) as second:
        crashed = await first.hold(ACCOUNT, amount_microcredits=3 * CREDIT, job_id="job1").__aenter__()
        await crashed.commit(amount_microcredits=CREDIT, keep_open=True)
        async with second.hold(ACCOUNT, amount_microcredits=3 * CREDIT, job_id="job1") as hold:
            assert hold.reservation.reservation_id == crashed.reservation.reservation_id
            await hold.commit(amount_microcredits=CREDIT, keep_open=True)
            charge = await hold.commit(amount_microcredits=CREDIT)
        assert charge.request_id == "job1/commit"
        assert (await second.balance(ACCOUNT)).available_microcredits == 97 * CREDIT


async def test_a_job_that_was_charged(meter: Client) -> None:
    """It is not begun a second time: the error names its charge."""
    async with meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1") as hold:
        charge = await hold.commit(amount_microcredits=CREDIT)
    with pytest.raises(ReservationCommitted, match="job1 was charged already") as caught:
        async with meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1"):
            raise AssertionError
    assert caught.value.charge_ids == (charge.charge_id,)


async def test_a_job_that_was_released(meter: Client, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets another hold, as often as it is run again, up to a bound."""
    monkeypatch.setattr("creditmeter.client.holding.MOST_TURNS", 3)
    for _ in range(3):
        async with meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1") as hold:
            assert hold.reservation.held_microcredits == CREDIT
    with pytest.raises(ReservationReleased, match="use another job_id"):
        async with meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1"):
            raise AssertionError
    assert proxy.calls.count("Release") == 3


async def test_a_job_that_is_run_again_while_it_is_given_up(meter: Client, proxy: Proxy) -> None:
    """It waits until the hold of the cancelled run is released, and gets another."""
    proxy.next("Reserve", Treatment.KEEP_REPLY)
    proxy.next("Release", Treatment.KEEP_REQUEST)
    first = asyncio.create_task(meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1").__aenter__())
    await proxy.kept.get()
    first.cancel()
    assert await proxy.kept.get() == "Release"
    second = asyncio.create_task(meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1").__aenter__())
    await meter.balance(ACCOUNT)  # what was sent before it has arrived
    before = proxy.calls.count("Reserve")
    proxy.go_on.set()
    hold = await second
    assert (before, hold.reservation.held_microcredits) == (2, CREDIT)
    assert (await meter.balance(ACCOUNT)).held_microcredits == CREDIT
    await hold.commit(amount_microcredits=CREDIT)


async def test_a_job_that_changed(meter: Client) -> None:
    """An id stands for one piece of work; the error names what differs."""
    hold = await meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1").__aenter__()
    with pytest.raises(RequestIdReused) as caught:
        async with meter.hold(ACCOUNT, amount_microcredits=2 * CREDIT, job_id="job1"):
            raise AssertionError
    assert caught.value.field == "amount_microcredits"
    await hold.release()


def test_holds_are_made_without_a_loop() -> None:
    """And without a sidecar: nothing is sent before a block is entered."""
    for client in (Client("unix:/nobody"), SyncClient("unix:/nobody")):
        hold = client.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1")
        with pytest.raises(RuntimeError, match="enter the block"):
            _ = hold.reservation


async def test_each_extend_is_another_request(meter: Client) -> None:
    """In parallel, after one whose caller was cancelled, and in another run of the job."""
    first = await meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1").__aenter__()
    await asyncio.gather(*(first.extend(amount_microcredits=amount * CREDIT) for amount in (2, 3)))
    second = await meter.hold(ACCOUNT, amount_microcredits=CREDIT, job_id="job1").__aenter__()
    assert (await second.extend(amount_microcredits=4 * CREDIT)).held_microcredits == 4 * CREDIT
    await second.release()


async def test_an_extend_after_one_that_was_given_up(meter: Client, proxy: Proxy) -> None:
    """It asks for what it says."""
    proxy.next("Extend", Treatment.KEEP_REPLY)
    async with meter.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
        waiting = asyncio.create_task(hold.extend(amount_microcredits=2 * CREDIT))
        await proxy.kept.get()
        waiting.cancel()
        proxy.go_on.set()
        assert (await hold.extend(amount_microcredits=3 * CREDIT)).held_microcredits == 3 * CREDIT
