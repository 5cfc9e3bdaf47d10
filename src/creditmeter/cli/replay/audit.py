"""The audit after a replay: each acknowledged charge and refund must be in history once, at the acknowledged price.

History is read through the sidecar. The central store itself is verified afterwards.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from creditmeter.cli.paging import pages
from creditmeter.cli.replay.tally import Tally
from creditmeter.cli.settling import settled_balance
from creditmeter.client.stubs import Connection, Retry, call
from creditmeter.v1 import account_pb2, metering_pb2

MAX_ENTRIES = 10_000_000
"""Most entries of one account's history that are read."""

_MOVES = (account_pb2.HISTORY_TYPE_CHARGED, account_pb2.HISTORY_TYPE_REFUNDED)


@dataclass(slots=True)
class Found:
    """Counts of acknowledged charges or refunds, by how often each was found. `different` names those at another price."""

    acknowledged: int = 0
    found: int = 0
    missing: int = 0
    doubled: int = 0
    different: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether each was found exactly once, at the acknowledged price."""
        return self.found == self.acknowledged and not self.doubled and not self.different

    def count(self, times: int) -> None:
        """Count one that was found so many times."""
        self.acknowledged += 1
        self.found += times > 0
        self.missing += times == 0
        self.doubled += times > 1


@dataclass(slots=True)
class Audit:
    """The findings on charges and refunds, and the microcredits that were still unposted or held when the time was up."""

    charges: Found = field(default_factory=Found)
    refunds: Found = field(default_factory=Found)
    unposted: int = 0
    held: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether everything is there once, nothing is unsettled, and every hold has ended."""
        return self.charges.is_clean and self.refunds.is_clean and not self.unposted and not self.held


async def audit(client: Connection, accounts: Iterable[str], tally: Tally, patience_seconds: float, retry: Retry) -> Audit:
    """Wait until everything is settled and the holds of killed workers have expired, then look for each charge and refund.

    Raises:
        CreditmeterError: the sidecar did not answer.
    """
    result = Audit()
    deadline = time.monotonic() + patience_seconds
    for account_id in accounts:
        balance = await settled_balance(client, account_id, deadline, retry)
        result.unposted += balance.unposted_microcredits
        result.held += balance.held_microcredits
        await _look(client, account_id, tally, result, retry)
    return result


async def _look(client: Connection, account_id: str, tally: Tally, result: Audit, retry: Retry) -> None:
    """Look for the acknowledged charges and refunds of one account."""
    request = account_pb2.ListHistoryRequest(account_id=account_id, types=_MOVES)
    history = await pages(client.account.ListHistory, request, lambda page: len(page.entries), MAX_ENTRIES, retry)
    charges = [each for each in history.entries if each.type == account_pb2.HISTORY_TYPE_CHARGED]
    charged = Counter(each.charge_id for each in charges)
    taken = {each.charge_id: -each.amount_microcredits for each in charges}
    for charge_id, cost in tally.charges.get(account_id, {}).items():
        result.charges.count(charged[charge_id])
        if charged[charge_id] and taken[charge_id] != cost:
            await _compare_cost(client, charge_id, cost, result, retry)
    returned = Counter(each.refund_id for each in history.entries if each.type == account_pb2.HISTORY_TYPE_REFUNDED)
    for refund_id in tally.refunds.get(account_id, {}):
        result.refunds.count(returned[refund_id])


async def _compare_cost(client: Connection, charge_id: str, cost: int, result: Audit, retry: Retry) -> None:
    """Compare the acknowledged cost with that of the charge. History has only what grants paid, without debt and write-offs."""
    found = await call(client.metering.GetCharge, metering_pb2.GetChargeRequest(charge_id=charge_id), retry)
    if found.charge.cost_microcredits != cost:
        text = f"{charge_id}: acknowledged {cost} microcredits, stored {found.charge.cost_microcredits}"
        result.charges.different.append(text)
