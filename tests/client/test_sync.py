"""The client that blocks: the same one, from threads and from programs without a loop."""

import asyncio
import inspect
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from creditmeter.client import (
    AccountNotFound,
    Charge,
    Client,
    HistoryType,
    Hold,
    InsufficientCredits,
    ReservationState,
    SyncClient,
    SyncHold,
)
from tests.client.conftest import ACCOUNT, CREDIT, QUICK
from tests.client.proxy import Proxy, Treatment

REPOSITORY = Path(__file__).parents[2]

PROGRAM = """
import sys
from creditmeter.client import SyncClient

def tell(work):
    try:
        return work()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise

meter = SyncClient(sys.argv[1])
hold = meter.hold("acme", model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000)
tell(hold.__enter__)
try:
    tell(lambda: {block})
except BaseException:
    hold.__exit__(*sys.exc_info())
    raise
hold.__exit__(None, None, None)
"""
"""A program that neither closes its client nor knows of signals, with its block written out, so that it tells when it is
interrupted.
"""


async def blocking(work: Callable[[], Any]) -> Any:
    """What is done in a thread, while the sidecar runs in this one."""
    return await asyncio.to_thread(work)


def test_it_is_what_is_generated() -> None:
    """A change of the asynchronous client is a change of this one: scripts/generate-sync-client."""
    command = [str(REPOSITORY / "scripts" / "generate-sync-client"), "--check"]
    environment = {"PYTHON": sys.executable, "PATH": "/bin:/usr/bin"}
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("asynchronous", "blocking_one"), [(Client, SyncClient), (Hold, SyncHold)])
def test_both_have_the_same_methods(asynchronous: type, blocking_one: type) -> None:
    """With the same names, defaults and results."""

    def methods(of: type) -> dict[str, Any]:
        return {name: inspect.unwrap(each) for name, each in vars(of).items() if inspect.isfunction(each) and name[0] != "_"}

    ours, theirs = methods(blocking_one), methods(asynchronous)
    assert ours.keys() == theirs.keys()
    for name, method in theirs.items():
        expected = str(inspect.signature(method)).replace("collections.abc.Async", "collections.abc.")
        expected = expected.replace("creditmeter.client.hold.Hold", "creditmeter.client.sync.SyncHold")
        assert str(inspect.signature(ours[name])) == expected


async def test_the_main_job(proxy: Proxy) -> None:
    """Hold, extend, report, commit, and read what became of it."""

    def work() -> None:
        with SyncClient(proxy.address) as meter:
            with meter.hold(ACCOUNT, model="gpt-4o", input_tokens=10_000, max_output_tokens=2_000) as hold:
                assert hold.extend(max_output_tokens=4_000).held_microcredits == 7 * CREDIT
                hold.dispatched()
                hold.report(input_tokens=10_000, output_tokens=100)
                charge = hold.commit()
            assert hold.reservation.state is ReservationState.COMMITTED
            assert meter.settled(charge.charge_id).covered_microcredits == 3 * CREDIT
            assert [each.charge_id for each in meter.history(ACCOUNT, types=[HistoryType.CHARGED])] == [charge.charge_id]
            assert next(meter.history(ACCOUNT)).charge_id == charge.charge_id
            assert meter.refund(charge.charge_id).amount_microcredits == 3 * CREDIT
            assert meter.quote(action="tool", tool="web_search").max_microcredits == CREDIT
            meter.charge(ACCOUNT, amount_microcredits=CREDIT)
            with meter.hold(ACCOUNT, amount_microcredits=CREDIT) as other:
                other.release("not needed")
            assert meter.balance(ACCOUNT).available_microcredits == 99 * CREDIT

    await blocking(work)


async def test_errors_and_endings(proxy: Proxy) -> None:
    """Are those of the asynchronous client."""

    def work() -> None:
        with SyncClient(proxy.address, retry=QUICK) as meter:
            with pytest.raises(InsufficientCredits), meter.hold(ACCOUNT, amount_microcredits=101 * CREDIT):
                raise AssertionError
            with pytest.raises(AccountNotFound):
                list(meter.history("nobody"))
            with pytest.raises(ZeroDivisionError), meter.hold(ACCOUNT, amount_microcredits=CREDIT):
                _ = 1 / 0
            assert meter.balance(ACCOUNT).available_microcredits == 100 * CREDIT

    await blocking(work)


async def test_many_threads(address: str) -> None:
    """Share one client, and one thread that it has of its own. After it is closed it begins again."""
    meter = SyncClient(address)

    def work(_: int) -> int:
        with meter.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
            return hold.commit(amount_microcredits=CREDIT).cost_microcredits

    def all_of_them() -> list[int]:
        with ThreadPoolExecutor(8) as threads, meter:
            return list(threads.map(work, range(40)))

    assert await blocking(all_of_them) == [CREDIT] * 40
    balance = await blocking(lambda: meter.balance(ACCOUNT))
    assert (balance.held_microcredits, balance.available_microcredits) == (0, 60 * CREDIT)
    await blocking(meter.close)
    await blocking(meter.close)


async def test_a_hold_is_interrupted_as_it_is_entered(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the very moment in which it is held: it is released."""

    def work() -> None:
        meter = SyncClient(address)
        hold, run = meter.hold(ACCOUNT, amount_microcredits=CREDIT), meter._thread.run

        def interrupted(work: Any) -> None:
            run(work)
            raise KeyboardInterrupt

        monkeypatch.setattr(meter._thread, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hold.__enter__()
        monkeypatch.undo()
        meter.close()
        assert meter.balance(ACCOUNT).held_microcredits == 0
        meter.close()

    await blocking(work)


async def test_a_hold_that_is_entered_twice(address: str) -> None:
    """The second time is refused, and the hold in use stays as it is."""

    def work() -> None:
        with SyncClient(address) as meter, meter.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
            with pytest.raises(RuntimeError, match="entered once"):
                hold.__enter__()
            hold.commit(amount_microcredits=CREDIT)

    await blocking(work)


async def interrupt(proxy: Proxy, block: str) -> None:
    """Run a program with this block, interrupt it where the proxy keeps a message, and let that go on."""
    command = [sys.executable, "-c", PROGRAM.format(block=block), proxy.address]
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    program = await asyncio.create_subprocess_exec(*command, **pipes)  # type: ignore[arg-type]  # the pipes
    assert program.stdout is not None
    assert program.stderr is not None
    await proxy.kept.get()
    program.send_signal(signal.SIGINT)
    assert await program.stdout.readline() == b"interrupted\n"
    proxy.go_on.set()
    written = (await program.stderr.read()).decode()
    assert await program.wait() == -signal.SIGINT
    assert written.rstrip().endswith("KeyboardInterrupt")
    assert "never" not in written


@pytest.mark.parametrize(
    ("method", "block", "left"),
    [
        ("Reserve", "None", 100),
        ("Commit", "hold.commit(input_tokens=10_000, output_tokens=100)", 97),
        ("GetBalance", "meter.balance('acme')", 100),
        ("GetBalance", "[hold.dispatched(), meter.balance('acme')]", 97),
        ("GetBalance", "[hold.report(input_tokens=10_000, output_tokens=1_000), meter.balance('acme')]", 96),
    ],
    ids=["reserved", "committed", "before dispatch", "dispatched", "reported"],
)
async def test_a_program_that_is_interrupted(proxy: Proxy, method: str, block: str, left: int) -> None:
    """It leaves no hold behind, and what the table says is charged, before the process ends."""
    proxy.next(method, Treatment.KEEP_REPLY)
    await interrupt(proxy, block)
    async with Client(proxy.address) as meter:
        balance = await meter.balance(ACCOUNT)
    assert (balance.held_microcredits, balance.available_microcredits) == (0, left * CREDIT)


async def test_a_program_that_just_ends(address: str) -> None:
    """It need not close its client, and writes nothing."""
    block = "print(hold.commit(input_tokens=1, output_tokens=1).cost_microcredits)"
    command = [sys.executable, "-W", "error", "-c", PROGRAM.format(block=block), address]
    ended = await blocking(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{CREDIT}\n", "")


async def test_a_stream_that_blocks(proxy: Proxy) -> None:
    """Its chunks come on the caller's thread; it is charged as it would be in a loop."""

    def work() -> tuple[list[object], Charge | None, bool]:
        def chunks() -> Iterator[object]:
            yield {"type": "message_start", "message": {"usage": {"input_tokens": 900, "output_tokens": 1}}}
            yield {"type": "message_delta", "usage": {"output_tokens": 190}}

        provider = chunks()
        with SyncClient(proxy.address, retry=QUICK) as meter:
            terms: Any = {"model": "claude-sonnet-4-5", "input_tokens": 1_000, "max_output_tokens": 2_000, "metered": True}
            with meter.hold(ACCOUNT, **terms) as hold:
                found = list(hold.stream(provider))
            return found, hold.charge, inspect.getgeneratorstate(provider) == inspect.GEN_CLOSED  # type: ignore[arg-type]  # it is one

    found, charge, was_closed = await asyncio.to_thread(work)
    assert len(found) == 2
    assert was_closed
    assert charge is not None
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (900, 190)
    assert proxy.calls.count("Meter") == 1
