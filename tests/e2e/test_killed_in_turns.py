"""SIGKILL while calls of one account wait for their turns: each is charged once in the end."""

import asyncio

import pytest

from creditmeter.client.stubs import Connection, Retry, call
from creditmeter.v1 import metering_pb2
from tests.e2e.fleet import CREDIT, assert_clean, fleet, open_account, settled
from tests.e2e.load import assert_charged_once

ACCOUNT = "alice"
ROUNDS = 3
"""So many times calls wait when it is killed."""

CALLS = 200
"""In each round, on one account, of which far fewer are under way at a time."""

GRANTED = 10_000
PATIENT = Retry(total=60, attempt=30)


async def charge(client: Connection, request_id: str, some_are_answered: asyncio.Event) -> str:
    """Charge a credit, however often the sidecar has to be asked. Returns the charge's id."""
    asked = metering_pb2.ChargeRequest(request_id=request_id, account_id=ACCOUNT, amount_microcredits=CREDIT)
    reply = await call(client.metering.Charge, asked, PATIENT)
    some_are_answered.set()
    return reply.charge.charge_id


@pytest.mark.long
async def test_calls_that_wait_for_their_turns(central_url: str) -> None:
    """Killed after the first reply of each round: the other calls wait, are decided, or written, or answered already."""
    charges: dict[str, int] = {}
    caught = 0
    async with fleet(central_url, 1) as (sidecar,), Connection(sidecar.address) as client:
        await open_account(client, ACCOUNT, permanent=[GRANTED])
        while caught < ROUNDS:
            answered = asyncio.Event()
            calls = [asyncio.create_task(charge(client, f"{len(charges) + each}", answered)) for each in range(CALLS)]
            await answered.wait()
            await asyncio.to_thread(sidecar.kill)
            caught += not all(each.done() for each in calls)
            await asyncio.to_thread(sidecar.start)
            charges |= dict.fromkeys(await asyncio.gather(*calls), CREDIT)
        assert len(charges) % CALLS == 0
        assert (await settled([client], ACCOUNT)).available_microcredits == GRANTED * CREDIT - sum(charges.values())
        await assert_charged_once(client, [ACCOUNT], charges)
    await assert_clean(central_url)
