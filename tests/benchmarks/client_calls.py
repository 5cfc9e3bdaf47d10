"""How many calls a second go through the Python client, beside the same calls as unary RPCs to the same sidecar.

A pair of calls is a Reserve and its Commit; each reply is durable. Three ways are measured in turn, each in a process of its
own: unary RPCs of the generated stubs, the client's stream with the same messages, and the client as workers use it
(`Client.hold`).
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from creditmeter.client import Client
from creditmeter.client.retrying import DEFAULT_RETRY
from creditmeter.client.session import Session
from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2
from tests.e2e.fleet import CREDIT, fleet, open_account

ACCOUNTS = 20
MANY = 32
TIMES_AT_MANY = 3.0
TIMES_AT_ONE = 1.0
WAYS = ("unary", "stream", "client")

Pair = Callable[[str, str], Awaitable[None]]
"""A Reserve and its Commit, with an id of its own, on an account."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all ways, and print what was found. Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way (default: 5)")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.load:
        print(json.dumps(asyncio.run(_load(**json.loads(given.load)))))
        return 0
    return asyncio.run(_measure(given.seconds, given.rounds))


async def _measure(seconds: float, rounds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        async with fleet(f"sqlite:///{Path(directory) / 'central.db'}", 1) as (sidecar,):
            async with Connection(sidecar.address) as connection:
                for number in range(ACCOUNTS):
                    await open_account(connection, f"a{number}", permanent=[10_000_000])
            found: dict[tuple[int, str], list[dict[str, float]]] = {}
            for number in range(-1, rounds):  # the first round warms up
                for tasks in (MANY, 1):
                    for way in WAYS:
                        job = json.dumps({"address": sidecar.address, "way": way, "tasks": tasks, "seconds": seconds})
                        command = [sys.executable, "-m", "tests.benchmarks.client_calls", "--load", job]
                        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
                        if number >= 0:
                            found.setdefault((tasks, way), []).append(json.loads(ended.stdout))
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return _report(found)


def _report(found: dict[tuple[int, str], list[dict[str, float]]]) -> int:
    """Print the medians, and the ratios to unary RPCs of the same round."""
    print("tasks  way     calls a second  median, ms  times unary")
    for (tasks, way), results in found.items():
        rate = statistics.median(each["rate"] for each in results)
        median = statistics.median(each["median_ms"] for each in results)
        print(f"{tasks:5}  {way:6}  {rate:14,.0f}  {median:10.3f}  {_times(found, tasks, way, 'rate'):11.2f}")
    at_many = _times(found, MANY, "client", "rate")
    at_one = _times(found, 1, "client", "median_ms")
    print(f"throughput of the client at {MANY} tasks: {at_many:.2f} times unary (target {TIMES_AT_MANY})")
    print(f"median of the client at 1 task: {at_one:.2f} times unary (target at most {TIMES_AT_ONE})")
    return int(at_many < TIMES_AT_MANY or at_one > TIMES_AT_ONE)


def _times(found: dict[tuple[int, str], list[dict[str, float]]], tasks: int, way: str, what: str) -> float:
    pairs = zip(found[tasks, way], found[tasks, "unary"], strict=True)
    return statistics.median(each[what] / unary[what] for each, unary in pairs)


async def _load(address: str, way: str, tasks: int, seconds: float) -> dict[str, float]:
    """Make pairs of calls for so many seconds. Returns the calls a second and the median of a call, in milliseconds."""
    latencies: list[float] = []
    async with Connection(address) as connection, Client(address) as client:
        session = Session(address, DEFAULT_RETRY)
        pair = {"unary": _unary(connection), "stream": _stream(session), "client": _client(client)}[way]
        run, ends_at = uuid.uuid4().hex, time.perf_counter() + seconds

        async def work(task: int) -> None:
            number = 0
            while (began := time.perf_counter()) < ends_at:
                number += 1
                await pair(f"{run}-{task}-{number}", f"a{(task + number) % ACCOUNTS}")
                latencies.append((time.perf_counter() - began) / 2)

        began = time.perf_counter()
        await asyncio.gather(*(work(task) for task in range(tasks)))
        spent = time.perf_counter() - began
        await session.close()
    return {"rate": 2 * len(latencies) / spent, "median_ms": statistics.median(latencies) * 1e3}


def _reserve(name: str, account_id: str) -> metering_pb2.ReserveRequest:
    return metering_pb2.ReserveRequest(request_id=f"{name}/r", account_id=account_id, amount_microcredits=2 * CREDIT)


def _commit(name: str, reservation_id: str) -> metering_pb2.CommitRequest:
    return metering_pb2.CommitRequest(request_id=f"{name}/c", reservation_id=reservation_id, amount_microcredits=CREDIT)


def _unary(connection: Connection) -> Pair:
    async def pair(name: str, account_id: str) -> None:
        held = await connection.metering.Reserve(_reserve(name, account_id))
        await connection.metering.Commit(_commit(name, held.reservation.reservation_id))

    return pair


def _stream(session: Session) -> Pair:
    async def pair(name: str, account_id: str) -> None:
        held = await session.send(metering_pb2.Mutation(reserve=_reserve(name, account_id)))
        commit = _commit(name, held.reserve.reservation.reservation_id)
        await session.send(metering_pb2.Mutation(commit=commit))

    return pair


def _client(client: Client) -> Pair:
    async def pair(name: str, account_id: str) -> None:
        async with client.hold(account_id, amount_microcredits=2 * CREDIT, job_id=name) as hold:
            await hold.commit(amount_microcredits=CREDIT)

    return pair


if __name__ == "__main__":
    sys.exit(main())
