"""Alerts that fired, written down by hand."""

from sqlalchemy import insert

from creditmeter.central.decisions.deliveries import delivery_row
from creditmeter.central.schema import tables
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.low_balance import LowBalance, Measure
from creditmeter.core.ids import AccountId
from tests.clocks import NOON


def low_balance(account_id: str = "acme") -> LowBalance:
    """An alert that fired at noon."""
    measure = Measure(Microcredits(9), Microcredits(100))
    return LowBalance(AccountId(account_id), Alert(percent=10), measure, "DAILY 2026-11-24", NOON, 3)


async def put(store: CentralStore, account_id: str = "acme", *, fired: LowBalance | None = None) -> None:
    """Have it wait to be delivered."""
    async with store.database.write() as connection:
        row = delivery_row(fired or low_balance(account_id))
        await connection.execute(insert(tables.alert_deliveries), [row])
