"""Holds that are cancelled at each point at which they wait, and whose requests or replies are lost."""

# ruff: noqa: PT012 - a block that is left by an exception is what is tested

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest

from creditmeter.client import (
    Client,
    InvalidRequest,
    Overloaded,
    Retry,
    Unreachable,
)
from creditmeter.client.hold import Hold
from tests.client.conftest import ACCOUNT, CREDIT
from tests.client.holds import PARTIAL, assert_charged, assert_nothing_charged, cancelled, charges, text_hold
from tests.client.proxy import Proxy, Treatment


@pytest.mark.parametrize("treatment", [Treatment.KEEP_REQUEST, Treatment.KEEP_REPLY])
async def test_cancelled_while_it_is_reserved(meter: Client, proxy: Proxy, treatment: Treatment) -> None:
    """Whether or not the sidecar has heard of it: what it holds is released in the background, and closing waits for that."""
    proxy.next("Reserve", treatment)

    async def work() -> None:
        async with text_hold(meter):
            raise AssertionError

    task = asyncio.create_task(work())
    await proxy.kept.get()
    await cancelled(task)
    await meter.close()
    await assert_nothing_charged(meter)


async def test_reserved_with_every_reply_lost(meter: Client, proxy: Proxy) -> None:
    """The outcome is unknown: the error says so, and what is held is released in the background."""
    proxy.next("Reserve", *[Treatment.LOSE_REPLY] * 1_000)
    with pytest.raises(Unreachable):
        async with text_hold(meter):
            raise AssertionError
    assert (await meter.balance(ACCOUNT)).held_microcredits == 5 * CREDIT
    proxy.forget()
    await meter.close()
    await assert_nothing_charged(meter)


@pytest.mark.parametrize("lost_as", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED])
async def test_a_lost_reply_is_asked_for_again(meter: Client, proxy: Proxy, lost_as: grpc.StatusCode) -> None:
    """With the same request id: it is reserved and charged once."""
    proxy.lost_as = lost_as
    for method in ("Reserve", "Commit"):
        proxy.next(method, Treatment.LOSE_REPLY, Treatment.LOSE_REQUEST)
    async with text_hold(meter) as hold:
        await hold.commit(PARTIAL)
    assert proxy.calls.count("Reserve") == proxy.calls.count("Commit") == 3
    await assert_charged(meter, 3 * CREDIT)


@pytest.mark.parametrize("kept", [Treatment.KEEP_REQUEST, Treatment.KEEP_REPLY])
async def test_cancelled_while_it_is_committed(
    meter: Client, proxy: Proxy, kept: Treatment, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit comes to its end before the block is left, however often it is cancelled, and nothing else is tried."""
    proxy.next("Commit", kept)

    async def work() -> None:
        async with text_hold(meter) as hold:
            await hold.commit(PARTIAL)

    task = asyncio.create_task(work())
    await proxy.kept.get()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    proxy.go_on.set()
    await cancelled(task)
    assert "Release" not in proxy.calls
    assert not [each for each in caplog.records if each.name == "creditmeter.client"]
    await assert_charged(meter, 3 * CREDIT)


async def test_a_commit_that_is_waited_for_in_vain(meter: Client, proxy: Proxy) -> None:
    """Who stops waiting for it goes on with the block, which is left when the commit has ended."""
    proxy.next("Commit", Treatment.KEEP_REPLY)
    async with text_hold(meter) as hold:
        waiting = asyncio.create_task(hold.commit(PARTIAL))
        await proxy.kept.get()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        proxy.go_on.set()
    await assert_charged(meter, 3 * CREDIT)


async def _reporting(hold: Hold) -> None:
    hold.report(PARTIAL)


async def _dispatching(hold: Hold) -> None:
    hold.dispatched()


async def _nothing(_: Hold) -> None:
    """Before dispatch."""


@pytest.mark.parametrize(
    ("before", "method", "charged"),
    [(_nothing, "Release", []), (_dispatching, "Commit", [3 * CREDIT]), (_reporting, "Commit", [3 * CREDIT])],
    ids=["before dispatch", "nothing known", "something known"],
)
@pytest.mark.parametrize("kept", [Treatment.KEEP_REQUEST, Treatment.KEEP_REPLY])
async def test_cancelled_in_the_block_and_again_in_its_end(
    meter: Client,
    proxy: Proxy,
    before: Callable[[Hold], Awaitable[None]],
    method: str,
    charged: list[int],
    kept: Treatment,
) -> None:
    """What is done with the hold is done, although the task is cancelled while it is."""
    proxy.next(method, kept)
    reached = asyncio.Event()

    async def work() -> None:
        async with text_hold(meter) as hold:
            await before(hold)
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    await proxy.kept.get()
    task.cancel()
    await asyncio.sleep(0)
    proxy.go_on.set()
    await cancelled(task)
    assert [-each.amount_microcredits for each in await charges(meter)] == charged


async def test_cancelled_while_it_is_released_at_its_end(meter: Client, proxy: Proxy) -> None:
    """A block that ends well is cancelled in its last step: the cancellation is passed on, after the release."""
    proxy.next("Release", Treatment.KEEP_REQUEST)

    async def work() -> None:
        async with text_hold(meter):
            pass

    task = asyncio.create_task(work())
    await proxy.kept.get()
    task.cancel()
    proxy.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_nothing_charged(meter)


async def test_cancelled_while_it_is_extended(meter: Client, proxy: Proxy) -> None:
    """The hold is released, whether or not it was raised."""
    proxy.next("Extend", Treatment.KEEP_REPLY)

    async def work() -> None:
        async with text_hold(meter) as hold:
            await hold.extend(max_output_tokens=4_000)

    task = asyncio.create_task(work())
    await proxy.kept.get()
    await cancelled(task)
    await assert_nothing_charged(meter)


@pytest.mark.parametrize("treatment", [Treatment.LOSE_REPLY, Treatment.LOSE_REQUEST])
async def test_a_commit_whose_outcome_is_unknown_is_never_released(
    meter: Client, proxy: Proxy, treatment: Treatment, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is raised, the same commit is sent once more at the end of the block, and no release."""
    proxy.next("Commit", *[treatment] * 1_000)
    with pytest.raises(Unreachable):
        async with text_hold(meter) as hold:
            await hold.commit(PARTIAL)
    assert "Release" not in proxy.calls
    assert "send the same commit again" in caplog.text
    proxy.forget()
    took_effect = treatment is Treatment.LOSE_REPLY
    assert (await meter.balance(ACCOUNT)).held_microcredits == (0 if took_effect else 5 * CREDIT)


async def test_a_commit_that_is_sent_again_at_the_end(meter: Client, proxy: Proxy) -> None:
    """If the sidecar answers by then, it is charged once, and the error is passed on all the same."""
    proxy.next("Commit", *[Treatment.LOSE_REPLY] * 1_000)
    with pytest.raises(Unreachable):
        async with text_hold(meter) as hold:
            try:
                await hold.commit(PARTIAL)
            finally:
                proxy.forget()
    await assert_charged(meter, 3 * CREDIT)
    assert len(hold.reservation.charge_ids) == 1


async def test_a_step_whose_outcome_is_unknown(meter: Client, proxy: Proxy) -> None:
    """A commit in steps that is repeated by hand has the same id, so it is charged once."""
    proxy.next("Commit", *[Treatment.LOSE_REPLY] * 1_000)
    async with text_hold(meter) as hold:
        with pytest.raises(Unreachable):
            await hold.commit(PARTIAL, keep_open=True)
        proxy.forget()
        first = await hold.commit(PARTIAL, keep_open=True)
        second = await hold.commit(PARTIAL, keep_open=True)
    assert first.charge_id != second.charge_id
    assert len(await charges(meter)) == 2


@pytest.mark.parametrize("treatment", [Treatment.LOSE_REQUEST, Treatment.LOSE_REPLY])
async def test_a_release_whose_outcome_is_unknown(
    meter: Client, proxy: Proxy, treatment: Treatment, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is raised, the same release is sent once more at the end of the block, and nothing is charged."""
    proxy.next("Release", *[treatment] * 1_000)
    with pytest.raises(Unreachable):
        async with text_hold(meter) as hold:
            hold.report(PARTIAL)
            try:
                await hold.release("the provider refused")
            finally:
                proxy.forget()
    assert "Commit" not in proxy.calls
    assert not [each for each in caplog.records if each.name == "creditmeter.client"]
    await assert_nothing_charged(meter)


async def test_a_release_that_cannot_be_read(meter: Client) -> None:
    """It stays a release: without the reason that is too long."""
    with pytest.raises(InvalidRequest):
        async with text_hold(meter) as hold:
            hold.dispatched()
            await hold.release("x" * 1_000)
    await assert_nothing_charged(meter)


async def test_a_release_that_failed_and_a_commit(meter: Client, proxy: Proxy) -> None:
    """What the worker asked for last is what counts."""
    proxy.next("Release", *[Treatment.LOSE_REQUEST] * 1_000)
    async with text_hold(meter) as hold:
        with pytest.raises(Unreachable):
            await hold.release()
        proxy.forget()
        await hold.commit(PARTIAL)
    await assert_charged(meter, 3 * CREDIT)


HASTY = Retry(total=0.1, first_delay=0.01, longest_delay=0.05, attempt=0.3)
"""A Reserve that is given up is repeated for 0.1 s, or for as long as it may wait at the sidecar."""


@pytest.mark.parametrize("failure", [Treatment.LOSE_REQUEST, Treatment.OVERLOADED])
async def test_a_hold_that_nobody_can_release(proxy: Proxy, failure: Treatment, caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled Reserve whose sidecar is away, or busy, is left to its deadline, with a warning."""
    proxy.next("Reserve", Treatment.KEEP_REPLY, *[failure] * 1_000)
    async with Client(proxy.address, retry=HASTY) as meter:
        task = asyncio.create_task(text_hold(meter).__aenter__())
        await proxy.kept.get()
        task.cancel()
        await meter.close()
        assert "may hold credit until its deadline" in caplog.text
        assert (await meter.balance(ACCOUNT)).held_microcredits == 5 * CREDIT


async def test_a_cancelled_reserve_that_waits(proxy: Proxy) -> None:
    """The same request is repeated for as long as the first one may wait."""
    proxy.next("Reserve", Treatment.KEEP_REQUEST, *[Treatment.OVERLOADED] * 1_000)
    async with Client(proxy.address, retry=HASTY) as meter:
        task = asyncio.create_task(text_hold(meter, wait=30).__aenter__())  # type: ignore[arg-type]  # seconds
        await proxy.kept.get()
        task.cancel()
        async with asyncio.timeout(10):
            while len(proxy.calls) < 12:  # HASTY.total is over by then
                await asyncio.sleep(0.05)
        proxy.go_on.set()
        proxy.forget()
        await meter.close()
        assert len(set(proxy.requests[:12])) == 1
        await assert_nothing_charged(meter)


async def test_reserved_and_then_not_read(meter: Client, proxy: Proxy) -> None:
    """A reply that is repeated does not say how the hold stands. If nothing does, it is released."""
    proxy.next("Reserve", Treatment.LOSE_REPLY)
    proxy.next("GetReservation", *[Treatment.OVERLOADED] * 1_000)
    with pytest.raises(Overloaded):
        async with text_hold(meter):
            raise AssertionError
    proxy.forget()
    await meter.close()
    await assert_nothing_charged(meter)
