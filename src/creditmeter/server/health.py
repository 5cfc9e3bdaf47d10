"""Health (grpc.health.v1) of three services that probes may ask for.

- The empty name is SERVING while the process is alive.
- `creditmeter.v1.MeteringService` is SERVING while this sidecar can meter. Only local causes change it: an outage of the
  central store must not take every sidecar out of service, because commits still work.
- `creditmeter.central` is SERVING while the central store answers.
"""

import asyncio
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.sidecar.status import Condition

if TYPE_CHECKING:  # commands that ask for health need no database
    from creditmeter.central.store import CentralStore

METERING = "creditmeter.v1.MeteringService"
CENTRAL = "creditmeter.central"

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_PING_INTERVAL_SECONDS = 5.0
_PING_TIMEOUT_SECONDS = 5.0


class Health:
    """Keeps the health service up to date."""

    def __init__(self) -> None:
        self.servicer = aio.HealthServicer()
        self._changes: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, central: "CentralStore") -> None:
        """Set MeteringService to SERVING, and begin to watch the central store."""
        await self.servicer.set("", _SERVING)
        await self.servicer.set(METERING, _SERVING)
        await self.servicer.set(CENTRAL, await _reachability(central))
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._watch(central))]

    def on_condition(self, condition: Condition) -> None:
        """Publish a change of the sidecar's condition."""
        self._changes.put_nowait((METERING, _SERVING if condition is Condition.SERVING else _NOT_SERVING))

    async def stop(self) -> None:
        """Set all services to NOT_SERVING, for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.servicer.enter_graceful_shutdown()

    async def _publish(self) -> None:
        while True:
            name, status = await self._changes.get()
            await self.servicer.set(name, status)

    async def _watch(self, central: "CentralStore") -> None:
        while True:
            await asyncio.sleep(_PING_INTERVAL_SECONDS)
            self._changes.put_nowait((CENTRAL, await _reachability(central)))


async def _reachability(central: "CentralStore") -> int:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_SECONDS):
            await central.ping()
    except (CentralUnavailable, TimeoutError):
        return int(_NOT_SERVING)
    return int(_SERVING)
