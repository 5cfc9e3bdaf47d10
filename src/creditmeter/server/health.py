"""The gRPC health service, for probes: three services, each for another question.

- "" (empty) is SERVING while the process is up.
- `creditmeter.v1.MeteringService` is SERVING while this sidecar can meter. Only local causes change it: an outage of the
  central store must not take every sidecar out of service, because commits still work.
- `creditmeter.central` is SERVING while the central store works: rows of it can be read, and others written.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog
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
_PING_TIMEOUT_SECONDS = 2.0
_LAST_PING_SECONDS = 0.5

_log = structlog.get_logger()


class Health:
    """Keeps the health service up to date."""

    def __init__(self) -> None:
        self.servicer = aio.HealthServicer()
        self._changes: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._ping: asyncio.Task[None] | None = None
        self._central = int(_SERVING)

    async def start(self, central: "CentralStore") -> None:
        """Set MeteringService to SERVING, and begin to watch the central store."""
        await self.servicer.set("", _SERVING)
        await self.servicer.set(METERING, _SERVING)
        await self.servicer.set(CENTRAL, await self._look(central))
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._watch(central))]

    def on_condition(self, condition: Condition) -> None:
        """Publish a change of the sidecar's condition."""
        self._changes.put_nowait((METERING, _SERVING if condition is Condition.SERVING else _NOT_SERVING))

    async def stop(self) -> None:
        """Set all services to NOT_SERVING, for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ping is not None:
            self._ping.cancel()
            await asyncio.wait((self._ping,), timeout=_LAST_PING_SECONDS)
        await self.servicer.enter_graceful_shutdown()

    async def _publish(self) -> None:
        while True:
            name, status = await self._changes.get()
            await self.servicer.set(name, status)

    async def _watch(self, central: "CentralStore") -> None:
        while True:
            await asyncio.sleep(_PING_INTERVAL_SECONDS)
            self._changes.put_nowait((CENTRAL, await self._look(central)))

    async def _look(self, central: "CentralStore") -> int:
        """Whether the central store works. The log says when that changes, and why."""
        reason = await self._reason_against(central)
        status = int(_SERVING if reason is None else _NOT_SERVING)
        if status != self._central:
            if reason is None:
                _log.info("the central store can be used again")
            else:
                _log.warning("the central store cannot be used", reason=reason)
        self._central = status
        return status

    async def _reason_against(self, central: "CentralStore") -> str | None:
        """Why the central store does not work; None if it does. An attempt that takes too long goes on: a disk that does not
        answer would keep it from being cancelled. There is one at a time.
        """
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(central.ping())
            self._ping.add_done_callback(_log_fault)  # it may end when nobody waits for it any more
        await asyncio.wait((self._ping,), timeout=_PING_TIMEOUT_SECONDS)
        if not self._ping.done():
            return f"no answer within {_PING_TIMEOUT_SECONDS:g} s"
        error = self._ping.exception()
        return None if error is None else str(error)


def _log_fault(ping: asyncio.Task[None]) -> None:
    """Log what went wrong in a look at the central store, apart from what says that it does not work."""
    error = None if ping.cancelled() else ping.exception()
    if error is not None and not isinstance(error, CentralUnavailable):
        _log.error("the central store cannot be looked at", exc_info=error)
