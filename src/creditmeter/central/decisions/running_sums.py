"""The running sums of an account's row: what its charges owe, and what its grants have left that have not begun.

They save a decision the look at charges that owe nothing and at grants that nobody may draw on yet. `summed_entry` is the line
of history up to which they count. A program of an older version knows nothing of them, but it writes a line with whatever
changes them. So sums whose `summed_entry` is not the last line are not used: they are computed anew, and saved with the next
decision.

A grant that has not begun is marked `begins_later`. The first decision after its beginning loads it and takes the mark away.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, or_, select, update

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.grants import Grant
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.setting_back import is_set_back

_grants = tables.grants.c
_OF_ACCOUNT = _grants.account_id == bindparam("account")
_BEGINS = _grants.effective_at > bindparam("now")
_TO_COME = select(func.coalesce(func.sum(_grants.remaining_microcredits), 0)).where(_OF_ACCOUNT, tables.HAS_CREDIT, _BEGINS)
_MARK_BEGUN = update(tables.grants).where(_OF_ACCOUNT, tables.IS_TO_COME, ~_BEGINS).values(begins_later=False)
_MARK_ANEW = (
    update(tables.grants)
    .where(_OF_ACCOUNT, tables.HAS_CREDIT, or_(_grants.begins_later & ~_BEGINS, ~_grants.begins_later & _BEGINS))
    .values(begins_later=_BEGINS)
)


def are_current(account: RowMapping) -> bool:
    """Whether the sums of an account's row count all of its history."""
    return bool(account["summed_entry"] == account["last_entry"])


def may_owe(account: RowMapping) -> bool:
    """Whether charges of the account may owe debt."""
    return not are_current(account) or account["debt_microcredits"] > 0


@dataclass(frozen=True, slots=True)
class RunningSums:
    """The sums as a decision found them.

    `to_come` is what is left of the grants that begin after the decision, in microcredits; `loaded` are the grants that it
    loaded. `has_begun`: grants are marked that have begun since. Unless the sums are `current`, all marks are set anew.
    """

    to_come: Microcredits
    loaded: tuple[Grant, ...]
    current: bool
    has_begun: bool

    async def save(self, connection: AsyncConnection, ledger: Ledger) -> dict[str, Any]:
        """Set the marks of grants, and return the sums as the ledger leaves them, for the account's row."""
        values = {"account": ledger.account.account_id, "now": ledger.now}
        if not self.current:
            await connection.execute(_MARK_ANEW, values)
        elif self.has_begun:
            await connection.execute(_MARK_BEGUN, values)
        before = {each.grant_id: _left_later(each, ledger.now) for each in self.loaded}
        changed = ledger.changes.grants.values()
        more = sum(_left_later(each, ledger.now) - before.get(each.grant_id, 0) for each in changed)
        return {"debt_microcredits": ledger.debt, "to_come_microcredits": self.to_come + more}


def _left_later(grant: Grant, now: Instant) -> int:
    """What a grant has left, in microcredits, if it has not begun; else 0."""
    return grant.remaining if grant.effective_at > now else 0


async def running_sums(
    connection: AsyncConnection, account: RowMapping, loaded: Iterable[Grant], marked: Iterable[Grant], now: Instant
) -> RunningSums:
    """The sums of an account at `now`. `marked` are those of the loaded grants that are marked as not begun.

    If the last decision lies in the future, more grants have not begun than are marked. So the sums are not used then.
    """
    loaded, begun = tuple(loaded), [each for each in marked if each.effective_at <= now]
    if are_current(account) and not is_set_back(now, account["decided_at"]):
        to_come = account["to_come_microcredits"] - sum(each.remaining for each in begun)
        return RunningSums(Microcredits(to_come), loaded, current=True, has_begun=bool(begun))
    to_come = await _sum_to_come(connection, AccountId(account["account_id"]), now)
    return RunningSums(to_come, loaded, current=False, has_begun=bool(begun))


async def _sum_to_come(connection: AsyncConnection, account_id: AccountId, now: Instant) -> Microcredits:
    found = await connection.execute(_TO_COME, {"account": account_id, "now": now})
    return Microcredits(int(found.scalar_one()))
