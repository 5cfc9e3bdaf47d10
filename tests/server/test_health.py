"""How the central store is looked at."""

import asyncio
import gc
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.server import health
from creditmeter.server.health import Health

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class SlowStore:
    """A central store that answers when the test says so: that it does not work."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked = 0

    async def ping(self) -> None:
        """Fail, late."""
        self.asked += 1
        await self.answers.wait()
        raise CentralUnavailable("busy")


async def test_a_look_that_fails_late_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason was that there was no answer in time. Python complained of an exception that nobody retrieved."""
    monkeypatch.setattr(health, "_PING_TIMEOUT_SECONDS", 0.0)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))
    store: Any = SlowStore()
    looked = Health()
    assert await looked._look(store) == NOT_SERVING
    store.answers.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    monkeypatch.setattr(health, "_PING_TIMEOUT_SECONDS", 1.0)
    assert await looked._look(store) == NOT_SERVING
    assert store.asked == 2
    del looked
    gc.collect()
    assert complaints == []
