"""Replays: loads and saves requests with their first replies, under the caller's lock on the account.

A request that the central store decided gets the same reply when it is repeated.
"""

from typing import TypeVar

from sqlalchemy import select

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.reading import reading
from creditmeter.core.credit.requests import Done, difference
from creditmeter.core.ids import AccountId, RequestId
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import RequestIdReused
from creditmeter.forms.administration import CENTRAL_REQUEST, CentralRequest, reply_form

Reply = TypeVar("Reply")


async def replay(
    connection: AsyncConnection, account_id: AccountId, request_id: RequestId, request: CentralRequest, reply_type: type[Reply]
) -> Done[Reply] | RequestIdReused | None:
    """The first reply to this request. A refusal if the id belongs to another request; None if the id is new."""
    requests = tables.requests
    query = select(requests).where(requests.c.account_id == account_id, requests.c.request_id == request_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    if row["rpc"] != CENTRAL_REQUEST.name(request):
        return RequestIdReused("rpc")
    with reading(account_id, f"the request {request_id!r}"):
        first = CENTRAL_REQUEST.decode(row["rpc"], row["request"])
        reply = reply_form(reply_type).decode(row["reply"])
    field = difference(first, request)
    return Done(reply, replayed=True) if field is None else RequestIdReused(field)


async def remember(
    connection: AsyncConnection,
    account_id: AccountId,
    request_id: RequestId,
    request: CentralRequest,
    reply: object,
    now: Instant,
) -> None:
    """Save a request with its reply, in the transaction in which it takes effect."""
    row = {
        "account_id": account_id,
        "request_id": request_id,
        "rpc": CENTRAL_REQUEST.name(request),
        "request": CENTRAL_REQUEST.encode_text(request),
        "reply": reply_form(type(reply)).encode_text(reply),
        "created_at": now,
    }
    await connection.execute(tables.requests.insert(), [row])
