"""A hold in several steps: each is charged once, whenever its answer comes, and so is what is known of the next one."""

# ruff: noqa: PT012 - a block that is left by an exception is what is tested

import asyncio

import pytest

from creditmeter.client import Client, Unreachable, UsageSource
from creditmeter.client.hold import Hold
from tests.client.conftest import ACCOUNT, CREDIT
from tests.client.holds import PARTIAL, ProviderError, assert_charged, charges, text_hold
from tests.client.proxy import Proxy, Treatment


async def charged(meter: Client) -> list[int]:
    """What was charged, in microcredits, the first charge first."""
    return [-each.amount_microcredits for each in reversed(await charges(meter))]


async def committed_without_waiting(hold: Hold, proxy: Proxy) -> None:
    """A step that took effect, whose caller was cancelled before its answer came."""
    proxy.next("Commit", Treatment.KEEP_REPLY)
    waiting = asyncio.create_task(hold.commit(PARTIAL, keep_open=True))
    await proxy.kept.get()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_steps_in_parallel(meter: Client) -> None:
    """Each is charged, also those that cost the same."""
    async with meter.hold(ACCOUNT, amount_microcredits=5 * CREDIT) as hold:
        steps = await asyncio.gather(*(hold.commit(amount_microcredits=CREDIT, keep_open=True) for _ in range(3)))
    assert len({each.charge_id for each in steps}) == 3
    assert await charged(meter) == [CREDIT] * 3


@pytest.mark.parametrize("is_reported", [True, False])
async def test_a_step_whose_answer_comes_late(meter: Client, proxy: Proxy, is_reported: bool) -> None:
    """It takes nothing from what is known of the next one by then."""
    with pytest.raises(ProviderError):
        async with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=20_000, max_output_tokens=2_000) as hold:
            await committed_without_waiting(hold, proxy)
            hold.dispatched()
            if is_reported:
                hold.report(PARTIAL)
            proxy.go_on.set()
            raise ProviderError
    assert await charged(meter) == [3 * CREDIT] * 2


async def test_a_step_whose_answer_comes_late_is_charged_once(meter: Client, proxy: Proxy) -> None:
    """What was reported of it is not charged again with the next one."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.report(PARTIAL)
            await committed_without_waiting(hold, proxy)
            hold.report(input_tokens=2_000, output_tokens=1)
            proxy.go_on.set()
            raise ProviderError
    assert await charged(meter) == [3 * CREDIT, CREDIT]


@pytest.mark.parametrize("treatment", [Treatment.LOSE_REQUEST, Treatment.LOSE_REPLY])
async def test_a_step_without_an_answer_and_an_exception_in_the_next(meter: Client, proxy: Proxy, treatment: Treatment) -> None:
    """Both are charged at the end of the block."""
    proxy.next("Commit", *[treatment] * 1_000)
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            with pytest.raises(Unreachable):
                await hold.commit(PARTIAL, keep_open=True)
            proxy.forget()
            hold.report(input_tokens=2_000, output_tokens=1)
            raise ProviderError
    assert await charged(meter) == [3 * CREDIT, CREDIT]


@pytest.mark.parametrize("treatment", [Treatment.LOSE_REQUEST, Treatment.LOSE_REPLY])
@pytest.mark.parametrize("keep_open", [True, False])
async def test_a_step_without_an_answer_and_another_commit(
    meter: Client, proxy: Proxy, treatment: Treatment, keep_open: bool
) -> None:
    """It is sent again before."""
    proxy.next("Commit", *[treatment] * 1_000)
    async with text_hold(meter) as hold:
        with pytest.raises(Unreachable):
            await hold.commit(PARTIAL, keep_open=True)
        proxy.forget()
        await hold.commit(input_tokens=2_000, output_tokens=1, keep_open=keep_open)
    assert await charged(meter) == [3 * CREDIT, CREDIT]


async def test_a_step_without_an_answer_and_a_release(meter: Client, proxy: Proxy) -> None:
    """The rest is given back, and the step is charged."""
    proxy.next("Commit", *[Treatment.LOSE_REQUEST] * 1_000)
    async with text_hold(meter) as hold:
        with pytest.raises(Unreachable):
            await hold.commit(PARTIAL, keep_open=True)
        proxy.forget()
        await hold.release()
    await assert_charged(meter, 3 * CREDIT)


async def test_a_report_is_charged_by_the_second_attempt(meter: Client, proxy: Proxy) -> None:
    """A commit of what was reported may be repeated by hand, too."""
    proxy.next("Commit", *[Treatment.LOSE_REQUEST] * 1_000)
    async with text_hold(meter) as hold:
        hold.report(PARTIAL)
        with pytest.raises(Unreachable):
            await hold.commit(keep_open=True)
        proxy.forget()
        await hold.commit(keep_open=True)
    await assert_charged(meter, 3 * CREDIT)


async def test_an_estimate_after_a_step_of_text(meter: Client) -> None:
    """The input that no step was charged for."""
    with pytest.raises(ProviderError):
        async with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=40_000, max_output_tokens=100) as hold:
            await hold.commit(input_tokens=30_000, output_tokens=50, keep_open=True)
            hold.dispatched()
            raise ProviderError
    assert hold.charge is not None
    assert hold.charge.usage is not None
    assert (hold.charge.usage.input_tokens, hold.charge.usage.source) == (10_000, UsageSource.ESTIMATED)


@pytest.mark.parametrize("is_run_again", [False, True])
async def test_an_estimate_after_a_step_of_other_work(meter: Client, is_run_again: bool) -> None:
    """What is still held, also where another run of the job was charged for the step."""
    terms = {"action": "image", "model": "dall-e-3", "quantity": 4, "job_id": "job1"}
    hold = await meter.hold(ACCOUNT, **terms).__aenter__()  # type: ignore[arg-type]  # names
    whole = hold.reservation.held_microcredits
    await hold.commit(quantity=3, keep_open=True)
    if is_run_again:
        hold = await meter.hold(ACCOUNT, **terms).__aenter__()  # type: ignore[arg-type]  # names
    hold.dispatched()
    await hold.__aexit__(ProviderError, None, None)
    assert sum(await charged(meter)) == whole
