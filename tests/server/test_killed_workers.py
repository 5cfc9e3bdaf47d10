"""The process of a worker is killed in the middle of its calls."""

import asyncio
import subprocess
import sys

import pytest

from creditmeter.core.instants import HOUR
from creditmeter.v1 import metering_pb2
from tests.cases import more
from tests.clocks import ManualClock
from tests.server.conftest import Services
from tests.server.metered import CREDIT, after_grace, balance, charges

CALLS = 12


@pytest.mark.parametrize("lines", [200, *more(50, 1_000, 3_000)])
async def test_what_a_killed_worker_reported_is_charged_once(services: Services, clock: ManualClock, lines: int) -> None:
    """Each stream for what the sidecar knew of it, which is no more than was generated; the other holds run out."""
    await services.create("alice", permanent=1_000 * CREDIT)
    generated = await killed_after(lines, services)
    reservations = await services.metering.ListReservations(metering_pb2.ListReservationsRequest(account_id="alice"))
    known = {each.labels["job"]: each.progress.output_tokens for each in reservations.reservations if each.labels}
    assert len(reservations.reservations) == CALLS
    await after_grace(services, clock)
    charged = {each.labels["job"]: each.usage.output_tokens for each in await charges(services)}
    assert charged == {job: tokens for job, tokens in known.items() if tokens}
    assert charged, "some of them had made progress"
    assert all(tokens <= generated[job] for job, tokens in charged.items())
    available, held = await balance(services)
    assert held > 0, "what waits for a reply is held until its deadline"
    clock.advance(HOUR)
    await services.program.sidecar.look_after()
    assert await balance(services) == (available + held, 0)


async def killed_after(lines: int, services: Services) -> dict[str, int]:
    """Start a worker, and kill it once it has printed so many lines. Returns how many tokens each of its calls generated."""
    command = [sys.executable, "-m", "tests.server.killed_worker", services.program.addresses[1], str(CALLS)]
    generated: dict[str, int] = {}
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    printed, is_killed = 0, False
    async for line in worker.stdout:
        if not line.endswith(b"\n"):
            break  # its end was killed as well
        job, tokens = line.decode().split()
        generated[job] = int(tokens)
        printed += 1
        if not is_killed and printed >= lines and len(generated) == CALLS:
            worker.kill()
            is_killed = True
    await worker.wait()
    assert len(generated) == CALLS
    return generated
