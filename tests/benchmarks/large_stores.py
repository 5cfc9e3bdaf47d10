"""Whether a charge's settlement and a page of history take as long on a large account, and in a large store, as on a small one.

Three accounts take turns, so that what else the machine does hits all of them alike: a small one in a small store; one with
thousands of permanent grants; and one with half of the millions of lines of a store that is filled for this. Times are compared
by their medians.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

from sqlalchemy import text

from creditmeter.central.queries.history import Lines
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT
from creditmeter.core.credit.history import HistoryFilter
from creditmeter.core.ids import AccountId
from tests.central.accounts import ACME, give, opened
from tests.central.peer import Peer
from tests.clocks import ManualClock
from tests.postgres import PostgresServer

MAX_RATIO = 1.3
"""The most that a large one may take of the time of a small one."""

WARM_UP_ROUNDS = 60
"""After so many charges each account has more than a page of history."""

OTHERS = 1_000
PAGE = 50
CREDIT = MICROCREDITS_PER_CREDIT

_FILL = (
    "INSERT INTO history (account_id, number, type, amount_microcredits, balance_after_microcredits, occurred_at, posted_at,"
    " action, model, tool, quantity, rate_card_version, labels, draws, note)"
    " SELECT :account, {first} + n, 'PLAN_CHANGED', 0, 0, {now} - CAST(1000000 AS BIGINT) * ({count} - n), {now},"
    " 'text', 'gpt-4o', '', 1,"
    " '2026-01', '{{}}', '[]', '' FROM {numbers}"
)
_NUMBERS = {
    True: "(WITH RECURSIVE upto(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM upto WHERE n < {count}) SELECT n FROM upto)",
    False: "generate_series(1, {count}) AS numbers(n)",
}
"""The numbers from 1 to a count, on SQLite and on PostgreSQL."""
_NUMBERED = "UPDATE accounts SET last_entry = last_entry + :count WHERE account_id = :account RETURNING last_entry - :count"


@dataclass(frozen=True)
class Size:
    """How large the large ones are, and how often each thing is done."""

    lines: int
    grants: int
    rounds: int


@dataclass
class Subject:
    """An account that is measured, and how long each thing took on it, in seconds."""

    name: str
    store: CentralStore
    sidecar: Peer
    settlements: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)

    async def settle(self, number: int) -> None:
        """Post one charge."""
        charge = self.sidecar.charge(f"{self.name}-{number}", CREDIT)
        answer = await self.sidecar.exchange(charge, need=CREDIT)
        assert answer.postings[charge.charge_id].covered == CREDIT, "a charge was not covered"

    async def read(self, number: int) -> None:
        """Read the first page of history."""
        found = await self.store.reader.list_history(ACME, HistoryFilter(), PAGE)
        assert isinstance(found, Lines)
        assert number < WARM_UP_ROUNDS or len(found.entries) == PAGE, "a page is short"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure on both engines. Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--lines", type=int, default=10_000_000, help="lines of history in the large store (default: 10000000)")
    parser.add_argument("--grants", type=int, default=10_000, help="permanent grants of the large account (default: 10000)")
    parser.add_argument("--rounds", type=int, default=300, help="how often each thing is measured (default: 300)")
    given = parser.parse_args(arguments)
    size = Size(given.lines, given.grants, given.rounds)
    with tempfile.TemporaryDirectory(prefix="cm") as directory, PostgresServer() as server:
        urls = {
            "SQLite": [f"sqlite:///{Path(directory) / name}.db" for name in ("small", "granted", "filled")],
            "PostgreSQL": [server.create_database() for _ in range(3)],
        }
        missed = [engine for engine, of_engine in urls.items() if not asyncio.run(_measure(engine, of_engine, size))]
    print(f"targets missed: {', '.join(missed)}" if missed else "targets met")
    return 1 if missed else 0


async def _measure(engine: str, urls: Sequence[str], size: Size) -> bool:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(CentralStore(url, clock.wall)) for url in urls]
        names = ("a small account", "an account of many grants", "an account in a large store")
        subjects = [await _subject(name, store, clock) for name, store in zip(names, stores, strict=True)]
        _, granted, filled = subjects
        await _give_many(engine, granted, size.grants)
        await _fill(engine, filled, clock, size.lines)
        for number in range(WARM_UP_ROUNDS + size.rounds):
            for subject in subjects:
                await _timed(subject.settlements, subject.settle, number)
                await _timed(subject.pages, subject.read, number)
    return _report(engine, subjects, size)


async def _subject(name: str, store: CentralStore, clock: ManualClock) -> Subject:
    """An account with credit, and a sidecar that has some of it in hand."""
    await store.migrate()
    await opened(store, ACME, daily=100 * CREDIT, permanent=100_000 * CREDIT)
    sidecar = await Peer.registered(store, clock, "s1")
    await sidecar.exchange(need=1_000 * CREDIT)
    return Subject(name, store, sidecar)


async def _give_many(engine: str, subject: Subject, count: int) -> None:
    for number in range(count):
        _progress(f"{engine}: grants", number, count)
        await give(subject.store, f"g{number}", CREDIT)


async def _fill(engine: str, subject: Subject, clock: ManualClock, lines: int) -> None:
    """Half of the lines are the account's own, and as many belong to a thousand others."""
    database = subject.store.database
    share = lines // 2 // OTHERS
    shares = [(account, share) for number in range(OTHERS) for account in (ACME, AccountId(f"other-{number}"))]
    for number, (account_id, count) in enumerate(shares):
        _progress(f"{engine}: lines of history, in parts", number, len(shares))
        async with database.write() as connection:
            moved = (await connection.execute(text(_NUMBERED), {"account": account_id, "count": count})).scalar_one_or_none()
            numbers = _NUMBERS[database.is_sqlite].format(count=count)
            fill = _FILL.format(now=clock.wall(), count=count, first=moved or 0, numbers=numbers)
            await connection.execute(text(fill), {"account": account_id})
    if not database.is_sqlite:
        async with database.write() as connection:
            await connection.execute(text("ANALYZE"))


async def _timed(times: list[float], work: Callable[[int], Awaitable[None]], number: int) -> None:
    before = perf_counter()
    await work(number)
    if number >= WARM_UP_ROUNDS:
        times.append(perf_counter() - before)


def _report(engine: str, subjects: Sequence[Subject], size: Size) -> bool:
    """Print the medians and their ratios. Says whether all targets were met."""
    print(f"{engine}: {size.grants:,} grants, {size.lines:,} lines of history, {size.rounds} rounds")
    small = subjects[0]
    ratios: list[float] = []
    for subject in subjects:
        settlement, page = median(subject.settlements), median(subject.pages)
        ratio = settlement / median(small.settlements), page / median(small.pages)
        ratios += ratio
        print(f"  {subject.name:28} settlement {settlement * 1e3:7.2f} ms ({ratio[0]:4.2f}x)", end="")
        print(f"   page of history {page * 1e3:6.2f} ms ({ratio[1]:4.2f}x)")
    return max(ratios) <= MAX_RATIO


def _progress(what: str, done: int, of: int) -> None:
    if done % max(1, of // 20) == 0:
        print(f"{what}: {done:,} of {of:,}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
