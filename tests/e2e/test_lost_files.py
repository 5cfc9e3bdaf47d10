"""Files that are deleted, replaced or cut off: under a running sidecar, and while none runs.

Nothing is acknowledged that a restart would not find, and no sidecar begins anew where one was before.
"""

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from creditmeter.cli.exits import ExitCode
from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.server.health import METERING
from creditmeter.v1 import admin_pb2, metering_pb2
from tests.cli.processes import Ended, SidecarProcess, run_forked
from tests.e2e.fleet import balance, open_account, reserve

pytestmark = pytest.mark.long  # tests/journal, tests/central/engine and tests/server have the same without processes

NOTICED_WITHIN_SECONDS = 10
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
JOURNAL = ("journal.db", "journal.db-wal")
STORE = ("central.db", "central.db-wal")


@pytest.fixture
def sidecar(short_path: Path) -> Iterator[SidecarProcess]:
    """A running sidecar with an embedded central store."""
    process = SidecarProcess(short_path, "--enable-admin", shutdown_grace=2)
    process.start()
    yield process
    if process.is_running:
        process.kill()


async def begun(sidecar: SidecarProcess) -> Connection:
    """A client, and an account with a hold of 5 credits out of 50."""
    client = Connection(sidecar.address)
    await open_account(client, "alice", permanent=[50])
    await reserve(client, "kept", "alice", 5)
    return client


async def until(sidecar: SidecarProcess, status: int) -> None:
    """Return once health says so of the service that meters."""
    async with asyncio.timeout(NOTICED_WITHIN_SECONDS), grpc.aio.insecure_channel(sidecar.address) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=METERING))
        async for each in watched:
            if each.status == status:
                return


async def refusal(client: Connection, request_id: str) -> str:
    """The reason why a request that had to be stored was refused."""
    with pytest.raises(CreditmeterError) as refused:
        await reserve(client, request_id, "alice", 1)
    return str(refused.value.reason)


def lines_about(sidecar: SidecarProcess, event: str) -> list[str]:
    """The file of each line of the log with this event."""
    return [each["file"] for each in sidecar.log if each["event"] == event]


def replace(path: Path) -> None:
    """Put a copy in the place of a file."""
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def cut_off(path: Path) -> None:
    """Leave nothing in a file."""
    path.write_bytes(b"")


def start(sidecar: SidecarProcess, *options: str) -> Ended:
    """Try to start a sidecar on the directory."""
    return run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(sidecar.data_dir), *options)


@pytest.mark.parametrize("name", [*JOURNAL, "lock"])
@pytest.mark.parametrize("harm", [Path.unlink, replace])
async def test_a_journal_that_is_lost_acknowledges_nothing_more(
    sidecar: SidecarProcess, name: str, harm: Callable[[Path], None]
) -> None:
    """Not even the first request after it, long before it is looked for; health follows, and the log says it once."""
    async with await begun(sidecar) as client:
        harm(sidecar.data_dir / name)
        assert await refusal(client, "lost") == "STORAGE_UNAVAILABLE"
        await until(sidecar, NOT_SERVING)
        status = await call(client.admin.GetStatus, admin_pb2.GetStatusRequest())
        assert status.state == admin_pb2.SERVING_STATE_FILE_MISSING
        assert await refusal(client, "later") == "STORAGE_UNAVAILABLE"
    sidecar.stop()
    assert lines_about(sidecar, "a file is missing") == [str(sidecar.data_dir / name)]


@pytest.mark.parametrize("name", STORE)
@pytest.mark.parametrize("harm", [Path.unlink, replace])
async def test_a_store_that_is_lost_is_noticed(sidecar: SidecarProcess, name: str, harm: Callable[[Path], None]) -> None:
    """Within seconds nothing is acknowledged any more. What it was asked to write before is not believed either."""
    async with await begun(sidecar) as client:
        harm(sidecar.data_dir / name)
        with pytest.raises(CreditmeterError) as refused:
            await open_account(client, "bob")
        assert refused.value.reason in {"CENTRAL_UNAVAILABLE", "STORAGE_UNAVAILABLE"}
        await until(sidecar, NOT_SERVING)
        assert await refusal(client, "later") == "STORAGE_UNAVAILABLE"
    sidecar.stop()
    assert lines_about(sidecar, "a file is missing") == [str(sidecar.data_dir / name)]


@pytest.mark.parametrize("name", ["journal.db", "central.db"])
async def test_a_database_that_is_cut_off_is_noticed(sidecar: SidecarProcess, name: str) -> None:
    """It is still the same file, with nothing in it."""
    async with await begun(sidecar) as client:
        cut_off(sidecar.data_dir / name)
        await until(sidecar, NOT_SERVING)
        assert await refusal(client, "later") == "STORAGE_UNAVAILABLE"


@pytest.mark.parametrize("name", [*JOURNAL, *STORE])
async def test_a_file_that_is_moved_back(sidecar: SidecarProcess, name: str) -> None:
    """The sidecar goes on by itself, and knows what it acknowledged; after a restart too."""
    path, elsewhere = sidecar.data_dir / name, sidecar.data_dir / "elsewhere"
    async with await begun(sidecar) as client:
        path.rename(elsewhere)
        await until(sidecar, NOT_SERVING)
        elsewhere.rename(path)
        await until(sidecar, SERVING)
        await reserve(client, "more", "alice", 7)
    sidecar.kill()
    sidecar.start()
    async with Connection(sidecar.address) as client:
        assert (await balance(client, "alice")).held_microcredits == 12_000_000
    assert sidecar.stop() == ExitCode.OK


@pytest.mark.parametrize("harm", [Path.unlink, cut_off])
async def test_a_lost_journal_is_not_begun_anew(sidecar: SidecarProcess, harm: Callable[[Path], None]) -> None:
    """One line and the code for damage, until it is said that it is lost. Then a new sidecar starts, and as that again."""
    path, named = sidecar.data_dir / "journal.db", sidecar.data_dir / "sidecar-id"
    await (await begun(sidecar)).close()
    assert sidecar.stop() == ExitCode.OK
    harm(path)
    earlier = named.read_text().strip()
    for _ in range(2):
        ended = start(sidecar)
        assert ended.code == ExitCode.DAMAGED
        assert f"the journal {path} is missing or empty, but {named} names" in ended.complaint
        assert earlier in ended.complaint
        assert "--new-identity" in ended.complaint
    anew = SidecarProcess(sidecar.data_dir, "--enable-admin", "--new-identity")
    anew.start()
    async with Connection(anew.address) as client:
        await reserve(client, "kept", "alice", 5)
    assert anew.stop() == ExitCode.OK
    assert named.read_text().strip() not in ("", earlier)
    sidecar.start()
    assert sidecar.stop() == ExitCode.OK


async def test_a_lost_journal_whose_log_is_there(sidecar: SidecarProcess) -> None:
    """SQLite would throw the log away. It is what may still be saved, so it stays until somebody says that it is lost."""
    await (await begun(sidecar)).close()
    sidecar.kill()
    path, log = sidecar.data_dir / "journal.db", sidecar.data_dir / "journal.db-wal"
    before = log.read_bytes()
    path.unlink()
    ended = start(sidecar)
    assert ended.code == ExitCode.DAMAGED
    assert f"changes to it are in {log}" in ended.complaint
    assert log.read_bytes() == before
    assert not path.exists()
    anew = SidecarProcess(sidecar.data_dir, "--enable-admin", "--new-identity")
    anew.start()
    async with Connection(anew.address) as client:
        await reserve(client, "kept", "alice", 1)  # not a replay of what is in the log
    assert anew.stop() == ExitCode.OK


async def test_a_log_that_is_lost_after_a_crash_is_told(sidecar: SidecarProcess) -> None:
    """The journal by itself is whole and older. Once the note beside it is removed it is fenced: it lacks the last epoch."""
    assert sidecar.stop() == ExitCode.OK
    sidecar.start()
    await (await begun(sidecar)).close()
    sidecar.kill()
    (sidecar.data_dir / "journal.db-wal").unlink()
    for _ in range(2):
        ended = start(sidecar)
        assert ended.code == ExitCode.DAMAGED
        assert "was not closed" in ended.complaint
        assert str(sidecar.data_dir / "journal.db-wal") in ended.complaint
    (sidecar.data_dir / "journal.db-open").unlink()
    assert start(sidecar).code == ExitCode.FENCED


def halve(path: Path) -> None:
    """Leave the first half of the frames of a log that count: those with the header's salts. Behind them may be room."""
    log, count = path.read_bytes(), 0
    frame = 24 + int.from_bytes(log[8:12], "big")
    while log[32 + count * frame :][8:16] == log[16:24]:
        count += 1
    os.truncate(path, 32 + count // 2 * frame)


@pytest.mark.parametrize("harm", [cut_off, halve])
async def test_a_log_that_is_cut_off_after_a_crash_is_told(sidecar: SidecarProcess, harm: Callable[[Path], None]) -> None:
    """SQLite takes what is left of it, without a word."""
    assert sidecar.stop() == ExitCode.OK
    sidecar.start()
    log, note = sidecar.data_dir / "journal.db-wal", sidecar.data_dir / "journal.db-open"
    before = int(note.read_text())
    async with await begun(sidecar) as client, asyncio.timeout(NOTICED_WITHIN_SECONDS):
        for number in range(12):  # so few that nothing is copied from the log into the journal
            await call(client.metering.Charge, charge_of(f"c{number}"))
        while int(note.read_text()) <= before + 10:
            await asyncio.sleep(0.01)
    sidecar.kill()
    harm(log)
    ended = start(sidecar)
    assert ended.code == ExitCode.DAMAGED
    assert "ends with record" in ended.complaint


def charge_of(request_id: str) -> metering_pb2.ChargeRequest:
    """A charge of a microcredit."""
    return metering_pb2.ChargeRequest(request_id=request_id, account_id="alice", amount_microcredits=1)


async def test_a_log_that_another_program_brought_into_the_journal(sidecar: SidecarProcess) -> None:
    """SQLite's own shell does after a crash. Nothing is lost, and a person has to say so."""
    await (await begun(sidecar)).close()
    sidecar.kill()
    with contextlib.closing(sqlite3.connect(sidecar.data_dir / "journal.db")) as connection:
        connection.execute("SELECT * FROM records").fetchall()
    assert not (sidecar.data_dir / "journal.db-wal").exists()
    assert "remove" in start(sidecar).complaint
    (sidecar.data_dir / "journal.db-open").unlink()
    sidecar.start()
    async with Connection(sidecar.address) as client:
        assert (await balance(client, "alice")).held_microcredits == 5_000_000
    assert sidecar.stop() == ExitCode.OK


async def test_a_journal_that_is_all_in_its_log(sidecar: SidecarProcess) -> None:
    """As a first start leaves it: without the log nothing is there, and that is told as well."""
    await (await begun(sidecar)).close()
    sidecar.kill()
    (sidecar.data_dir / "journal.db-wal").unlink()
    ended = start(sidecar)
    assert ended.code == ExitCode.DAMAGED
    assert f"is in {sidecar.data_dir / 'journal.db-wal'}, which is missing too" in ended.complaint


async def test_a_log_that_was_lost_under_a_sidecar_that_stops_in_order(sidecar: SidecarProcess) -> None:
    """The process still has it open and brings it into the journal: nothing acknowledged is lost."""
    async with await begun(sidecar) as client:
        (sidecar.data_dir / "journal.db-wal").unlink()
        await until(sidecar, NOT_SERVING)
        assert await refusal(client, "lost") == "STORAGE_UNAVAILABLE"
    sidecar.stop()
    sidecar.start()
    async with Connection(sidecar.address) as client:
        assert (await balance(client, "alice")).held_microcredits == 5_000_000
        await reserve(client, "lost", "alice", 1)
    assert sidecar.stop() == ExitCode.OK
