"""How long calls on a quiet account take beside callers who are busy with a hot one.

One caller reserves and commits on the quiet account, one call after another: first alone, then beside callers in processes of
their own who do the same on the hot account without a pause. The two are measured in turns, and the ratio is that of their 99th
percentiles. Between its calls the quiet caller waits, so it meets the hot ones at any point of their work.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from creditmeter.client.stubs import Connection
from creditmeter.v1 import metering_pb2
from tests.e2e.fleet import CREDIT, fleet, open_account

HOT_CALLERS = 64
MOST_TIMES = 3.0
PAUSE_SECONDS = 0.002

Figures = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found. Returns 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=4, help="for each measurement (default: 4)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements alone and beside others (default: 5)")
    parser.add_argument("--callers", type=int, default=HOT_CALLERS, help=f"on the hot account (default: {HOT_CALLERS})")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.load:
        print(json.dumps(asyncio.run(_load(**json.loads(given.load)))), flush=True)
        return 0
    return asyncio.run(_measure(given.seconds, given.rounds, given.callers))


async def _measure(seconds: float, rounds: int, callers: int) -> int:
    alone: list[Figures] = []
    beside: list[Figures] = []
    hot: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="cm") as directory:
        async with fleet(f"sqlite:///{Path(directory) / 'central.db'}", 1) as (sidecar,):
            async with Connection(sidecar.address) as connection:
                for account in ("hot", "quiet"):
                    await open_account(connection, account, permanent=[10_000_000])
            for number in range(-1, rounds):  # the first round warms up
                quiet = {"address": sidecar.address, "account": "quiet", "pause": PAUSE_SECONDS, "seconds": seconds}
                busy = quiet | {"account": "hot", "callers": callers, "pause": 0.0, "seconds": seconds + 2.5}
                first = await asyncio.to_thread(_run, quiet)
                loading = asyncio.create_task(asyncio.to_thread(_run, busy))
                second = await asyncio.to_thread(_run, quiet | {"wait": 1.0})
                third = await loading
                if number >= 0:
                    alone.append(first)
                    beside.append(second)
                    hot.append(third)
                print(f"round {number + 1} of {rounds}: {first} {second} {third}", file=sys.stderr, flush=True)
    return _report(alone, beside, hot)


def _report(alone: list[Figures], beside: list[Figures], hot: list[Figures]) -> int:
    """Print the medians over the rounds, and the ratio of each round's percentiles."""
    for name, found in (("quiet, alone", alone), ("quiet, beside", beside), ("hot", hot)):
        p50, p99, rate = (statistics.median(each[what] for each in found) for what in ("p50_ms", "p99_ms", "rate"))
        print(f"{name:14} {rate:8,.0f} calls a second, median {p50:7.2f} ms, p99 {p99:7.2f} ms")
    times = statistics.median(each["p99_ms"] / one["p99_ms"] for one, each in zip(alone, beside, strict=True))
    print(f"p99 of the quiet account beside {HOT_CALLERS} callers: {times:.2f} times as long as alone (target {MOST_TIMES})")
    return int(times > MOST_TIMES)


def _run(job: dict[str, Any]) -> Figures:
    command = [sys.executable, "-m", "tests.benchmarks.fairness", "--load", json.dumps(job)]
    found: Figures = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


async def _load(address: str, account: str, pause: float, seconds: float, callers: int = 1, wait: float = 0.0) -> Figures:
    """Reserve and commit for so many seconds. Returns the calls a second and percentiles of a call, in milliseconds."""
    latencies: list[float] = []
    await asyncio.sleep(wait)
    async with Connection(address) as connection:
        run, ends_at = uuid.uuid4().hex, time.perf_counter() + seconds

        async def work(task: int) -> None:
            number = 0
            while (began := time.perf_counter()) < ends_at:
                number += 1
                reserve = metering_pb2.ReserveRequest(
                    request_id=f"{run}-{task}-{number}/r", account_id=account, amount_microcredits=2 * CREDIT
                )
                held = (await connection.metering.Reserve(reserve)).reservation.reservation_id
                middle = time.perf_counter()
                commit = metering_pb2.CommitRequest(
                    request_id=f"{run}-{task}-{number}/c", reservation_id=held, amount_microcredits=CREDIT
                )
                await connection.metering.Commit(commit)
                latencies.extend((middle - began, time.perf_counter() - middle))
                if pause:
                    await asyncio.sleep(pause)

        await asyncio.gather(*(work(task) for task in range(callers)))
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] * 1e3 for share in (0.5, 0.99))
    return {"rate": len(latencies) / seconds, "p50_ms": p50, "p99_ms": p99}


if __name__ == "__main__":
    sys.exit(main())
