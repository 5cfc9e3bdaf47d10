"""A daily limit through the death of its sidecar, by SIGKILL while its worker spends."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from creditmeter.client.access import Access
from creditmeter.client.errors import DailyLimitExceeded
from creditmeter.client.stubs import Connection, call
from creditmeter.core.access import Scope
from creditmeter.core.amounts import from_credits
from creditmeter.v1 import metering_pb2
from tests.credentials import AccessFile
from tests.e2e.fleet import CREDIT, fleet, open_account, reserve

ACCOUNT = "alice"
LIMIT = 20
LAST_MINUTE = (23, 59)


async def charged(worker: Connection, request_id: str) -> bool:
    """Charge a credit. Returns whether that was within the limit."""
    asked = metering_pb2.ChargeRequest(request_id=request_id, account_id=ACCOUNT, amount_microcredits=CREDIT)
    try:
        await call(worker.metering.Charge, asked)
    except DailyLimitExceeded:
        return False
    return True


@pytest.mark.long
async def test_the_sum_survives_sigkill(central_url: str, tmp_path: Path) -> None:
    """Of charges and a hold. Callers of the socket without a token have no limit."""
    if (datetime.now(UTC).hour, datetime.now(UTC).minute) == LAST_MINUTE:
        pytest.skip("the UTC day ends while it runs, and another limit begins")
    access_file = AccessFile(tmp_path / "access.json")
    access_file.give("worker", Scope.METER, daily_limit=from_credits(LIMIT))
    access = Access.of(token=access_file.token("worker"))
    async with (
        fleet(central_url, 1, access_file=str(access_file.path)) as (sidecar,),
        Connection(sidecar.address) as operator,
        Connection(sidecar.address, access) as worker,
    ):
        await open_account(operator, ACCOUNT, permanent=[100])
        await reserve(worker, "held", ACCOUNT, 5)
        for number in range(3):
            assert all(await asyncio.gather(*(charged(worker, f"{number}/{each}") for each in range(4))))
            await asyncio.to_thread(sidecar.kill)
            await asyncio.to_thread(sidecar.start)
        more = await asyncio.gather(*(charged(worker, f"more/{each}") for each in range(10)))
        assert more.count(True) == LIMIT - 5 - 3 * 4
        await reserve(operator, "unlimited", ACCOUNT, 50)
