"""What becomes of a hold, however its block is left: each row of the table in `ending.py`."""

# ruff: noqa: PT012 - a block that is left by an exception is what is tested

import asyncio
import itertools
import logging
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from creditmeter.client import (
    Client,
    InsufficientCredits,
    ReservationCommitted,
    ReservationReleased,
    Retry,
    Usage,
    UsageSource,
)
from creditmeter.client.ending import Ending, Outcome, ending
from tests.client.conftest import ACCOUNT, CREDIT, give, sidecar
from tests.client.holds import PARTIAL, ProviderError, assert_charged, assert_nothing_charged, charges, text_hold
from tests.client.proxy import Proxy, Treatment


def test_every_case_has_one_ending() -> None:
    """The table as a function: an ended hold is left alone, and an unknown outcome is never released."""
    for dispatched, streamed, reported, failed in itertools.product((False, True), repeat=4):
        said = {"dispatched": dispatched, "streamed": streamed, "reported": reported, "failed": failed}
        assert ending(Outcome.ENDED, **said) is Ending.NOTHING
        assert ending(Outcome.UNKNOWN, **said) is Ending.COMMIT_AGAIN
        assert ending(Outcome.RELEASING, **said) is Ending.RELEASE_AGAIN
        known = Ending.COMMIT_KNOWN if reported else Ending.COMMIT_ESTIMATE
        assert ending(Outcome.OPEN, **said) is (known if streamed or (dispatched and failed) else Ending.RELEASE)


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


async def test_an_extend_that_is_refused(meter: Client) -> None:
    """The old hold stands, and another extend is another request."""
    async with text_hold(meter) as hold:
        with pytest.raises(InsufficientCredits):
            await hold.extend(amount_microcredits=101 * CREDIT)
        assert hold.reservation.held_microcredits == 5 * CREDIT
        assert (await hold.extend(amount_microcredits=6 * CREDIT)).held_microcredits == 6 * CREDIT


async def test_a_hold_that_was_committed_elsewhere(meter: Client) -> None:
    """A release says so, and the charge stands."""
    with pytest.raises(ReservationCommitted):
        async with text_hold(meter, job_id="job1") as hold:
            async with text_hold(meter, job_id="job1") as same:
                await same.commit(PARTIAL)
            await hold.release("too late")
    await assert_charged(meter, 3 * CREDIT)


async def test_a_block_that_outlives_its_hold(meter: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left to release when it is left, which is nothing to warn of."""
    async with text_hold(meter, ttl=1):  # type: ignore[arg-type]  # a second
        while (await meter.balance(ACCOUNT)).held_microcredits:
            await asyncio.sleep(0.05)
    assert not [each for each in caplog.records if each.name == "creditmeter.client"]
    await assert_nothing_charged(meter)


async def test_an_estimate_that_breaks_off_stays_one(meter: Client) -> None:
    """What a worker counts by itself is no report of the provider's."""
    with pytest.raises(ProviderError):
        async with text_hold(meter) as hold:
            hold.report(Usage(input_tokens=10_000, output_tokens=80, source=UsageSource.ESTIMATED))
            raise ProviderError
    charge = await meter.settled(hold.reservation.charge_ids[0])
    assert charge.usage is not None
    assert (charge.usage.output_tokens, charge.usage.source) == (80, UsageSource.ESTIMATED)


async def test_a_sidecar_that_restarts_during_a_call(data_dir: Path, migrated_file: Path) -> None:
    """The hold outlives it, and the commit waits until it is back."""
    shutil.copyfile(migrated_file, data_dir / "central.db")
    async with Client(f"unix:{data_dir}/creditmeter.sock", retry=Retry(total=60)) as meter:
        async with sidecar(data_dir) as address:
            await give(address, ACCOUNT, 100 * CREDIT)
            hold = await text_hold(meter).__aenter__()
        commit = asyncio.create_task(hold.commit(PARTIAL))
        async with sidecar(data_dir):
            assert (await commit).cost_microcredits == 3 * CREDIT
            await assert_charged(meter, 3 * CREDIT)
