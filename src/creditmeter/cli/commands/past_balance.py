"""The balance of an account in the past, as the central store tells it.

It is the sum of the amounts of all entries of history that were posted at that moment or before: the balance that the central
store had then. A charge that was made before and posted later is not in it. So it does not change afterwards, except by entries
that are being posted at that very moment.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.connection import LONG_READ, PATIENCE
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import timestamp
from creditmeter.client.stubs import Connection, call
from creditmeter.v1 import account_pb2, grants_pb2

KINDS = (grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_KIND_MONTHLY, grants_pb2.GRANT_KIND_PERMANENT)


@dataclass(frozen=True, slots=True)
class PastBalance:
    """What was left at a moment, in microcredits: the balance, and the part of each kind."""

    at: Timestamp
    balance: int
    by_kind: dict[int, int]

    def as_json(self) -> dict[str, Any]:
        """The balance as JSON, with names in the manner of the contract."""
        buckets = [{"kind": grants_pb2.GrantKind.Name(kind), "remaining_microcredits": self.by_kind[kind]} for kind in KINDS]
        return {"at": self.at.ToJsonString(), "balance_microcredits": self.balance, "buckets": buckets}


async def read_past_balance(client: Connection, account_id: str, at: datetime) -> PastBalance:
    """The balance of an account at a moment; 0 before it had any history.

    Whether the moment is over is decided by the central store's clock, by which entries are posted. This host's clock may
    differ.

    Raises:
        CreditmeterError: the sidecar refused, or did not answer.
        CommandFailed: the moment is yet to come.
    """
    moment = timestamp(at)
    assert moment is not None
    present = await call(client.account.GetBalance, account_pb2.GetBalanceRequest(account_id=account_id), PATIENCE)
    if not present.stale and (moment.seconds, moment.nanos) > (present.as_of.seconds, present.as_of.nanos):
        when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        raise CommandFailed(f"{when} is yet to come: without --at the balance of now is shown", ExitCode.USAGE)
    request = account_pb2.GetPastBalanceRequest(account_id=account_id, at=moment)
    reply = await call(client.account.GetPastBalance, request, LONG_READ)
    by_kind: dict[int, int] = {int(each.kind): each.remaining_microcredits for each in reply.buckets}
    return PastBalance(moment, reply.balance_microcredits, by_kind)
