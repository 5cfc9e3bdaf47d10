"""Waiting until a sidecar has posted everything of an account to the central store."""

import asyncio
import time

from creditmeter.client.stubs import Connection, Retry, call
from creditmeter.v1 import account_pb2

POLL_SECONDS = 0.1


async def settled_balance(client: Connection, account_id: str, deadline: float, retry: Retry) -> account_pb2.GetBalanceResponse:
    """An account's balance once nothing is held and nothing waits to be posted, or at the deadline.

    `deadline` is on the monotonic clock, in seconds.

    Raises:
        CreditmeterError: the sidecar did not answer.
    """
    request = account_pb2.GetBalanceRequest(account_id=account_id)
    while True:
        balance = await call(client.account.GetBalance, request, retry)
        waits = balance.unposted_microcredits or balance.held_microcredits
        if not waits or time.monotonic() > deadline:
            return balance
        await asyncio.sleep(POLL_SECONDS)
