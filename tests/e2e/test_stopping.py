"""How a sidecar's process ends, and what it leaves behind."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection, CreditmeterError, Retry, call
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2
from tests.cases import more
from tests.cli.processes import COMMAND, SidecarProcess, environment, run_forked
from tests.cli.terminal import Terminal
from tests.postgres import PostgresServer

CREDIT = 1_000_000
DRAINING = admin_pb2.SERVING_STATE_DRAINING


async def open_account(client: Connection, credits: int) -> None:
    """An account with permanent credits."""
    account = admin_pb2.Account(account_id="alice")
    await call(client.admin.CreateAccount, admin_pb2.CreateAccountRequest(request_id="create", account=account))
    grant = admin_pb2.GrantCreditsRequest(request_id="grant", account_id="alice", amount_microcredits=credits * CREDIT)
    await call(client.admin.GrantCredits, grant)


def charge(request_id: str, credits: int) -> metering_pb2.ChargeRequest:
    """A charge of so many credits."""
    return metering_pb2.ChargeRequest(request_id=request_id, account_id="alice", amount_microcredits=credits * CREDIT)


async def balance(client: Connection) -> account_pb2.GetBalanceResponse:
    """How the account stands."""
    return await call(client.account.GetBalance, account_pb2.GetBalanceRequest(account_id="alice"))


@pytest.mark.parametrize("number", [signal.SIGTERM, *more(signal.SIGINT, signal.SIGHUP)])
async def test_told_to_stop_it_settles_and_gives_everything_back(short_path: Path, number: signal.Signals) -> None:
    """Exit code 0; nothing is out on leases, and the charge is in the store."""
    sidecar = SidecarProcess(short_path, "--enable-admin")
    sidecar.start()
    async with Connection(sidecar.address) as client:
        await open_account(client, 50)
        await call(client.metering.Charge, charge("c", 7))
    assert sidecar._end(number) == 0
    begun, ended = sidecar.log[-2:]
    assert (begun["event"], begun["reason"]) == ("stopping", number.name)
    assert (ended["event"], ended["reason"], ended["exit_code"]) == ("stopped", number.name, 0)
    assert ended["left"] == {"holds": 0, "charges": 0, "refunds": 0, "metered_calls": 0}
    sidecar.start()
    try:
        async with Connection(sidecar.address) as client:
            found = await balance(client)
        assert (found.available_microcredits, found.leased_microcredits) == (43 * CREDIT, 0)
    finally:
        sidecar.stop()
    assert run_forked("verify", "--central", sidecar.central).code == 0


async def test_its_interpreter_ends_without_a_word(short_path: Path) -> None:
    """As an executable, not forked as the sidecars of other tests are: what ends with an interpreter ends here."""
    command = [*COMMAND, "serve", "--enable-admin", "--listen", "127.0.0.1:0", "--data-dir", str(short_path)]
    with (short_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment())  # noqa: ASYNC220 - it is waited for below
    with process:
        assert process.stdout is not None
        assert process.stdout.readline()
        async with Connection(f"unix:{short_path / 'creditmeter.sock'}") as client:
            await open_account(client, 50)
            await call(client.metering.Charge, charge("c", 7))
        process.terminate()
        assert process.wait(30) == 0
    assert json.loads((short_path / "log").read_text().splitlines()[-1])["event"] == "stopped"


@contextmanager
def serving_on_a_terminal(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Terminal]]:
    """A sidecar whose output is a terminal, once it is ready."""
    terminal = Terminal(200)
    device = os.open(terminal.name, os.O_RDWR | os.O_NOCTTY)
    command = [*COMMAND, "serve", "--enable-admin", "--listen", "127.0.0.1:0", "--data-dir", str(folder)]
    with subprocess.Popen(
        command, stdin=device, stdout=device, stderr=device, env=environment(), start_new_session=True
    ) as process:
        os.close(device)
        shown = b""
        while b'"event": "ready"' not in shown:
            shown += terminal.read()
        yield process, terminal


async def test_a_terminal_that_is_closed(short_path: Path) -> None:
    """Nothing can be logged any more; charges are settled all the same, and the exit code says so."""
    with serving_on_a_terminal(short_path) as (process, terminal):
        async with Connection(f"unix:{short_path}/creditmeter.sock") as client:
            await open_account(client, 50)
            await call(client.metering.Charge, charge("c", 7))
        terminal.close()
        process.send_signal(signal.SIGHUP)  # the kernel does, where it is the controlling terminal
        assert await asyncio.to_thread(process.wait, 60) == 0
    verified = run_forked("verify", "--data-dir", str(short_path), "--json")
    assert (verified.code, json.loads(verified.out)["entries"]) == (0, 2)


def test_under_nohup_it_outlives_its_terminal(short_path: Path) -> None:
    """As `nohup` does: the signal is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    command = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(short_path)]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(log.splitlines()[-1])["reason"] == "SIGTERM"


async def test_while_it_stops_it_takes_what_has_been(short_path: Path) -> None:
    """After SIGTERM, as long as a hold is open: a commit, and a charge that was already incurred. New work is refused.
    Asked how it is, it says that it stops.
    """
    sidecar = SidecarProcess(short_path, "--enable-admin", shutdown_grace=60)
    sidecar.start()
    async with Connection(sidecar.address) as client:
        await open_account(client, 50)
        hold = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=5 * CREDIT)
        held = (await call(client.metering.Reserve, hold)).reservation
        sidecar.tell_to_stop()
        while (status := await call(client.admin.GetStatus, admin_pb2.GetStatusRequest())).state != DRAINING:
            pass
        assert (status.open_reservation_count, status.held_microcredits) == (1, 5 * CREDIT)
        with pytest.raises(CreditmeterError, match="SHUTTING_DOWN"):
            await call(client.metering.Charge, charge("new", 1), Retry(total=0))
        fact = charge("fact", 7)
        fact.already_incurred = True
        assert (await call(client.metering.Charge, fact)).charge.cost_microcredits == 7 * CREDIT
        done = metering_pb2.CommitRequest(request_id="c", reservation_id=held.reservation_id, amount_microcredits=3 * CREDIT)
        await call(client.metering.Commit, done)
    assert sidecar.wait() == 0
    assert run_forked("verify", "--central", sidecar.central).code == 0
    sidecar.start()
    try:
        async with Connection(sidecar.address) as client:
            assert (await balance(client)).available_microcredits == 40 * CREDIT
    finally:
        sidecar.stop()


async def test_killed_it_has_forgotten_nothing_that_it_acknowledged(short_path: Path) -> None:
    """Whatever was answered before kill -9 is there, once; what was not answered is answered on repetition."""
    sidecar = SidecarProcess(short_path, "--enable-admin")
    sidecar.start()
    acknowledged: dict[str, str] = {}
    async with Connection(sidecar.address) as client:
        await open_account(client, 1_000)

        async def burn(worker: int) -> None:
            for number in range(1_000):
                name = f"{worker}-{number}"
                acknowledged[name] = (await client.metering.Charge(charge(name, 1))).charge.charge_id
                if len(acknowledged) == 200:
                    sidecar.kill()

        await asyncio.gather(*(burn(worker) for worker in range(8)), return_exceptions=True)
    assert len(acknowledged) >= 200
    sidecar.start()
    try:
        async with Connection(sidecar.address) as client:
            for name, charge_id in acknowledged.items():
                again = await call(client.metering.Charge, charge(name, 1))
                assert (again.charge.charge_id, again.replayed) == (charge_id, True)
    finally:
        assert sidecar.stop() == 0
    assert run_forked("verify", "--central", sidecar.central).code == 0


@pytest.mark.long
async def test_stopped_without_its_central_store_it_says_that_charges_wait(
    short_path: Path, postgres_server: PostgresServer
) -> None:
    """Exit code 3. It starts again without the store, commits, refuses new credit, and settles when the store is back."""
    url = postgres_server.create_database()
    sidecar = SidecarProcess(short_path, "--enable-admin", "--central", url)
    sidecar.start()
    async with Connection(sidecar.address) as client:
        await open_account(client, 50)
        await call(client.metering.Charge, charge("first", 1))
        hold = metering_pb2.ReserveRequest(request_id="r", account_id="alice", amount_microcredits=2 * CREDIT)
        held = (await call(client.metering.Reserve, hold)).reservation
        postgres_server.stop()
        await call(client.metering.Charge, charge("second", 1))
    try:
        assert sidecar.stop() == 3
        stopped = sidecar.log[-1]
        assert (stopped["reason"], stopped["exit_code"]) == ("SIGTERM", 3)
        assert (stopped["left"]["holds"], stopped["left"]["refunds"]) == (1, 0)
        assert stopped["left"]["charges"] in {1, 2}  # the first one may have been posted in time
        assert list(stopped["seconds"]) == ["holds", "calls", "settling", "deliveries", "closing"]
        assert stopped["seconds"]["holds"] >= 4.9  # half of the grace was for the hold, which nobody ended
        assert stopped["seconds"]["settling"] > 0
        sidecar.start()
        async with Connection(sidecar.address) as client:
            done = metering_pb2.CommitRequest(
                request_id="c", reservation_id=held.reservation_id, amount_microcredits=2 * CREDIT
            )
            await call(client.metering.Commit, done)
            with pytest.raises(CreditmeterError, match="CENTRAL_UNAVAILABLE"):
                await call(client.metering.Charge, charge("third", 1), Retry(total=0))
    finally:
        postgres_server.start()
    async with Connection(sidecar.address) as client:
        assert (await balance(client)).available_microcredits == 46 * CREDIT
    assert sidecar.stop() == 0
    assert run_forked("verify", "--central", url).code == 0


def test_two_processes_on_one_directory(short_path: Path) -> None:
    """The second says so and exits."""
    sidecar = SidecarProcess(short_path)
    sidecar.start()
    try:
        second = run_forked("serve", "--data-dir", str(short_path), "--listen", "127.0.0.1:0")
        assert second.code == 4
        assert "another sidecar runs" in second.complaint
    finally:
        assert sidecar.stop() == 0
