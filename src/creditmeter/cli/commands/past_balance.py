"""The balance of an account in the past, computed from its history.

It is the sum of the amounts of all entries that were posted at that moment or before: the balance that the central store had
then. A charge that was made before and posted later is not in it. So it does not change afterwards, except by entries that are
being posted at that very moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.connection import PATIENCE
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import timestamp
from creditmeter.cli.paging import LARGEST_PAGE
from creditmeter.cli.screen import say
from creditmeter.client import Client, call
from creditmeter.v1 import account_pb2, grants_pb2

LONG = 20
"""Pages after which a line of progress is printed, again and again."""

KINDS = (grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_KIND_MONTHLY, grants_pb2.GRANT_KIND_PERMANENT)

_GIVES_BACK = (account_pb2.HISTORY_TYPE_REFUNDED,)


@dataclass(slots=True)
class PastBalance:
    """The sums of entries up to a moment, in microcredits: the balance, and the part of each kind. `entries` counts them."""

    at: Timestamp
    balance: int = 0
    by_kind: dict[int, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    entries: int = 0
    stated: int | None = None

    def add(self, entries: Iterable[account_pb2.HistoryEntry]) -> None:
        """Add entries, newest first. Entries that were posted after the moment are left out."""
        for entry in entries:
            if (entry.posted_at.seconds, entry.posted_at.nanos) <= (self.at.seconds, self.at.nanos):
                self._count(entry)

    def _count(self, entry: account_pb2.HistoryEntry) -> None:
        if self.stated is None:
            self.stated = entry.balance_after_microcredits
        self.entries += 1
        self.balance += entry.amount_microcredits
        if entry.draws:
            sign = 1 if entry.type in _GIVES_BACK else -1
            for draw in entry.draws:
                self.by_kind[draw.kind] += sign * draw.amount_microcredits
        elif entry.kind:
            self.by_kind[entry.kind] += entry.amount_microcredits

    def check(self) -> None:
        """Compare the sum with the balance that the newest entry states.

        Raises:
            CommandFailed: they differ, or the buckets do not make up the balance.
        """
        if self.balance != (self.stated or 0) or sum(self.by_kind.values()) != self.balance:
            raise CommandFailed("the account's history does not add up: `creditmeter verify` says where")

    def as_json(self) -> dict[str, Any]:
        """The balance as JSON, with names in the manner of the contract."""
        buckets = [{"kind": grants_pb2.GrantKind.Name(kind), "remaining_microcredits": self.by_kind[kind]} for kind in KINDS]
        return {"at": self.at.ToJsonString(), "balance_microcredits": self.balance, "buckets": buckets}


async def read_past_balance(client: Client, account_id: str, at: datetime) -> PastBalance:
    """The balance of an account at a moment; 0 before it had any history.

    Whether the moment is over is decided by the central store's clock, by which entries are posted. This host's clock may
    differ.

    Raises:
        CallError: the sidecar refused, or did not answer.
        CommandFailed: the moment is yet to come, or the history does not add up.
    """
    moment = timestamp(at)
    assert moment is not None
    present = await call(client.account.GetBalance, account_pb2.GetBalanceRequest(account_id=account_id), PATIENCE)
    if not present.stale and (moment.seconds, moment.nanos) > (present.as_of.seconds, present.as_of.nanos):
        when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        raise CommandFailed(f"{when} is yet to come: without --at the balance of now is shown", ExitCode.USAGE)
    found = PastBalance(moment)
    request = account_pb2.ListHistoryRequest(account_id=account_id, page_size=LARGEST_PAGE)
    pages = 0
    while True:
        page = await call(client.account.ListHistory, request, PATIENCE)
        found.add(page.entries)
        pages += 1
        if not page.next_page_token:
            found.check()
            return found
        if pages % LONG == 0:
            say(f"read {pages * LARGEST_PAGE:,} entries of history")
        request.page_token = page.next_page_token
