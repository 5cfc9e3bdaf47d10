"""Waiting until the running program has posted a charge, which it does without being asked."""

import asyncio

from creditmeter.v1 import charges_pb2, metering_pb2
from tests.server.conftest import Services

PAUSE_SECONDS = 0.002
"""Between two looks: without one, asking took most of the time that there is for posting."""


async def settled_charge(services: Services, charge_id: str) -> charges_pb2.Charge:
    """A charge as soon as it is posted."""
    asked = metering_pb2.GetChargeRequest(charge_id=charge_id)
    async with asyncio.timeout(60):
        while not (charge := (await services.metering.GetCharge(asked)).charge).HasField("posted_at"):
            await asyncio.sleep(PAUSE_SECONDS)
    return charge
