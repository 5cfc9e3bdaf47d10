"""Opening accounts for decisions: locks their rows, loads the other rows through `contents`, and saves what was decided.

`open_ledgers` locks the accounts' rows until the transaction ends, in the order of their ids. So decisions about one account
are taken one after another, whichever sidecar asks. `save_ledgers` writes the accounts' running totals, the grants, leases,
charges, refunds, recalls and alert watches that changed, and new lines of history and deliveries of alerts: one statement for
each table, however many accounts there are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, delete, select, update

from creditmeter.central.decisions.contents import load_contents
from creditmeter.central.decisions.deliveries import delivery_row
from creditmeter.central.decisions.elapsed_time import ELAPSED
from creditmeter.central.decisions.notifications import notify
from creditmeter.central.decisions.running_sums import RunningSums
from creditmeter.central.decisions.topics import NOTHING_ELSE, Topic
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import announce
from creditmeter.central.schema import tables
from creditmeter.central.schema.balance_days import begin_day
from creditmeter.central.schema.listed import as_list, listed
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.rows import (
    Row,
    charge_row,
    entry_row,
    grant_row,
    lease_row,
    recall_row,
    refund_row,
    watch_of,
    watch_row,
)
from creditmeter.central.schema.upserts import upsert
from creditmeter.core.ids import AccountId, AccountKey
from creditmeter.core.instants import Instant, Span
from creditmeter.core.settlement.alerting import Watched, watch
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalling import mark_ready
from creditmeter.core.settlement.setting_back import decided_now, is_set_back, set_back

_SAVED = "balance_microcredits", "last_entry", "summed_entry", "decided_at", "debt_microcredits", "to_come_microcredits"
_SAVE_ACCOUNT = (
    update(tables.accounts)
    .where(tables.accounts.c.account_id == bindparam("of_account"))
    .values({name: bindparam(name) for name in _SAVED})
)
_MOVE_GRANT = (
    update(tables.grants)
    .where(tables.grants.c.account_id == bindparam("of_account"), tables.grants.c.grant_id == bindparam("of_grant"))
    .values(effective_at=bindparam("begins_at"), created_at=bindparam("begins_at"))
)
_INSERT_REFUND, _INSERT_ENTRY = tables.refunds.insert(), tables.history.insert()
_IS_ACCOUNTS = tables.alert_watches.c.account_id == bindparam("account_id")
_WATCHES = select(tables.alert_watches, ELAPSED.label("elapsed")).where(_IS_ACCOUNTS)


class OpenLedger:
    """A ledger together with the row it came from, so that it can be saved."""

    def __init__(self, ledger: Ledger, last_entry: int, decided_at: Instant, sums: RunningSums) -> None:
        self.ledger = ledger
        self.last_entry = last_entry
        self.decided_at = decided_at
        self.sums = sums

    async def save(self, connection: AsyncConnection) -> None:
        """Write what the ledger decided: see `save_ledgers`."""
        await save_ledgers(connection, [self])

    async def finish(self, connection: AsyncConnection) -> None:
        """Decide what follows from the decision, before it is written: what alerts fire, and what lapses.

        What no lease needs any more after the decision lapses with it, so the next reader finds nothing that is due.
        """
        ledger = self.ledger
        ledger.lapse()
        mark_ready(ledger)
        if ledger.account.alerts:
            await _watch_alerts(connection, ledger, self.last_entry)
        await begin_day(connection, ledger.account.account_id, self.last_entry, self.decided_at, ledger.now)

    @property
    def is_set_back(self) -> bool:
        """Whether the account's last decision lay in the future."""
        return is_set_back(self.ledger.now, self.decided_at)

    def moved_grants(self) -> list[Row]:
        """The grants that begin at another moment than before, because the clock was wrong."""
        before = {each.grant_id: each.effective_at for each in self.sums.loaded}
        changed = self.ledger.changes.grants.values()
        moved = (each for each in changed if before.get(each.grant_id, each.effective_at) != each.effective_at)
        account_id = self.ledger.account.account_id
        return [{"of_account": account_id, "of_grant": each.grant_id, "begins_at": each.effective_at} for each in moved]

    async def totals(self, connection: AsyncConnection) -> Row:
        """The running totals of the account's row."""
        last_entry = self.last_entry + len(self.ledger.changes.entries)
        return {
            "of_account": self.ledger.account.account_id,
            "balance_microcredits": self.ledger.balance,
            "last_entry": last_entry,
            "summed_entry": last_entry,
            "decided_at": self.ledger.now,
            **await self.sums.save(connection, self.ledger),
        }

    def entries(self) -> list[Row]:
        """The rows of the new lines of history."""
        numbered = enumerate(self.ledger.changes.entries, start=self.last_entry + 1)
        return [entry_row(self.ledger.account.account_id, number, entry) for number, entry in numbered]


async def save_ledgers(connection: AsyncConnection, opened: Sequence[OpenLedger]) -> None:
    """Write what the ledgers decided, and notify sidecars whose recalls became ready."""
    for each in opened:
        await each.finish(connection)
    ledgers = [each.ledger for each in opened]
    changes = [(each.account.account_id, each.now, each.changes) for each in ledgers]
    grants = [grant_row(account_id, each, now) for account_id, now, changed in changes for each in changed.grants.values()]
    leases = [lease_row(account_id, each) for account_id, _, changed in changes for each in changed.leases.values()]
    await upsert(connection, tables.grants, grants)
    moved = [row for each in opened if each.is_set_back for row in each.moved_grants()]
    if moved:
        await connection.execute_for_each(_MOVE_GRANT, moved)
    await upsert(connection, tables.leases, leases)
    await upsert(connection, tables.charges, [charge_row(each) for one in ledgers for each in one.changes.charges.values()])
    refunds = [refund_row(each) for one in ledgers for each in one.changes.refunds.values()]
    if refunds:  # a refund is made once and never changes
        await connection.execute_for_each(_INSERT_REFUND, refunds)
    await _save_recalls(connection, ledgers)
    entries = [row for each in opened for row in each.entries()]
    if entries:
        await connection.execute_for_each(_INSERT_ENTRY, entries)
    totals = [await each.totals(connection) for each in opened]
    if totals:
        await connection.execute_for_each(_SAVE_ACCOUNT, totals)


async def open_ledgers(
    connection: AsyncConnection, topics: Mapping[AccountId, Topic], now: Instant, *, lock: bool = True
) -> dict[AccountId, OpenLedger]:
    """The ledgers of those of these accounts that there are, in the order of their ids.

    The `now` of each is the given one, or the moment of the account's last decision if that is a little later. If it is much
    later, the clock was wrong then, and the ledger is set back. With `lock` the accounts stay locked until the transaction
    ends.
    """
    query = _accounts_query(connection.dialect.name, lock=lock)
    rows = (await connection.execute(query, as_list("accounts", ((each,) for each in topics)))).mappings().all()
    by_now: dict[Instant, list[RowMapping]] = defaultdict(list)
    for row in rows:
        with reading(row["account_id"], "the row of accounts"):
            by_now[decided_now(now, row["decided_at"])].append(row)
    opened: dict[AccountId, OpenLedger] = {}
    for at, some in by_now.items():
        loaded = await load_contents(connection, [(row, topics[row["account_id"]]) for row in some], at)
        for row, (contents, sums) in zip(some, loaded, strict=True):
            with reading(row["account_id"], "a row"):
                ledger = Ledger(contents, at)
                if is_set_back(at, row["decided_at"]):
                    set_back(ledger, row["decided_at"])
            opened[row["account_id"]] = OpenLedger(ledger, row["last_entry"], row["decided_at"], sums)
    return {row["account_id"]: opened[row["account_id"]] for row in rows}


async def open_ledger(
    connection: AsyncConnection, account_id: AccountId, now: Instant, topic: Topic = NOTHING_ELSE, *, lock: bool = True
) -> OpenLedger | None:
    """The ledger of an account, as by `open_ledgers`; None if there is no such account."""
    return (await open_ledgers(connection, {account_id: topic}, now, lock=lock)).get(account_id)


async def account_with_key(connection: AsyncConnection, key: AccountKey) -> AccountId | None:
    """The account with this key; None if there is none."""
    query = select(tables.accounts.c.account_id).where(tables.accounts.c.account_key == key)
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else AccountId(found)


async def _save_recalls(connection: AsyncConnection, ledgers: Sequence[Ledger]) -> None:
    """Write recalls, and notify the sidecars that should send a message, once this transaction is committed."""
    recalls = tables.recalls
    changed = [(each.account.account_id, key, one) for each in ledgers for key, one in each.changes.recalls.items()]
    await upsert(connection, recalls, [recall_row(account_id, one) for account_id, _, one in changed if one is not None])
    for account_id, (sidecar_id, purpose), one in changed:
        if one is None:
            place = recalls.c.account_id == account_id, recalls.c.sidecar_id == sidecar_id, recalls.c.purpose == purpose.value
            await connection.execute(delete(recalls).where(*place))
    for each in ledgers:
        await notify(connection, each.account.account_id, each.changes.notified)


async def watched_alerts(connection: AsyncConnection, ledger: Ledger, last_entry: int) -> Watched:
    """What the ledger changes in the account's alerts. One that fires adds a line to the ledger's history."""
    rows = (await connection.execute(_WATCHES, {"account_id": ledger.account.account_id})).mappings().all()
    elapsed = rows[0]["elapsed"] if rows else Span(0)  # alerts that were never watched have nothing to compare it with
    return watch(ledger, dict(watch_of(row) for row in rows), last_entry, elapsed)


async def _watch_alerts(connection: AsyncConnection, ledger: Ledger, last_entry: int) -> None:
    """Save what changes in the account's alerts, with a delivery for webhooks for each that fires."""
    account_id = ledger.account.account_id
    watched = await watched_alerts(connection, ledger, last_entry)
    await upsert(connection, tables.alert_watches, [watch_row(account_id, *each) for each in watched.changed.items()])
    if watched.fired:
        await connection.execute(tables.alert_deliveries.insert(), [delivery_row(each) for each in watched.fired])
    for each in watched.fired:
        announce(connection, each)


@cache
def _accounts_query(dialect: str, *, lock: bool) -> Select[Any]:
    accounts = tables.accounts
    query = select(accounts).where(accounts.c.account_id.in_(listed(dialect, "accounts").rows()))
    query = query.order_by(accounts.c.account_id)
    return query.with_for_update(of=accounts) if lock else query
