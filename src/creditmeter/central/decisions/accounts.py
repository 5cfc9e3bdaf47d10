"""Opening an account for a decision: locks its row, loads the other rows through `contents`, and saves what was decided.

`open_ledger` locks the account's row until the transaction ends. So decisions about one account are taken one after another,
whichever sidecar asks. `OpenLedger.save` writes the account's running totals, the grants, leases, charges, refunds, recalls and
alert watches that changed, and new lines of history and deliveries of alerts.
"""

from sqlalchemy import bindparam, delete, select, update

from creditmeter.central.decisions.contents import NOTHING_ELSE, Topic, load_contents
from creditmeter.central.decisions.deliveries import delivery_row
from creditmeter.central.decisions.notifications import notify
from creditmeter.central.decisions.running_sums import RunningSums
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import announce
from creditmeter.central.schema import tables
from creditmeter.central.schema.balance_days import begin_day
from creditmeter.central.schema.reading import reads_account
from creditmeter.central.schema.rows import (
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
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.alerting import watch
from creditmeter.core.settlement.ledger import Ledger, LedgerChanges
from creditmeter.core.settlement.recalling import mark_ready

_ACCOUNT = select(tables.accounts).where(tables.accounts.c.account_id == bindparam("account_id"))
_LOCKED_ACCOUNT = _ACCOUNT.with_for_update()
_SAVED = "balance_microcredits", "last_entry", "summed_entry", "decided_at", "debt_microcredits", "to_come_microcredits"
_SAVE_ACCOUNT = (
    update(tables.accounts)
    .where(tables.accounts.c.account_id == bindparam("of_account"))
    .values({name: bindparam(name) for name in _SAVED})
)
_WATCHES = select(tables.alert_watches).where(tables.alert_watches.c.account_id == bindparam("account_id"))


class OpenLedger:
    """A ledger together with the row it came from, so that it can be saved."""

    def __init__(self, ledger: Ledger, last_entry: int, decided_at: Instant, sums: RunningSums) -> None:
        self.ledger = ledger
        self._last_entry = last_entry
        self._decided_at = decided_at
        self._sums = sums

    async def save(self, connection: AsyncConnection) -> None:
        """Write what the ledger decided, and notify sidecars whose recalls became ready.

        What no lease needs any more after the decision lapses with it, so the next reader finds nothing that is due.
        """
        self.ledger.lapse()
        mark_ready(self.ledger)
        if self.ledger.account.alerts:
            await _watch_alerts(connection, self.ledger, self._last_entry)
        ledger, changes = self.ledger, self.ledger.changes
        account_id = ledger.account.account_id
        await begin_day(connection, account_id, self._last_entry, self._decided_at, ledger.now)
        await upsert(connection, tables.grants, [grant_row(account_id, each, ledger.now) for each in changes.grants.values()])
        await upsert(connection, tables.leases, [lease_row(account_id, each) for each in changes.leases.values()])
        await upsert(connection, tables.charges, [charge_row(each) for each in changes.charges.values()])
        if changes.refunds:  # a refund is made once and never changes
            await connection.execute(tables.refunds.insert(), [refund_row(each) for each in changes.refunds.values()])
        await _save_recalls(connection, account_id, changes)
        entries = [
            entry_row(account_id, number, entry) for number, entry in enumerate(changes.entries, start=self._last_entry + 1)
        ]
        if entries:
            await connection.execute(tables.history.insert(), entries)
        last_entry = self._last_entry + len(entries)
        values = {
            "of_account": account_id,
            "balance_microcredits": ledger.balance,
            "last_entry": last_entry,
            "summed_entry": last_entry,
            "decided_at": ledger.now,
            **await self._sums.save(connection, ledger),
        }
        await connection.execute(_SAVE_ACCOUNT, values)


@reads_account
async def open_ledger(
    connection: AsyncConnection, account_id: AccountId, now: Instant, topic: Topic = NOTHING_ELSE, *, lock: bool = True
) -> OpenLedger | None:
    """The ledger of an account; None if there is no such account.

    Its `now` is the given one, or the moment of the account's last decision if that is later. With `lock` the account stays
    locked until the transaction ends.
    """
    query = _LOCKED_ACCOUNT if lock else _ACCOUNT
    row = (await connection.execute(query, {"account_id": account_id})).mappings().one_or_none()
    if row is None:
        return None
    now = max(now, row["decided_at"])
    contents, sums = await load_contents(connection, row, now, topic)
    return OpenLedger(Ledger(contents, now), row["last_entry"], row["decided_at"], sums)


async def account_with_key(connection: AsyncConnection, key: AccountKey) -> AccountId | None:
    """The account with this key; None if there is none."""
    query = select(tables.accounts.c.account_id).where(tables.accounts.c.account_key == key)
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else AccountId(found)


async def _save_recalls(connection: AsyncConnection, account_id: AccountId, changes: LedgerChanges) -> None:
    """Write recalls, and notify the sidecars that should send a message, once this transaction is committed."""
    recalls = tables.recalls
    await upsert(connection, recalls, [recall_row(account_id, each) for each in changes.recalls.values() if each is not None])
    for (sidecar_id, purpose), each in changes.recalls.items():
        if each is None:
            place = recalls.c.account_id == account_id, recalls.c.sidecar_id == sidecar_id, recalls.c.purpose == purpose.value
            await connection.execute(delete(recalls).where(*place))
    await notify(connection, account_id, changes.notified)


async def _watch_alerts(connection: AsyncConnection, ledger: Ledger, last_entry: int) -> None:
    """Check the account's alerts. One that fires adds a line to the ledger's history and a delivery for webhooks."""
    account_id = ledger.account.account_id
    before = dict(watch_of(row) for row in (await connection.execute(_WATCHES, {"account_id": account_id})).mappings())
    watched = watch(ledger, before, last_entry)
    await upsert(connection, tables.alert_watches, [watch_row(account_id, *each) for each in watched.changed.items()])
    if watched.fired:
        await connection.execute(tables.alert_deliveries.insert(), [delivery_row(each) for each in watched.fired])
    for each in watched.fired:
        announce(connection, each)
