"""What the end of a client waits for, in one loop and in threads."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from creditmeter.client import Client, Retry, SyncClient, Unreachable
from tests.client.conftest import ACCOUNT, CREDIT, QUICK
from tests.client.proxy import Proxy, Treatment


async def charge(meter: Client) -> Any:
    """A charge."""
    return await meter.charge(ACCOUNT, amount_microcredits=CREDIT)


async def balance(meter: Client) -> Any:
    """A reading."""
    return await meter.balance(ACCOUNT)


@pytest.mark.parametrize(("method", "work"), [("Charge", charge), ("GetBalance", balance)])
async def test_closing_waits_for_calls(proxy: Proxy, method: str, work: Callable[[Client], Awaitable[Any]]) -> None:
    """Of any kind, and none of them fails."""
    meter = Client(proxy.address, retry=QUICK)
    proxy.next(method, Treatment.KEEP_REPLY)
    task = asyncio.ensure_future(work(meter))
    await proxy.kept.get()
    closing = asyncio.create_task(meter.close())
    await asyncio.wait({closing}, timeout=1.2)  # longer than it takes to close a connection on which something is under way
    assert not closing.done()
    proxy.go_on.set()
    await closing
    assert await task is not None
    await meter.close()


async def test_a_history_that_is_read_on_after_the_end(proxy: Proxy) -> None:
    """The next page is asked for on another connection."""
    meter = Client(proxy.address, retry=QUICK)
    for _ in range(3):
        await meter.settled((await charge(meter)).charge_id)
    entries = meter.history(ACCOUNT, page_size=1)
    await anext(entries)
    await meter.close()
    assert len([each async for each in entries]) == 3
    await meter.close()


async def test_one_client_in_loops_of_many_threads() -> None:
    """Loops come and go, and each finds its own connection."""
    meter = Client("unix:/nobody")

    async def use() -> None:
        meter._session()

    def loops() -> None:
        for _ in range(100):
            asyncio.run(use())

    await asyncio.gather(*(asyncio.to_thread(loops) for _ in range(6)))


async def test_closing_while_another_thread_waits(data_dir: Any) -> None:
    """It gets its answer, or the error that it would have got."""
    meter = SyncClient(f"unix:{data_dir}/nobody.sock", retry=Retry(total=0.5))

    def work() -> None:
        with pytest.raises(Unreachable):
            meter.balance(ACCOUNT)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    await asyncio.sleep(0.2)
    await asyncio.to_thread(meter.close)
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


async def test_closing_while_other_threads_go_on(address: str) -> None:
    """They connect again, and every call of theirs is answered."""
    meter, is_over = SyncClient(address), threading.Event()

    def work() -> int:
        number = 0
        while not is_over.is_set():
            with meter.hold(ACCOUNT, amount_microcredits=1) as hold:
                number += hold.commit(amount_microcredits=1).cost_microcredits
        return number

    def close_often() -> None:
        for _ in range(5):
            meter.close()
        is_over.set()

    pool = ThreadPoolExecutor(4)
    working = [pool.submit(work) for _ in range(3)]
    await asyncio.to_thread(close_often)
    done, _ = await asyncio.to_thread(wait, working, 10)
    assert len(done) == 3
    charged = sum(each.result() for each in working)
    await asyncio.to_thread(meter.close)
    async with Client(address) as plain:
        left = await plain.balance(ACCOUNT)
    assert (left.held_microcredits, left.available_microcredits) == (0, 100 * CREDIT - charged)


async def test_a_half_read_history_that_is_collected_on_the_loop_s_thread(address: str) -> None:
    """It waits for nothing there."""
    meter = SyncClient(address)

    class Circle:
        """Something that only the garbage collector frees."""

        def __init__(self) -> None:
            self.itself = self
            self.history = meter.history(ACCOUNT, page_size=1)
            next(self.history)

    async def collect() -> None:
        gc.collect()

    def work() -> int:
        for _ in range(2):
            meter.settled(meter.charge(ACCOUNT, amount_microcredits=CREDIT).charge_id)
        gc.disable()
        Circle()
        meter._thread.run(collect())
        return meter.balance(ACCOUNT).available_microcredits

    try:
        assert await asyncio.wait_for(asyncio.to_thread(work), 10) == 98 * CREDIT
    finally:
        gc.enable()
    await asyncio.to_thread(meter.close)
