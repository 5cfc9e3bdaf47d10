"""How often a sidecar under a steady load turns to the central store: the share of Reserves that are answered without it, and
the transactions that it sees for each call.

A call is a Reserve and a Commit. One sidecar runs in this process, with its real server, on a PostgreSQL of its own; a
transaction is counted when it is begun, whatever it is for.

Before anything is counted every account is used for a while, longer than
the stretch over which a sidecar learns how fast credit is used.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event

from creditmeter.client.stubs import Connection, CreditmeterError, call
from creditmeter.server.app import Program, running
from creditmeter.server.config import Settings
from creditmeter.server.logs import configure_logging
from creditmeter.sidecar.clock import SystemClock
from creditmeter.v1 import metering_pb2
from tests.e2e.fleet import CREDIT, open_account, reserve
from tests.postgres import PostgresServer

MIN_LOCAL_SHARE = 0.99
MIN_CALLS_PER_TRANSACTION = 50

LARGEST_CALL = 10
CALL_SECONDS = 0.05
"""How long a call holds its credit, on average."""

MAX_CALLS_AT_ONCE = 256
AMPLE = 1_000_000
_LOOK_AGAIN_SECONDS = 0.01
_USERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"


@dataclass
class Counts:
    """What was counted from some moment on. A Reserve that waited for the central store counts once each time it did."""

    reserves: int = 0
    round_trips: int = 0
    calls: int = 0
    refused: int = 0
    transactions: int = 0

    def since(self, earlier: "Counts") -> "Counts":
        """What was counted after an earlier reading."""
        return Counts(
            self.reserves - earlier.reserves,
            self.round_trips - earlier.round_trips,
            self.calls - earlier.calls,
            self.refused - earlier.refused,
            self.transactions - earlier.transactions,
        )


@dataclass(frozen=True)
class Plan:
    """How much is done."""

    seconds: float
    warm_up_seconds: float
    rate: float
    accounts: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load and print what was counted. Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=30, help="how long to count (default: 30)")
    parser.add_argument("--warm-up", type=float, default=35, help="seconds of load before counting (default: 35)")
    parser.add_argument("--rate", type=float, default=250, help="calls per second that are attempted (default: 250)")
    parser.add_argument("--accounts", type=int, default=50, help="accounts that the calls are spread over (default: 50)")
    given = parser.parse_args(arguments)
    plan = Plan(given.seconds, given.warm_up, given.rate, given.accounts)
    configure_logging("warning")
    with PostgresServer() as server:
        return asyncio.run(_measure(server.create_database(), plan))


async def _measure(url: str, plan: Plan) -> int:
    counts = Counts()
    before = await _transactions_seen(url)
    async with _sidecar(url) as (program, address):
        _count(program, counts)
        counted, elapsed = await _run_load(address, plan, counts)
    seen = await _transactions_seen(url) - before
    return _report(counted, elapsed, seen, counts)


@asynccontextmanager
async def _sidecar(url: str) -> AsyncIterator[tuple[Program, str]]:
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        settings = Settings.load(data_dir=Path(directory), central=url, listen=("127.0.0.1:0",), enable_admin=True)
        async with running(settings, SystemClock()) as program:
            yield program, settings.socket_address


def _count(program: Program, counts: Counts) -> None:
    """Count every transaction that is begun, and every time a request waits for the central store."""
    exchanger = program.sidecar._exchanger
    obtain = exchanger.obtain

    def begun(_connection: object) -> None:
        counts.transactions += 1

    async def counted(*asked: Any, **how: Any) -> Any:
        counts.round_trips += 1
        return await obtain(*asked, **how)

    event.listen(program.sidecar.central.database.engine.sync_engine, "begin", begun)
    exchanger.obtain = counted  # type: ignore[method-assign]


async def _run_load(address: str, plan: Plan, counts: Counts) -> tuple[Counts, float]:
    """Make calls at a steady pace; returns what was counted once it had warmed up, and in how many seconds."""
    accounts = [f"account-{number}" for number in range(plan.accounts)]
    draw = random.Random(1)  # noqa: S311 - the same calls each time
    places = asyncio.Semaphore(MAX_CALLS_AT_ONCE)
    async with Connection(address) as client, asyncio.TaskGroup() as calls:
        for account_id in accounts:
            await open_account(client, account_id, permanent=[AMPLE])
        due = time.monotonic()
        begins = due + plan.warm_up_seconds
        at_begin, number = Counts(), 0
        while (now := time.monotonic()) < begins + plan.seconds:
            if now >= begins and not at_begin.calls:
                at_begin, begins = Counts(**vars(counts)), now
            await places.acquire()
            task = calls.create_task(_make_call(client, f"call-{number}", draw.choice(accounts), draw, counts))
            task.add_done_callback(lambda _: places.release())
            number += 1
            due = max(due + 1 / plan.rate, now)  # what could not be begun in time is left out, not caught up with
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return counts.since(at_begin), time.monotonic() - begins


async def _make_call(client: Connection, name: str, account_id: str, draw: random.Random, counts: Counts) -> None:
    credits = draw.randint(1, LARGEST_CALL)
    used, seconds = draw.randint(1, credits), draw.random() * 2 * CALL_SECONDS
    counts.reserves += 1
    try:
        held = await reserve(client, f"{name}/reserve", account_id, credits)
    except CreditmeterError as error:
        counts.refused += 1
        say(f"refused: {error}")
        return
    await asyncio.sleep(seconds)
    commit = metering_pb2.CommitRequest(
        request_id=f"{name}/commit", reservation_id=held.reservation_id, amount_microcredits=used * CREDIT
    )
    await call(client.metering.Commit, commit)
    counts.calls += 1


async def _transactions_seen(url: str) -> int:
    """The server's own count, which is complete once all who used the database have left it. Asked from another database."""
    address, _, name = url.rpartition("/")
    connection = await asyncpg.connect(f"{address}/postgres")
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(_USERS, name):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return int(await connection.fetchval(_TRANSACTIONS, name))
    finally:
        await connection.close()


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _report(counted: Counts, elapsed: float, seen: int, all_counts: Counts) -> int:
    local = 1 - counted.round_trips / max(1, counted.reserves)
    per_transaction = counted.calls / max(1, counted.transactions)
    rate, transaction_rate = counted.calls / elapsed, counted.transactions / elapsed
    say(f"{counted.calls} calls in {elapsed:.1f} s: {rate:.0f} a second, {counted.refused} refused")
    say(f"Reserves answered without the central store: {local:.2%} of {counted.reserves}, target {MIN_LOCAL_SHARE:.0%}")
    say(
        f"calls for each transaction of the central store: {per_transaction:.1f}, target {MIN_CALLS_PER_TRANSACTION}"
        f" ({counted.transactions} transactions, {transaction_rate:.1f} a second)"
    )
    say(
        f"the server's own count, with start and stop: {seen} transactions for {all_counts.calls} calls"
        f" ({all_counts.transactions} were counted here; the rest is what connections begin with)"
    )
    is_met = local >= MIN_LOCAL_SHARE and per_transaction >= MIN_CALLS_PER_TRANSACTION and not counted.refused
    say("targets met" if is_met else "TARGET MISSED")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
