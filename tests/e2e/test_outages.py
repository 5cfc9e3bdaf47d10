"""PostgreSQL goes away under load, in good order or not, and comes back: nobody has to start a sidecar again.

TESTS_OUTAGE_SECONDS says how long the store stays away; scripts/outage runs a long one.
"""

import asyncio
import os
import time
from collections.abc import Callable

import asyncpg
import pytest

from creditmeter.client.stubs import Connection, CreditmeterError, Retry
from tests.cli.processes import SidecarProcess
from tests.e2e.fleet import CREDIT, assert_clean, balance, fleet, open_account, reserve, settled, stop_all
from tests.e2e.load import Load, assert_charged_once
from tests.postgres import PostgresServer

OUTAGE_SECONDS = float(os.environ.get("TESTS_OUTAGE_SECONDS", "3"))
SETTLED_WITHIN_SECONDS = 15
SIDECARS = 2
WORKERS = 8
ACCOUNTS = [f"busy-{number}" for number in range(6)]
QUIET, NEW = "quiet", "new"
AMPLE = 1_000_000

IN_A_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL
"""
"""How many sessions have written something that is not committed yet."""


async def opened(sidecars: list[SidecarProcess]) -> list[Connection]:
    """A client for each sidecar, and accounts with more credit than is needed."""
    clients = [Connection(each.address) for each in sidecars]
    for account_id in (*ACCOUNTS, QUIET, NEW):
        await open_account(clients[0], account_id, permanent=[AMPLE])
    return clients


async def ended(load: Load, clients: list[Connection], sidecars: list[SidecarProcess], central: str) -> None:
    """Stop everything in order: nothing was lost, nothing is there twice, nothing is left out."""
    everything = [*ACCOUNTS, QUIET, NEW]
    for account_id in everything:
        await settled(clients, account_id)
    await assert_charged_once(clients[0], everything, load.charges)
    for client in clients:
        await client.close()
    assert await stop_all(sidecars) == [0] * SIDECARS
    await assert_clean(central)


@pytest.mark.long
async def test_stopped_under_load(postgres_server: PostgresServer, postgres_url: str) -> None:
    """Leases in hand serve meanwhile, commits are always taken, new credit is refused, and all is settled soon after."""
    async with fleet(postgres_url, SIDECARS) as sidecars:
        clients = await opened(sidecars)
        load = Load(clients, ACCOUNTS)
        before = [await reserve(each, f"before-{number}", QUIET, 1) for number, each in enumerate(clients)]
        async with load.on(WORKERS):
            await load.calls(100)
            await asyncio.to_thread(postgres_server.stop)
            stopped_at = time.monotonic()
            reserved, charged = load.reserved, len(load.charges)
            for number, client in enumerate(clients):
                await serves_what_it_has(load, client, number, before[number].reservation_id)
            await asyncio.sleep(stopped_at + OUTAGE_SECONDS - time.monotonic())
            assert load.reserved > reserved
            assert len(load.charges) > charged
            assert load.refused["CENTRAL_UNAVAILABLE"] > 0
            await asyncio.to_thread(postgres_server.start)
            back_at = time.monotonic()
        for account_id in (*ACCOUNTS, QUIET):
            await settled(clients, account_id)
        assert time.monotonic() - back_at < SETTLED_WITHIN_SECONDS
        for number, client in enumerate(clients):
            held = await reserve(client, f"new-{number}", NEW, 7)
            await load.commit(client, f"new-{number}/commit", held.reservation_id, 5)
        await ended(load, clients, sidecars, postgres_url)


async def serves_what_it_has(load: Load, client: Connection, number: int, held_before: str) -> None:
    """What a sidecar does while the store is away."""
    held = await reserve(client, f"during-{number}", QUIET, 1)
    await load.commit(client, f"during-{number}/commit", held.reservation_id, 1)
    await load.commit(client, f"before-{number}/commit", held_before, 3)
    for account_id, credits in ((NEW, 7), (QUIET, AMPLE // 2)):
        with pytest.raises(CreditmeterError, match="CENTRAL_UNAVAILABLE"):
            await reserve(client, f"{account_id}-{number}", account_id, credits)
    assert (await balance(client, QUIET)).stale


@pytest.mark.long
@pytest.mark.parametrize("end", [PostgresServer.quit, PostgresServer.kill])
async def test_killed_in_the_middle_of_a_settlement(
    postgres_server: PostgresServer, postgres_url: str, end: Callable[[PostgresServer], None]
) -> None:
    """Several times, each while a sidecar's transaction has written and not committed. Whether it was committed is unknown
    to the sidecar: it says the same again.
    """
    async with fleet(postgres_url, SIDECARS) as sidecars:
        clients = await opened(sidecars)
        load = Load(clients, ACCOUNTS)
        async with load.on(WORKERS):
            for _ in range(3):
                await load.calls(50)
                await in_a_transaction(postgres_url)
                end(postgres_server)
                await asyncio.to_thread(postgres_server.start)
            back_at = time.monotonic()
        for account_id in ACCOUNTS:
            await settled(clients, account_id)
        assert time.monotonic() - back_at < SETTLED_WITHIN_SECONDS
        await reserve(clients[0], "new", NEW, 7, Retry(total=5))
        await ended_after_release(load, clients, sidecars, postgres_url)


async def in_a_transaction(url: str) -> None:
    """Wait until a sidecar's transaction is under way."""
    watcher = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30):
            while not await watcher.fetchval(IN_A_TRANSACTION):
                pass
    finally:
        watcher.terminate()


async def ended_after_release(load: Load, clients: list[Connection], sidecars: list[SidecarProcess], central: str) -> None:
    """Commit what is held on the new account, and end."""
    held = await reserve(clients[0], "new", NEW, 7)
    assert held.held_microcredits == 7 * CREDIT
    await load.commit(clients[0], "new/commit", held.reservation_id, 5)
    await ended(load, clients, sidecars, central)
