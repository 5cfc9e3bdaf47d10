"""How soon callers of several sidecars hear a definite answer when one account has too little for all of them, and how much is
authorised in all.

Each sidecar is a process of its own, on one central store: PostgreSQL, or a SQLite file that they share. In each round an
account gets credit, and all callers ask for a hold of it at once. A caller that is told to come again does so as late
as it was told, with the same request; its time goes from its first attempt to a hold or to a refusal that says that there is no
credit. Holds stay open to the end of the round.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from creditmeter.client.stubs import Connection, CreditmeterError
from tests.e2e.fleet import fleet, open_account, reserve
from tests.postgres import PostgresServer

P99_SECONDS = 1.5
GIVE_UP_SECONDS = 60
FINAL = "INSUFFICIENT_CREDITS"


@dataclass(frozen=True)
class Plan:
    """How much is asked for, in credits, and by how many."""

    sidecars: int
    callers: int
    credits: int
    hold: int
    rounds: int


@dataclass
class Found:
    """What callers were answered: the seconds until each definite answer, what was held in each round, in credits, and the
    reasons of all refusals.
    """

    seconds: list[float] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds on both engines, and print what was measured. Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--sidecars", type=int, default=8, help="processes (default: 8)")
    parser.add_argument("--callers", type=int, default=16, help="callers of each sidecar (default: 16)")
    parser.add_argument("--credits", type=int, default=300, help="what the account has (default: 300)")
    parser.add_argument("--hold", type=int, default=3, help="what each caller asks for (default: 3)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds on each engine, each with an account (default: 10)")
    parser.add_argument("--engine", choices=("postgresql", "sqlite"), help="only this one")
    given = vars(parser.parse_args(arguments))
    engine = given.pop("engine")
    return max(asyncio.run(_measure(each, Plan(**given))) for each in ([engine] if engine else ["postgresql", "sqlite"]))


async def _measure(engine: str, plan: Plan) -> int:
    found = Found()
    async with AsyncExitStack() as stack:
        central = await stack.enter_async_context(_store(engine))
        sidecars = await stack.enter_async_context(fleet(central, plan.sidecars))
        clients = [await stack.enter_async_context(Connection(each.address)) for each in sidecars]
        busy, own, began = _busy_seconds(), _own_seconds(), time.monotonic()
        for number in range(plan.rounds):
            await _round(clients, f"account-{number}", plan, found)
        elapsed = time.monotonic() - began
        load = (_busy_seconds() - busy) / elapsed, (_own_seconds() - own) / elapsed
    return _report(engine, plan, found, load)


@asynccontextmanager
async def _store(engine: str) -> AsyncIterator[str]:
    if engine == "postgresql":
        with PostgresServer() as server:
            yield server.create_database()
    else:
        with tempfile.TemporaryDirectory(prefix="cm") as directory:
            yield f"sqlite:///{Path(directory) / 'central.db'}"


async def _round(clients: Sequence[Connection], account_id: str, plan: Plan, found: Found) -> None:
    await open_account(clients[0], account_id, permanent=[plan.credits])
    callers = itertools.product(clients, range(plan.callers))
    asking = (_ask(client, f"caller-{number}", account_id, plan, found) for number, (client, _) in enumerate(callers))
    found.held.append(plan.hold * sum(await asyncio.gather(*asking)))


async def _ask(client: Connection, request_id: str, account_id: str, plan: Plan, found: Found) -> bool:
    """Ask until there is a definite answer. Returns whether the credit is held."""
    began = time.monotonic()
    while time.monotonic() < began + GIVE_UP_SECONDS:
        try:
            await reserve(client, request_id, account_id, plan.hold)
        except CreditmeterError as error:
            found.reasons[error.reason or error.code] += 1
            if error.reason != FINAL:
                await asyncio.sleep(error.retry_delay or 0.0)
                continue
            found.seconds.append(time.monotonic() - began)
            return False
        found.seconds.append(time.monotonic() - began)
        return True
    found.seconds.append(time.monotonic() - began)
    return False


def _busy_seconds() -> float:
    """The seconds that all cores of this machine together have worked so far, for whatever it was."""
    names = "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"
    ticks = dict(zip(names, map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]), strict=False))
    return (sum(ticks.values()) - ticks["idle"] - ticks["iowait"]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """The seconds that this process and all that it started have worked so far and still run: the sidecars, and PostgreSQL."""
    parents, worked = {}, {}
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            fields = (each / "stat").read_text().rpartition(")")[2].split()
            parents[int(each.name)], worked[int(each.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    mine = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= found
    return sum(worked.get(pid, 0) for pid in mine) / os.sysconf("SC_CLK_TCK")


def _at(seconds: Sequence[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


def _report(engine: str, plan: Plan, found: Found, load: tuple[float, float]) -> int:
    half, most, longest = _at(found.seconds, 0.5), _at(found.seconds, 0.99), max(found.seconds)
    print(f"{engine}: {plan.rounds} rounds of {plan.sidecars} sidecars with {plan.callers} callers each")
    print(f"  definite answers: p50 {half:.2f} s, p99 {most:.2f} s, longest {longest:.2f} s; target {P99_SECONDS} s at p99")
    print(f"  authorised in a round: {min(found.held)} to {max(found.held)} credits of {plan.credits}")
    print(f"  refusals: {', '.join(f'{reason} {count}' for reason, count in found.reasons.most_common())}")
    busy, own = load
    print(f"  this machine was busy on {busy:.1f} of its {os.cpu_count()} cores, {own:.1f} of them with this", flush=True)
    return int(most > P99_SECONDS or max(found.held) > plan.credits)


if __name__ == "__main__":
    sys.exit(main())
