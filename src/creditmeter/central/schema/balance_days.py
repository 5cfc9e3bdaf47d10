"""Rows of days: what was left of each kind of credit of an account as a day in UTC began."""

from sqlalchemy import bindparam, select

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import Row
from creditmeter.central.schema.sums import sum_of, whole
from creditmeter.central.schema.upserts import insert_into
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.reports.past_balance import PastBalance, day_of

KIND_COLUMNS = {
    GrantKind.DAILY: "daily_microcredits",
    GrantKind.MONTHLY: "monthly_microcredits",
    GrantKind.PERMANENT: "permanent_microcredits",
}
"""The column of each kind."""

_grants = tables.grants.c
_LEFT = (
    select(_grants.kind, *sum_of("left", _grants.remaining_microcredits))
    .where(_grants.account_id == bindparam("account"), tables.HAS_CREDIT)
    .group_by(_grants.kind)
)


def balance_day_row(account_id: AccountId, day: Instant, balance: PastBalance) -> Row:
    """The row of the day that begins at `day`, with the balance of the lines before it."""
    row: Row = {"account_id": account_id, "starts_at": day, "last_entry": balance.last_entry}
    return row | {name: balance.by_kind[kind] for kind, name in KIND_COLUMNS.items()}


async def put_balance_days(connection: AsyncConnection, rows: list[Row]) -> None:
    """Insert rows of days. A row that is there is the same, and stays."""
    await connection.execute(insert_into(connection, tables.balance_days).on_conflict_do_nothing(), rows)


async def begin_day(connection: AsyncConnection, account_id: AccountId, last_entry: int, before: Instant, now: Instant) -> None:
    """Put the row of the day of a decision that is not saved yet, if it is the first one of that day.

    `last_entry` is the account's last line of history, and `before` the moment of the decision before. What the grants have
    left is what their history adds up to.
    """
    if not last_entry or day_of(before) == day_of(now):
        return
    found = {row["kind"]: whole(row, "left") for row in (await connection.execute(_LEFT, {"account": account_id})).mappings()}
    left = {kind: found.get(kind.value, 0) for kind in GrantKind}
    await put_balance_days(connection, [balance_day_row(account_id, day_of(now), PastBalance(last_entry, dict(left)))])
