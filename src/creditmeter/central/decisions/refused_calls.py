"""Refused calls: saves the calls that were refused for lack of credit, for forecasts. No balance depends on them.

The lock is the caller's: the account's row is locked before.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.upserts import upsert
from creditmeter.core.credit.messages import RefusedCall
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, Span

KEPT_FOR = Span(31 * DAY)
"""How long a refused call is kept: a day longer than a forecast looks back."""

MOST_KEPT = 10_000
"""Most refused calls that are kept of one account; the oldest are dropped first."""


async def put_refused_calls(connection: AsyncConnection, account_id: AccountId, calls: Sequence[RefusedCall]) -> None:
    """Save the calls that a sidecar refused, and drop what is too old or too much. A new refusal of a call replaces its row."""
    if not calls:
        return
    refused = tables.refused_calls
    rows = [
        {
            "account_id": account_id,
            "request_id": each.request_id,
            "refused_at": each.refused_at,
            "action": each.action,
            "required_microcredits": each.required,
        }
        for each in calls
    ]
    await upsert(connection, refused, rows)
    of_account = refused.c.account_id == account_id
    newest_first = select(refused.c.refused_at).where(of_account).order_by(refused.c.refused_at.desc())
    too_many = (await connection.execute(newest_first.offset(MOST_KEPT).limit(1))).scalar_one_or_none()
    too_old = max(each.refused_at for each in calls) - KEPT_FOR
    dropped_until = too_old if too_many is None else max(too_old, too_many)
    await connection.execute(delete(refused).where(of_account, refused.c.refused_at <= dropped_until))
