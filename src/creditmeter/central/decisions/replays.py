"""Replays: loads and saves requests with their first replies, under the caller's lock on the account.

A request that the central store decided gets the same reply when it is repeated.
"""

from typing import TypeVar

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import encode
from creditmeter.core.credit.requests import Done, difference
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import RequestIdReused

Reply = TypeVar("Reply")


async def replay(
    connection: AsyncConnection, account_id: AccountId, request_id: RequestId, request: object, reply_type: type[Reply]
) -> Done[Reply] | RequestIdReused | None:
    """The first reply to this request. A refusal if the id belongs to another request; None if the id is new."""
    requests = tables.requests
    query = select(requests).where(requests.c.account_id == account_id, requests.c.request_id == request_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    if row["rpc"] != type(request).__name__:
        return RequestIdReused("rpc")
    field = difference(msgspec.json.decode(row["request"], type=type(request)), request)
    return Done(msgspec.json.decode(row["reply"], type=reply_type), replayed=True) if field is None else RequestIdReused(field)


async def remember(
    connection: AsyncConnection,
    account_id: AccountId,
    request_id: RequestId,
    request: object,
    reply: object,
    now: Instant,
) -> None:
    """Save a request with its reply, in the transaction in which it takes effect."""
    row = {
        "account_id": account_id,
        "request_id": request_id,
        "rpc": type(request).__name__,
        "request": encode(request),
        "reply": encode(reply),
        "created_at": now,
    }
    await connection.execute(tables.requests.insert(), [row])
