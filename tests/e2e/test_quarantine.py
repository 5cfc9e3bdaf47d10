"""A journal that was damaged while its sidecar was down, as its operator and its callers see it."""

import contextlib
import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.cli.exits import ExitCode
from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.v1 import account_pb2, admin_pb2
from tests.cli.processes import Ended, SidecarProcess, run_forked
from tests.e2e.fleet import balance, open_account, reserve
from tests.sidecar.damaged import flip_a_bit

pytestmark = pytest.mark.long  # tests/sidecar/test_quarantine.py has the same without processes

ACCOUNTS = ("alice", "bob", "carol")
SEEDS = range(12)
LIVE = "seq > (SELECT image_seq FROM identity)"
CREDIT = 1_000_000


@pytest.fixture
def sidecar(short_path: Path) -> Iterator[SidecarProcess]:
    """A sidecar with an embedded central store; it runs."""
    process = SidecarProcess(short_path, "--enable-admin", shutdown_grace=0.5)
    process.start()
    yield process
    if process.is_running:
        process.kill()


async def held_by_each(sidecar: SidecarProcess) -> None:
    """Have each account hold 5 of its 50 credits, and stop the sidecar."""
    async with Connection(sidecar.address) as client:
        for each in ACCOUNTS:
            await open_account(client, each, permanent=[50])
            await reserve(client, "kept", each, 5)
    sidecar.stop()


def harm(sidecar: SidecarProcess, change: str) -> None:
    """Change what the journal has of alice and could still change. It is in the image if there is one by now."""
    with contextlib.closing(sqlite3.connect(sidecar.data_dir / "journal.db")) as connection, connection:
        parts = connection.execute(f"UPDATE image SET {change} WHERE account_id = 'alice'").rowcount
        records = connection.execute(f"UPDATE records SET {change} WHERE {LIVE} AND account_id = 'alice'").rowcount
        assert parts + records


async def told(sidecar: SidecarProcess) -> dict[str, account_pb2.GetBalanceResponse | str]:
    """The balance of each account, or why it is not told. Whoever is told of has its hold."""
    found: dict[str, account_pb2.GetBalanceResponse | str] = {}
    async with Connection(sidecar.address) as client:
        for each in ACCOUNTS:
            try:
                found[each] = await balance(client, each)
                await reserve(client, "kept", each, 5)  # the first reply again
            except CreditmeterError as refused:
                found[each] = str(refused.reason)
    return found


def check(sidecar: SidecarProcess, *options: str) -> Ended:
    """Check the journal."""
    return run_forked("journal", "check", "--data-dir", str(sidecar.data_dir), *options, COLUMNS="80", TZ="UTC")


def accept(sidecar: SidecarProcess, *options: str) -> Ended:
    """Accept the loss of what alice has in it."""
    return run_forked("journal", "accept-loss", "alice", "--data-dir", str(sidecar.data_dir), *options)


async def test_one_account_stops_and_the_others_go_on(sidecar: SidecarProcess) -> None:
    """Callers, status, log, exit code and the check tell of it; accepting the loss ends it, while no sidecar runs."""
    await held_by_each(sidecar)
    clean = check(sidecar)
    assert (clean.code, clean.out.rpartition(": ")[2]) == (ExitCode.OK, "clean\n")
    harm(sidecar, "checksum = checksum + 1")
    sidecar.start()
    found = await told(sidecar)
    assert found.pop("alice") == "STORAGE_DAMAGED"
    assert all(
        isinstance(each, account_pb2.GetBalanceResponse) and each.held_microcredits == 5 * CREDIT for each in found.values()
    )
    async with Connection(sidecar.address) as client:
        status = await call(client.admin.GetStatus, admin_pb2.GetStatusRequest())
    assert (status.quarantined_account_count, list(status.quarantined_account_ids)) == (1, ["alice"])
    shown = run_forked("status", "--address", sidecar.address)
    assert "in quarantine" in shown.out
    checked = check(sidecar)
    assert checked.code == ExitCode.DAMAGED
    assert "A sidecar runs on this journal" in checked.out
    assert "account alice: in quarantine" in checked.out
    assert max(map(len, checked.out.splitlines())) <= 80
    assert "another sidecar runs on" in accept(sidecar, "--yes").complaint
    assert sidecar.stop() == ExitCode.UNSETTLED
    assert [each["account_id"] for each in sidecar.log if each["event"] == "an account is in quarantine"] == ["alice"]
    assert "--yes" in accept(sidecar).complaint
    accepted = accept(sidecar, "--yes")
    assert (accepted.code, accepted.err) == (ExitCode.OK, "")
    assert accepted.out.startswith("alice is out of quarantine")
    assert "is not in quarantine" in accept(sidecar, "--yes").complaint
    assert check(sidecar).code == ExitCode.OK
    sidecar.start()
    async with Connection(sidecar.address) as client:
        await reserve(client, "new", "alice", 5)
        await reserve(client, "new", "bob", 5)


async def test_a_check_says_what_the_central_store_knows(sidecar: SidecarProcess) -> None:
    """Its leases and charges for this sidecar; without a store the journal is checked all the same."""
    await held_by_each(sidecar)
    harm(sidecar, "body = x'ff' || body")
    checked = check(sidecar, "--json")
    assert checked.err == ""
    document = json.loads(checked.out)
    assert (document["clean"], document["running"], document["problems"]) == (False, False, [])
    assert {each["account_id"] for each in document["damaged"]} == {"alice"}
    (account,) = document["quarantine"]
    assert account["account_id"] == "alice"
    (lease,) = account["central"]["leases"]
    assert lease["limit_microcredits"] >= 5 * CREDIT
    away = json.loads(check(sidecar, "--json", "--central", f"sqlite:///{sidecar.data_dir}/no.db").out)
    assert "there is no central store" in away["quarantine"][0]["central"]["problem"]
    assert not list(sidecar.data_dir.glob("no.db*"))


def test_a_check_of_what_is_no_journal(tmp_path: Path) -> None:
    """One line."""
    assert "there is no journal at" in run_forked("journal", "check", "--data-dir", str(tmp_path)).complaint
    assert "there is no journal at" in run_forked("journal", "accept-loss", "a", "--data-dir", str(tmp_path)).complaint
    (tmp_path / "journal.db").write_bytes(b"Dear diary " * 1_000)
    ended = run_forked("journal", "check", "--data-dir", str(tmp_path))
    assert ended.code == ExitCode.DAMAGED
    assert "cannot be read: file is not a database" in ended.complaint


async def test_a_start_that_is_refused_names_the_check(sidecar: SidecarProcess) -> None:
    """One line and code 5; the check says the same of it."""
    await held_by_each(sidecar)
    harm(sidecar, "account_id = 'bob'")
    ended = refused(sidecar)
    assert "`creditmeter journal check` says more" in ended.complaint
    checked = check(sidecar)
    assert checked.code == ExitCode.DAMAGED
    assert "a start is refused" in " ".join(checked.out.split())


async def test_flipped_bits_and_real_starts(sidecar: SidecarProcess) -> None:
    """Right, refused with one line and code 5, or in quarantine; never silently different. Where a row does not say whose it
    is, a call is refused, and the log has a line.
    """
    await held_by_each(sidecar)
    sidecar.start()
    sound = {name: each.available_microcredits for name, each in (await told(sidecar)).items() if not isinstance(each, str)}
    assert sound.keys() == set(ACCOUNTS)
    sidecar.stop()
    kept = {each: (sidecar.data_dir / each).read_bytes() for each in ("journal.db", "central.db", "sidecar-id")}
    for seed in SEEDS:
        begin_from(sidecar.data_dir, kept)
        process = SidecarProcess(sidecar.data_dir, "--enable-admin")
        where = flip_a_bit(sidecar.data_dir, random.Random(seed))  # noqa: S311 - damage, no secret
        try:
            process.start()
        except AssertionError:
            process._out.close()
            refused(sidecar)
            continue
        outcomes = await told(process)
        process.kill()
        logged = {each["event"] for each in process.log}
        for name, each in outcomes.items():
            is_right = not isinstance(each, str) and each.available_microcredits == sound[name]
            is_refused = each == "STORAGE_UNAVAILABLE" and "the journal is damaged" in logged
            assert is_right or each == "STORAGE_DAMAGED" or is_refused, (seed, where, name, each)


def begin_from(directory: Path, kept: dict[str, bytes]) -> None:
    """Put files back as they were, and remove what a process that was killed left beside them."""
    for left in (*directory.glob("journal.db*"), *directory.glob("central.db*")):
        left.unlink()
    for name, content in kept.items():
        (directory / name).write_bytes(content)


def refused(sidecar: SidecarProcess) -> Ended:
    """A start that is refused, with one line."""
    ended = run_forked("serve", "--listen", "127.0.0.1:0", "--data-dir", str(sidecar.data_dir))
    assert ended.code == ExitCode.DAMAGED
    assert str(sidecar.data_dir / "journal.db") in ended.complaint
    return ended
