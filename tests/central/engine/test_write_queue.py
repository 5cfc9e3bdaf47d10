"""The queue of those who want to write one SQLite file: whoever has waited longest is the next.

Two queues of this process are as two processes: each has the file open on its own.

| what happens | who is the next |
| --- | --- |
| several wait, and one that had its turn wants another | in the order in which they came |
| one that waits goes away | the one behind it |
| the process that is the next is killed, or its event loop ends | the one behind it |
| the beginning fails | the one behind it |
| the process that is the next is stopped | after a while anyone, as if there was no queue; then those who wait |
| the file beside the database cannot be made or locked | anyone, as if there was no queue |
| root comes first, to a store of another user | the one behind it: that user may open the file |
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from creditmeter.central.engine.write_queue import WriteQueue
from tests.privileges import A_GROUP, IS_ROOT

_TURNS = 2_000
_HOLDS = "import fcntl, sys; fcntl.flock(f := open(sys.argv[1]), fcntl.LOCK_EX); print('has it', flush=True); sys.stdin.read()"


class Order:
    """Transactions, and the order in which they began. Each beginning takes until it is let go on."""

    def __init__(self, path: Path) -> None:
        self.begun: list[str] = []
        self.patience_seconds = 60.0
        self._path = path
        self._queues: dict[str, WriteQueue] = {}
        self._goes_on: dict[str, asyncio.Event] = {}

    def waits(self, name: str, fault: Exception | None = None) -> asyncio.Task[None]:
        """Have a process begin a transaction, or try to; the same name is the same process."""
        queue = self._queues.setdefault(name, WriteQueue(self._path, self.patience_seconds))
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


@contextlib.contextmanager
def held(tmp_path: Path) -> Iterator[None]:
    """Somebody is the next, and does nothing: it was stopped."""
    with (tmp_path / "central.db-queue").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def test_a_process_that_was_stopped(order: Order, tmp_path: Path) -> None:
    """Others begin without the queue after a while. Once it goes on, the place is one's who waits then, or is given on."""
    order.patience_seconds = 0.1
    with held(tmp_path):
        first = order.waits("a")
        await order.has_begun("a")
        order.lets_on("a")
        await first
        again = order.waits("a")
        assert await asyncio.to_thread(order.waiting) == 1, "the thread that waits is the same"
        await order.has_begun("a", "a")
        order.lets_on("a")
        await again
    await order.has_in_queue(0)
    last = order.waits("b")
    await order.has_begun("a", "a", "b")
    order.lets_on("b")
    await last


async def test_a_later_transaction_takes_the_place_of_one_that_waited(order: Order, tmp_path: Path) -> None:
    """The thread waited for the first, which has begun without it."""
    order.patience_seconds = 0.1
    with held(tmp_path):
        first = order.waits("a")
        await order.has_begun("a")
        order.lets_on("a")
        await first
        order._queues["a"]._longest_seconds = 60.0
        second = order.waits("a")
        await asyncio.sleep(0)
        assert order.begun == ["a"]
    await order.has_begun("a", "a")
    third = order.waits("b")
    await order.has_in_queue(1)
    order.lets_on("a")
    await order.has_begun("a", "a", "b")
    order.lets_on("b")
    await asyncio.gather(second, third)


@pytest.mark.parametrize("blocks", [False, True])
async def test_a_file_that_cannot_be_locked(order: Order, monkeypatch: pytest.MonkeyPatch, blocks: bool) -> None:
    """The file system has no such locks, at once or where one would wait."""

    def flock(_file: int, how: int) -> None:
        raise BlockingIOError if blocks and how & fcntl.LOCK_NB else OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    for times in (1, 2):
        begun = order.waits("a")
        await order.has_begun(*"a" * times)
        order.lets_on("a")
        await begun


async def test_a_queue_that_is_closed_while_it_waits(order: Order, tmp_path: Path) -> None:
    """The thread gives the place on, and the file is closed."""
    with held(tmp_path):
        gone = order.waits("a")
        await order.has_in_queue(1)
        gone.cancel()
        await asyncio.wait([gone])
        order._queues["a"].close()
    await order.has_in_queue(0)
    last = order.waits("b")
    await order.has_begun("b")
    order.lets_on("b")
    await last
    await order.until(lambda: _open_files(tmp_path) == 1)


def _open_files(directory: Path) -> int:
    """How many files of queues this process has open there."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed just now
            target = each.readlink()
            count += target.parent == directory and target.name.endswith("-queue")
    return count


async def test_what_is_closed_may_be_used_again(tmp_path: Path) -> None:
    """It opens the file anew."""
    queue = WriteQueue(tmp_path / "central.db", 60.0)
    for _ in range(2):
        async with queue.served(contextlib.nullcontext("begun")) as begun:
            assert begun == "begun"
        queue.close()
        queue.close()


async def test_root_comes_first(tmp_path: Path) -> None:
    """What it makes belongs to the owner of the store, as what SQLite makes beside it does."""
    store = tmp_path / "central.db"
    store.touch()
    if IS_ROOT:
        os.chown(store, pwd.getpwnam("nobody").pw_uid, A_GROUP)
    queue = WriteQueue(store, 60.0)
    async with queue.served(contextlib.nullcontext()):
        made, beside = store.stat(), store.with_name("central.db-queue").stat()
    queue.close()
    assert (beside.st_uid, beside.st_gid) == (made.st_uid, made.st_gid)
