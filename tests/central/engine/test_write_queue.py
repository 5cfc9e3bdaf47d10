"""The queue of those who want to write one SQLite file: whoever has waited longest is the next.

Two queues of this process are as two processes: each has the file open on its own.

| what happens | who is the next |
| --- | --- |
| several wait, and one that had its turn wants another | in the order in which they came |
| one that waits goes away | the one behind it |
| the process that is the next is killed, or its event loop ends | the one behind it |
| the beginning fails | the one behind it |
| the file beside the database cannot be made | anyone, as if there was no queue |
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from creditmeter.central.engine.write_queue import WriteQueue

_TURNS = 2_000
_HOLDS = "import fcntl, sys; fcntl.flock(f := open(sys.argv[1]), fcntl.LOCK_EX); print('has it', flush=True); sys.stdin.read()"


class Order:
    """Transactions, and the order in which they began. Each beginning takes until it is let go on."""

    def __init__(self, path: Path) -> None:
        self.begun: list[str] = []
        self._path = path
        self._queues: dict[str, WriteQueue] = {}
        self._goes_on: dict[str, asyncio.Event] = {}

    def waits(self, name: str, fault: Exception | None = None) -> asyncio.Task[None]:
        """Have a process begin a transaction, or try to; the same name is the same process."""
        queue = self._queues.setdefault(name, WriteQueue(self._path))
        self._goes_on[name] = goes_on = asyncio.Event()

        @contextlib.asynccontextmanager
        async def transaction() -> AsyncIterator[None]:
            self.begun.append(name)
            await goes_on.wait()
            if fault is not None:
                raise fault
            yield

        async def run() -> None:
            async with queue.served(transaction()):
                pass

        return asyncio.create_task(run())

    def lets_on(self, name: str) -> None:
        """Have a transaction that is about to begin do so."""
        self._goes_on[name].set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that threads and the operating system do."""
        for _ in range(_TURNS):
            if is_so():
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"begun: {self.begun}, waiting: {self.waiting()}")

    def waiting(self) -> int:
        """How many wait for the lock, as the kernel lists them (https://man7.org/linux/man-pages/man5/proc_locks.5.html)."""
        inode = self._path.with_name(f"{self._path.name}-queue").stat().st_ino
        rows = (row.split() for row in Path("/proc/locks").read_text().splitlines())
        return sum(row[1] == "->" and row[6].endswith(f":{inode}") for row in rows)

    async def has_in_queue(self, count: int) -> None:
        """Wait until so many wait."""
        await self.until(lambda: self.waiting() == count)

    async def has_begun(self, *names: str) -> None:
        """Wait until these began, in this order, and no others."""
        await self.until(lambda: self.begun == list(names))


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A file of its own."""
    return Order(tmp_path / "central.db")


async def test_all_come_in_the_order_in_which_they_asked(order: Order) -> None:
    """One that had its turn is the last."""
    first = order.waits("a")
    await order.has_begun("a")
    others = [order.waits("b")]
    await order.has_in_queue(1)
    others.append(order.waits("c"))
    await order.has_in_queue(2)
    order.lets_on("a")
    await order.has_begun("a", "b")
    await first
    others.append(order.waits("a"))
    await order.has_in_queue(2)
    order.lets_on("b")
    await order.has_begun("a", "b", "c")
    order.lets_on("c")
    await order.has_begun("a", "b", "c", "a")
    order.lets_on("a")
    await asyncio.gather(*others)


async def test_one_that_goes_away(order: Order) -> None:
    """It cannot be taken out of the queue, and lets the next one pass."""
    first = order.waits("a")
    await order.has_begun("a")
    gone = order.waits("b")
    await order.has_in_queue(1)
    last = order.waits("c")
    await order.has_in_queue(2)
    gone.cancel()
    order.lets_on("a")
    await first
    await order.has_begun("a", "c")
    order.lets_on("c")
    await last
    again = order.waits("b")
    await order.has_begun("a", "c", "b")
    order.lets_on("b")
    await again


async def test_a_process_that_is_killed(order: Order, tmp_path: Path) -> None:
    """The operating system gives its place on."""
    file = tmp_path / "central.db-queue"
    file.touch()
    pipe = subprocess.PIPE
    holding = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLDS, file, stdin=pipe, stdout=pipe)
    assert holding.stdout is not None
    await holding.stdout.readline()
    waiting = order.waits("a")
    await order.has_in_queue(1)
    assert order.begun == []
    holding.kill()
    await holding.wait()
    await order.has_begun("a")
    order.lets_on("a")
    await waiting


async def test_an_event_loop_that_ends(order: Order) -> None:
    """As of a process that stops. Its thread waits on, and gives the place on when it has it."""
    first = order.waits("a")
    await order.has_begun("a")

    async def ends_while_it_waits() -> None:
        order.waits("b")
        await order.has_in_queue(1)

    await asyncio.to_thread(lambda: asyncio.run(ends_while_it_waits()))
    order.lets_on("a")
    await first
    last = order.waits("c")
    await order.has_begun("a", "c")
    order.lets_on("c")
    await last


async def test_a_beginning_that_fails(order: Order) -> None:
    """Its caller is told, and the next one begins."""
    failing = order.waits("a", OSError("the disk is full"))
    await order.has_begun("a")
    last = order.waits("b")
    await order.has_in_queue(1)
    order.lets_on("a")
    with pytest.raises(OSError, match="the disk is full"):
        await failing
    await order.has_begun("a", "b")
    order.lets_on("b")
    await last


async def test_a_place_where_no_file_can_be_made(tmp_path: Path) -> None:
    """SQLite says what is wrong with it."""
    order = Order(tmp_path / "not there" / "central.db")
    both = order.waits("a"), order.waits("b")
    await order.has_begun("a", "b")
    order.lets_on("a")
    order.lets_on("b")
    await asyncio.gather(*both)


async def test_what_is_closed_may_be_used_again(tmp_path: Path) -> None:
    """It opens the file anew."""
    queue = WriteQueue(tmp_path / "central.db")
    for _ in range(2):
        async with queue.served(contextlib.nullcontext("begun")) as begun:
            assert begun == "begun"
        queue.close()
        queue.close()
