"""A data directory that was copied: two processes with one identity, of which the central store accepts one."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.v1 import metering_pb2
from tests.cli.processes import SidecarProcess, run_forked
from tests.e2e.fleet import CREDIT, ONCE, assert_clean, open_account, reserve, settled
from tests.e2e.load import assert_charged_once
from tests.postgres import PostgresServer

ACCOUNT = "alice"
GRANTED = 100
FENCED = 8


@pytest.fixture
def copied(short_path: Path, postgres_url: str) -> Iterator["Copied"]:
    """A sidecar, started, which is to be copied. What still runs at the end is killed."""
    copied = Copied(short_path, postgres_url)
    copied.original.start()
    yield copied
    for each in (copied.original, copied.copy):
        if each.is_running:
            each.kill()


class Copied:
    """A sidecar's data directory, and a copy of it on another host."""

    def __init__(self, directory: Path, central: str) -> None:
        self.central = central
        self.original = SidecarProcess(directory / "a", "--enable-admin", "--central", central)
        self.copy = SidecarProcess(directory / "b", "--enable-admin", "--central", central)
        self.charges: dict[str, int] = {}

    def make(self) -> None:
        """Copy all files as they are, as an operator does with the machine's disk."""
        shutil.copytree(self.original.data_dir, self.copy.data_dir, ignore=shutil.ignore_patterns("*.sock"))

    async def charge(self, client: Connection, request_id: str, credits: int) -> None:
        """Charge, and remember what was acknowledged."""
        request = metering_pb2.ChargeRequest(request_id=request_id, account_id=ACCOUNT, amount_microcredits=credits * CREDIT)
        charge = (await call(client.metering.Charge, request, ONCE)).charge
        self.charges[charge.charge_id] = credits * CREDIT

    async def assert_right(self, client: Connection) -> None:
        """Each acknowledged charge is there once, and what is left is what they left."""
        at_rest = await settled([client], ACCOUNT)
        assert at_rest.available_microcredits == GRANTED * CREDIT - sum(self.charges.values())
        await assert_charged_once(client, [ACCOUNT], self.charges)


async def test_the_one_that_was_copied_is_fenced(copied: Copied) -> None:
    """The copy registers last and goes on; the original stops by itself at the next thing it has to say."""
    async with Connection(copied.original.address) as client:
        await open_account(client, ACCOUNT, permanent=[GRANTED])
        await copied.charge(client, "before", 7)
        await settled([client], ACCOUNT)
        copied.make()
        await asyncio.to_thread(copied.copy.start)
        await commit_until_fenced(copied, client)
    assert await asyncio.to_thread(copied.original.wait) == FENCED
    async with Connection(copied.copy.address) as client:
        await copied.charge(client, "after", 5)
        await copied.assert_right(client)
    assert copied.copy.stop() == 0
    await assert_clean(copied.central)


async def commit_until_fenced(copied: Copied, client: Connection) -> None:
    """Charge the leases in hand, until the sidecar has found out that it is fenced."""
    for number in range(1_000):
        try:
            await copied.charge(client, f"late-{number}", 1)
        except CreditmeterError:
            return
        if sum(copied.charges.values()) > GRANTED * CREDIT // 2:
            return
    pytest.fail("it went on")


@pytest.mark.long
async def test_a_copy_of_what_has_gone_on_is_fenced(copied: Copied) -> None:
    """The original was started again since: the copy says so and exits, and nothing happens to the original."""
    async with Connection(copied.original.address) as client:
        await open_account(client, ACCOUNT, permanent=[GRANTED])
        await copied.charge(client, "before", 7)
    copied.original.kill()
    copied.make()
    copied.original.start()
    where = ("--data-dir", str(copied.copy.data_dir), "--central", copied.central, "--listen", "127.0.0.1:0")
    second = await asyncio.to_thread(run_forked, "serve", *where)
    assert second.code == FENCED
    assert "another process runs as sidecar" in second.err
    async with Connection(copied.original.address) as client:
        await copied.charge(client, "after", 5)
        await copied.assert_right(client)
    assert copied.original.stop() == 0
    await assert_clean(copied.central)


@pytest.mark.long
async def test_both_started_while_the_store_is_away(copied: Copied, postgres_server: PostgresServer) -> None:
    """Both have the same charges to post, and each some of its own. The second one is fenced; all that was acknowledged
    is charged once.
    """
    async with Connection(copied.original.address) as client:
        await open_account(client, ACCOUNT, permanent=[GRANTED])
        held = [await reserve(client, f"hold-{number}", ACCOUNT, 4) for number in range(3)]
        postgres_server.stop()
        await commit(copied, client, held[0].reservation_id, "both", 4)
        copied.make()
        await commit(copied, client, held[1].reservation_id, "original", 3)
    copied.original.kill()
    pair = {copied.original, copied.copy}
    try:
        for each in pair:
            await asyncio.to_thread(each.start)
        async with Connection(copied.copy.address) as client:
            await commit(copied, client, held[2].reservation_id, "copy", 2)
    finally:
        await asyncio.to_thread(postgres_server.start)
    lost = await first_to_end(copied)
    assert lost == FENCED
    (winner,) = (each for each in pair if each.is_running)
    (loser,) = pair - {winner}
    assert (loser.log[-1]["reason"], loser.log[-1]["exit_code"]) == ("fenced", FENCED)
    async with Connection(winner.address) as client:
        for reservation in held:
            await release_if_held(client, reservation.reservation_id)
        await copied.assert_right(client)
    assert winner.stop() == 0
    await assert_clean(copied.central)


async def commit(copied: Copied, client: Connection, reservation_id: str, request_id: str, credits: int) -> None:
    """Commit, and remember what was acknowledged."""
    request = metering_pb2.CommitRequest(
        request_id=request_id, reservation_id=reservation_id, amount_microcredits=credits * CREDIT
    )
    charge = (await call(client.metering.Commit, request, ONCE)).charge
    copied.charges[charge.charge_id] = credits * CREDIT


async def release_if_held(client: Connection, reservation_id: str) -> None:
    """Give back what the other one committed: this one does not know."""
    request = metering_pb2.ReleaseRequest(request_id=f"release/{reservation_id}", reservation_id=reservation_id)
    try:
        await call(client.metering.Release, request)
    except CreditmeterError as error:
        if error.reason != "RESERVATION_COMMITTED":
            raise


async def first_to_end(copied: Copied) -> int:
    """The exit code of whichever of the two ends by itself."""
    async with asyncio.timeout(60):
        while True:
            for each in (copied.original, copied.copy):
                if each.has_ended:
                    return each.wait()
            await asyncio.sleep(0.05)
