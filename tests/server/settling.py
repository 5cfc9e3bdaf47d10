"""Settling a charge now, of a program that does so by itself sooner or later."""

from creditmeter.core.ids import AccountId, ChargeId
from creditmeter.v1 import charges_pb2, metering_pb2
from tests.server.conftest import Services


async def settled_charge(services: Services, charge_id: str) -> charges_pb2.Charge:
    """A charge, once it is posted."""
    asked = metering_pb2.GetChargeRequest(charge_id=charge_id)
    charge = (await services.metering.GetCharge(asked)).charge
    await services.program.sidecar._settler.settle_charge(AccountId(charge.account_id), ChargeId(charge_id))
    charge = (await services.metering.GetCharge(asked)).charge
    assert charge.HasField("posted_at")
    return charge
