"""A loop that ends (`asyncio.run`) at any moment: what was asked for comes to its end, soon, and nothing is printed."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from creditmeter.client import Client, Retry
from tests.cases import more
from tests.client.conftest import ACCOUNT, CREDIT

PATIENT = Retry(total=10, attempt=10)
"""An attempt that is forgotten takes longer than any of these tests may."""


async def committed_as_the_loop_ends(client: Client, turns: int) -> None:
    """A commit that is begun so many turns before the loop ends."""
    hold = await client.hold(ACCOUNT, amount_microcredits=2 * CREDIT).__aenter__()
    task = asyncio.create_task(hold.commit(amount_microcredits=CREDIT))
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.cancelled()


async def metered_as_the_loop_ends(client: Client, turns: int) -> None:
    """A stream that is begun, and so many turns later the loop ends."""

    async def chunks() -> AsyncIterator[str]:
        while True:
            await asyncio.sleep(0)
            yield "word"

    async def work() -> None:
        async with client.hold(ACCOUNT, model="gpt-4o", input_tokens=1_000, max_output_tokens=1_000, metered=True) as hold:
            entered.set()
            async for _ in hold.stream(chunks()):
                pass

    entered = asyncio.Event()
    task = asyncio.create_task(work())
    await entered.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.done()


@pytest.mark.parametrize("turns", [1, 3, *more(2, 4, 5, 6, 7, 8)])
@pytest.mark.parametrize("as_the_loop_ends", [committed_as_the_loop_ends, metered_as_the_loop_ends])
async def test_in_the_turn_in_which_a_stream_opens(
    address: str,
    as_the_loop_ends: Callable[[Client, int], Coroutine[None, None, None]],
    turns: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The tasks of the stream are cancelled before their first step."""
    began = time.monotonic()
    await asyncio.to_thread(asyncio.run, as_the_loop_ends(Client(address, retry=PATIENT), turns))
    gc.collect()
    assert time.monotonic() - began < 5
    assert [each.getMessage() for each in caplog.records if each.name != "creditmeter"] == []
    assert capfd.readouterr().err == ""
    async with Client(address) as meter:
        assert (await meter.balance(ACCOUNT)).available_microcredits == 99 * CREDIT
