"""What becomes of a hold, however its block is left: each row of the table in `ending.py`, with replies that are lost."""

# ruff: noqa: PT012 - a block that is left by an exception is what is tested

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from creditmeter.client import (
    Client,
    HistoryEntry,
    HistoryType,
    InsufficientCredits,
    ReservationReleased,
    Unreachable,
    Usage,
    UsageSource,
)
from creditmeter.client.ending import Ending, Outcome, ending
from creditmeter.client.hold import Hold
from tests.client.conftest import ACCOUNT, CREDIT
from tests.client.proxy import Proxy, Treatment

PARTIAL = Usage(input_tokens=10_000, output_tokens=100)


class ProviderError(Exception):
    """The provider's call failed."""


def text_hold(meter: Client, **terms: str) -> Hold:
    """A hold of 5 credits."""
    return meter.hold(ACCOUNT, model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000, **terms)  # type: ignore[arg-type]  # names


async def charges(meter: Client) -> list[HistoryEntry]:
    """What was charged to the account, once nothing is held and all is posted."""
    while (balance := await meter.balance(ACCOUNT)).unposted_microcredits:
        await asyncio.sleep(0.01)
    assert balance.held_microcredits == 0
    return [each async for each in meter.history(ACCOUNT, types=[HistoryType.CHARGED])]


async def assert_nothing_charged(meter: Client) -> None:
    """The account has all of its credit."""
    assert await charges(meter) == []
    assert (await meter.balance(ACCOUNT)).available_microcredits == 100 * CREDIT


async def assert_charged(meter: Client, microcredits: int) -> None:
    """One charge of so much, and nothing is held."""
    assert [-each.amount_microcredits for each in await charges(meter)] == [microcredits]


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Cancel a task, and wait until it has ended, as cancelled."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_every_case_has_one_ending() -> None:
    """The table as a function: an ended hold is left alone, and an unknown outcome is never released."""
    for dispatched, reported, failed in itertools.product((False, True), repeat=3):
        said = {"dispatched": dispatched, "reported": reported, "failed": failed}
        assert ending(Outcome.ENDED, **said) is Ending.NOTHING
        assert ending(Outcome.UNKNOWN, **said) is Ending.COMMIT_AGAIN
        known = Ending.COMMIT_KNOWN if reported else Ending.COMMIT_ESTIMATE
        assert ending(Outcome.OPEN, **said) is (known if dispatched and failed else Ending.RELEASE)


async def test_left_without_a_commit(meter: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is released, without a word if nothing was dispatched, and with a warning if something was."""
    async with text_hold(meter):
        assert (await meter.balance(ACCOUNT)).held_microcredits == 5 * CREDIT
    assert not caplog.records
    async with text_hold(meter) as hold:
        hold.dispatched()
    assert "dispatched and not committed" in caplog.text
    await assert_nothing_charged(meter)


async def test_an_exception_before_dispatch(meter: Client) -> None:
    """It is released, and the exception is passed on."""
    with pytest.raises(ProviderError):
        async with text_hold(meter):
            raise ProviderError
    await assert_nothing_charged(meter)


async def test_an_exception_after_dispatch_with_nothing_known(meter: Client) -> None:
    """The input is charged, and the charge says that it is an estimate."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.dispatched()
            raise ProviderError
    await assert_charged(meter, 3 * CREDIT)
    charge = await meter.settled(hold.reservation.charge_ids[0])
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (10_000, 0)
    assert charge.usage.source is UsageSource.ESTIMATED


async def test_an_exception_with_something_known(meter: Client) -> None:
    """What was reported last is charged, and says that it is a part."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.report(input_tokens=10_000, output_tokens=50)
            hold.report(output_tokens=100)
            raise ProviderError
    charge = await meter.settled(hold.reservation.charge_ids[0])
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (10_000, 100)
    assert charge.usage.source is UsageSource.PARTIAL_STREAM
    await assert_charged(meter, 3 * CREDIT)


async def test_reports_in_the_words_of_a_provider(meter: Client) -> None:
    """They are laid over each other: what only the first one had still counts."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.report({"input_tokens": 9_000, "output_tokens": 1, "cache_read_input_tokens": 500})
            hold.report({"output_tokens": 1_500, "cache_read_input_tokens": None})
            raise ProviderError
    charge = await meter.settled(hold.reservation.charge_ids[0])
    assert charge.usage is not None
    assert (charge.usage.output_tokens, charge.usage.cache_read_input_tokens) == (1_500, 500)
    assert charge.usage.source is UsageSource.PARTIAL_STREAM


async def test_reports_that_cannot_be_read(meter: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The input is charged as an estimate, and the log says why."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.report("no usage at all")
            raise ProviderError
    await assert_charged(meter, 3 * CREDIT)
    assert "cannot be read" in caplog.text


async def test_a_fixed_amount_and_a_tool_that_broke_off(meter: Client) -> None:
    """After dispatch an amount is charged as it is held, and other work as it says."""
    for hold in (meter.hold(ACCOUNT, amount_microcredits=2 * CREDIT), meter.hold(ACCOUNT, action="tool", tool="web_search")):
        with pytest.raises(ProviderError):
            async with hold:
                hold.dispatched()
                raise ProviderError
    assert sorted(-each.amount_microcredits for each in await charges(meter)) == [CREDIT, 2 * CREDIT]


async def test_a_stream_whose_reader_went_away(meter: Client) -> None:
    """An asynchronous generator that is closed commits what it reported."""

    async def stream() -> AsyncGenerator[int, None]:
        async with text_hold(meter) as hold:
            for tokens in range(10, 100, 10):
                hold.report(input_tokens=10_000, output_tokens=tokens)
                yield tokens

    chunks = stream()
    assert [await anext(chunks), await anext(chunks)] == [10, 20]
    await chunks.aclose()
    await assert_charged(meter, 3 * CREDIT)


async def test_what_is_left_of_a_hold_in_steps(meter: Client) -> None:
    """After a commit that kept it open the rest is released, also by an exception."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            await hold.commit(PARTIAL, keep_open=True)
            raise ProviderError
    await assert_charged(meter, 3 * CREDIT)


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


async def test_a_lost_reply_is_asked_for_again(meter: Client, proxy: Proxy) -> None:
    """With the same request id: it is reserved and charged once."""
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


async def test_a_failed_ending_does_not_hide_the_exception(
    meter: Client, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a warning in the log."""
    proxy.next("Commit", *[Treatment.LOSE_REQUEST] * 1_000)
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.report(PARTIAL)
            raise ProviderError
    assert [each.levelno for each in caplog.records if each.name == "creditmeter.client"] == [logging.WARNING]


async def test_a_hold_that_was_released_elsewhere(meter: Client) -> None:
    """A commit says so. Nothing more is tried when the block is left."""
    with pytest.raises(ReservationReleased):
        async with text_hold(meter, job_id="job1") as hold:
            async with text_hold(meter, job_id="job1") as same:
                assert same.reservation.reservation_id == hold.reservation.reservation_id
            await hold.commit(PARTIAL)
    await assert_nothing_charged(meter)


async def test_a_commit_after_the_deadline(meter: Client) -> None:
    """It still counts, and says that it was late."""
    async with text_hold(meter, ttl=1) as hold:  # type: ignore[arg-type]  # a second
        while (await meter.balance(ACCOUNT)).held_microcredits:
            await asyncio.sleep(0.05)
        charge = await hold.commit(PARTIAL)
    assert charge.late
    await assert_charged(meter, 3 * CREDIT)


async def test_a_refused_hold_leaves_nothing(meter: Client, proxy: Proxy) -> None:
    """Neither a hold nor a call in the background."""
    with pytest.raises(InsufficientCredits):
        async with meter.hold(ACCOUNT, amount_microcredits=101 * CREDIT):
            raise AssertionError
    await meter.close()
    assert proxy.calls == ["Reserve"]
