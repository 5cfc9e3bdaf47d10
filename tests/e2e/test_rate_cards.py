"""A card that is published while sidecars run: all of them follow, and what was reserved before keeps its price."""

import asyncio

import pytest

from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import account_pb2, admin_pb2, metering_pb2, work_pb2
from tests.cli.processes import SidecarProcess
from tests.e2e.fleet import CREDIT, assert_clean, fleet, history, open_account, settled, stop_all

ACCOUNT = "alice"
FOLLOW_SECONDS = 20
WORK = work_pb2.Work(action="text", request_model="house", input_tokens=1_000_000, max_output_tokens=0)


def document(version: str, price: int) -> str:
    """A card by which a million tokens cost so many credits."""
    prices = f'unit = "credits"\ninput = {price}\noutput = {price}\n'
    return f'version = "{version}"\neffective_from = 2026-01-01T00:00:00Z\n[[text.models]]\nmodel = "house"\n{prices}'


@pytest.mark.long
async def test_every_sidecar_follows(postgres_url: str) -> None:
    """Also one that is killed meanwhile, and comes back while the hold of the old card is still open."""
    async with fleet(postgres_url, 2) as sidecars:
        here, there = (Connection(each.address) for each in sidecars)
        await open_account(here, ACCOUNT, permanent=[100])
        await publish(here, "v1", 3)
        await follows(there, "v1")
        request = metering_pb2.ReserveRequest(request_id="old", account_id=ACCOUNT, work=WORK)
        held = (await call(there.metering.Reserve, request)).reservation
        await publish(here, "v2", 5)
        await follows(there, "v2")
        await restarted(sidecars[1])
        await follows(there, "v2")
        usage = work_pb2.Usage(input_tokens=1_000_000, output_tokens=0)
        commit = metering_pb2.CommitRequest(request_id="commit", reservation_id=held.reservation_id, usage=usage)
        assert (await call(there.metering.Commit, commit)).charge.rate_card_version == "v1"
        usage = work_pb2.Usage(action="text", request_model="house", input_tokens=1_000_000, output_tokens=0)
        charge = metering_pb2.ChargeRequest(request_id="charge", account_id=ACCOUNT, usage=usage)
        assert (await call(there.metering.Charge, charge)).charge.rate_card_version == "v2"
        await settled((here, there), ACCOUNT)
        charged = [each for each in await history(here, ACCOUNT) if each.type == account_pb2.HISTORY_TYPE_CHARGED]
        found = [(each.rate_card_version, each.amount_microcredits // CREDIT) for each in charged]
        assert found == [("v1", -3), ("v2", -5)]
        for client in (here, there):
            await client.close()
        assert await stop_all(sidecars) == [0, 0]
    await assert_clean(postgres_url)


async def publish(client: Connection, version: str, price: int) -> None:
    """Publish a card."""
    await call(client.admin.PublishRateCard, admin_pb2.PublishRateCardRequest(document=document(version, price)))


async def follows(client: Connection, version: str) -> None:
    """Wait until a sidecar prices by a card."""
    async with asyncio.timeout(FOLLOW_SECONDS):
        while (await call(client.account.ListModelPrices, account_pb2.ListModelPricesRequest())).rate_card_version != version:
            await asyncio.sleep(0.1)


async def restarted(sidecar: SidecarProcess) -> None:
    """Kill a sidecar and start it again."""
    await asyncio.to_thread(sidecar.kill)
    await asyncio.to_thread(sidecar.start)
