"""Where a client is made, in which loops it is used, and what its end waits for."""

import ast
import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

import creditmeter.client
from creditmeter.client import SERVICE_CONFIG, Client, Unreachable
from creditmeter.client.stubs import Connection
from creditmeter.v1.account_pb2 import GetBalanceRequest
from creditmeter.v1.account_pb2_grpc import AccountServiceStub
from tests.client.conftest import ACCOUNT, CREDIT, QUICK
from tests.client.proxy import Proxy, Treatment

SOURCES = sorted(Path(creditmeter.client.__file__).parent.glob("*.py"))
LISTING = """
import sys
import grpc, grpc.aio, google.protobuf.json_format, google.rpc.error_details_pb2
before = set(sys.modules)
from creditmeter.client import *
print("\\n".join(set(sys.modules) - before))
"""


async def use(client: Client) -> int:
    """Hold and charge a credit. Returns what is left, in microcredits."""
    async with client.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
        await hold.commit(amount_microcredits=CREDIT)
    return (await client.balance(ACCOUNT)).available_microcredits


def test_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The given one, else that of the environment, else the sidecar's default."""
    monkeypatch.setenv("CREDITMETER_ADDRESS", "unix:/run/c.sock")
    assert Client("host:1").address == "host:1"
    assert Client().address == "unix:/run/c.sock"
    monkeypatch.setenv("CREDITMETER_ADDRESS", "")
    assert Client().address == "127.0.0.1:50151"


async def test_one_client_in_loops_one_after_the_other(address: str) -> None:
    """Made outside of any, as when a module is imported; neither loop has to close it."""

    def twice() -> list[int]:
        client = Client(address)
        return [asyncio.run(use(client)) for _ in range(2)]

    assert await asyncio.to_thread(twice) == [99 * CREDIT, 98 * CREDIT]


async def test_one_client_in_two_loops_at_once(address: str) -> None:
    """Each loop has a connection of its own."""
    client = Client(address)
    assert await use(client) == 99 * CREDIT
    assert await asyncio.to_thread(asyncio.run, use(client)) == 98 * CREDIT
    assert await use(client) == 97 * CREDIT
    await client.close()


async def test_a_closed_client_connects_again(address: str) -> None:
    """So a client that lives as long as its module may be closed with each program."""
    client = Client(address)
    for left in (99, 98):
        async with client:
            assert await use(client) == left * CREDIT


async def test_closing_waits_for_a_commit(meter: Client, proxy: Proxy) -> None:
    """Of a caller who was cancelled."""
    proxy.next("Commit", Treatment.KEEP_REPLY)
    hold = await meter.hold(ACCOUNT, amount_microcredits=CREDIT).__aenter__()
    commit = asyncio.create_task(hold.commit(amount_microcredits=CREDIT))
    await proxy.kept.get()
    commit.cancel()
    closing = asyncio.create_task(meter.close())
    await asyncio.sleep(0)
    assert not closing.done()
    proxy.go_on.set()
    await closing
    assert hold.reservation.charged_microcredits == CREDIT


async def test_a_loop_that_ends_cancels_no_commit(proxy: Proxy) -> None:
    """asyncio.run cancels every task at its end; a hold still comes to the end that its table says."""
    client, entered = Client(proxy.address, retry=QUICK), threading.Event()

    async def worker() -> None:
        async with client.hold(ACCOUNT, amount_microcredits=CREDIT) as hold:
            hold.dispatched()
            entered.set()
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(worker())
        while not entered.is_set():
            await asyncio.sleep(0.01)
        assert not task.done()

    proxy.next("Commit", Treatment.LOSE_REPLY)
    await asyncio.to_thread(asyncio.run, main())
    async with Client(proxy.address) as meter:
        balance = await meter.balance(ACCOUNT)
    assert (balance.held_microcredits, balance.available_microcredits) == (0, 99 * CREDIT)


async def test_a_loop_that_ends_while_it_is_committed(proxy: Proxy) -> None:
    """The task of the commit is cancelled, too, and sends it again before the loop is closed."""
    client = Client(proxy.address, retry=QUICK)
    proxy.next("Commit", Treatment.KEEP_REQUEST)

    async def worker() -> None:
        async with client.hold(ACCOUNT, amount_microcredits=5 * CREDIT) as hold:
            await hold.commit(amount_microcredits=CREDIT)

    async def main() -> None:
        task = asyncio.create_task(worker())
        while "Commit" not in proxy.calls:
            await asyncio.sleep(0.01)
        assert not task.done()

    await asyncio.to_thread(asyncio.run, main())
    assert proxy.calls.count("Commit") == 2
    async with Client(proxy.address) as meter:
        balance = await meter.balance(ACCOUNT)
    assert (balance.held_microcredits, balance.available_microcredits) == (0, 99 * CREDIT)


async def test_a_loop_that_ends_while_it_is_reserved(proxy: Proxy) -> None:
    """What may be held is released before the loop is closed."""
    client = Client(proxy.address, retry=QUICK)
    proxy.next("Reserve", Treatment.KEEP_REPLY)

    async def main() -> None:
        task = asyncio.create_task(client.hold(ACCOUNT, amount_microcredits=CREDIT).__aenter__())
        while "Reserve" not in proxy.calls:
            await asyncio.sleep(0.01)
        assert not task.done()

    await asyncio.to_thread(asyncio.run, main())
    async with Client(proxy.address) as meter:
        assert (await meter.balance(ACCOUNT)).held_microcredits == 0


async def test_nobody_at_the_address(data_dir: Path) -> None:
    """It is tried again for as long as `retry` says; then the error names the address."""
    async with Client(f"unix:{data_dir}/nobody.sock", retry=QUICK) as client:
        with pytest.raises(Unreachable, match=r"nobody\.sock"):
            await client.balance(ACCOUNT)


def test_it_imports_little() -> None:
    """The generated stubs, and beside grpcio, protobuf and googleapis-common-protos nothing but the standard library."""
    found = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True).stdout.split()
    own = {name.split(".")[1] for name in found if name.startswith("creditmeter.")}
    assert own == {"client", "v1"}
    others = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert others <= {"creditmeter", "google", "grpc"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_it_is_written_for_python_3_10(file: Path) -> None:
    """Its syntax, and none of the names that came later."""
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
    later = {"TaskGroup", "Runner", "timeout_at", "ExceptionGroup", "BaseExceptionGroup", "StrEnum", "UTC", "assert_never"}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert used.isdisjoint(later | {"add_note", "uncancel", "cancelling", "barrier", "Barrier"})


@pytest.mark.long
def test_its_types_are_right_for_python_3_10() -> None:
    """As mypy knows the standard library of that version."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", str(SOURCES[0].parent)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SOURCES[0].parents[3])
    assert checked.returncode == 0, checked.stdout


async def test_the_service_config(proxy: Proxy) -> None:
    """GRPC takes it, and repeats by it what is UNAVAILABLE, at most three times. The client's own calls are not repeated so."""
    request = GetBalanceRequest(account_id=ACCOUNT)
    options = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
    async with grpc.aio.insecure_channel(proxy.address, options=options) as channel, Connection(proxy.address) as plain:
        proxy.next("GetBalance", *[Treatment.LOSE_REPLY] * 3)
        reply = await AccountServiceStub(channel).GetBalance(request)
        assert (reply.available_microcredits, len(proxy.calls)) == (100 * CREDIT, 4)
        proxy.next("GetBalance", Treatment.LOSE_REPLY)
        with pytest.raises(grpc.aio.AioRpcError):
            await plain.account.GetBalance(request)
