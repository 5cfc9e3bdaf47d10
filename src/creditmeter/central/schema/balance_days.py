"""Rows of days: what was left of each kind of credit of an account as a day in UTC began.

Every line of history up to that of a row is of an earlier day. Every later line is of that day or a later one, unless the clock
was ahead for a while: then a row of a moment within a day says when it was put right, and after which line. Days that had begun
by the wrong clock have rows that are not in order, or none.
"""

from sqlalchemy import bindparam, exists, func, select

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import Row
from creditmeter.central.schema.sums import sum_of, whole
from creditmeter.central.schema.upserts import insert_into
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, Instant
from creditmeter.core.reports.past_balance import PastBalance, day_of
from creditmeter.core.settlement.setting_back import is_set_back

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

_days, _history = tables.balance_days.c, tables.history.c
_setting_back = tables.balance_days.alias("setting_back").c
IS_DAY = _days.starts_at % DAY == 0
"""A row is of a day, and not of a moment to which a clock was set back that was ahead."""

IS_IN_ORDER = IS_DAY & ~exists().where(
    _setting_back.account_id == _days.account_id,
    _setting_back.starts_at % DAY != 0,
    _setting_back.starts_at < _days.starts_at,
    _setting_back.last_entry >= _days.last_entry,
)
"""A row is of a day, and no line of history that follows it is of an earlier day, because the clock was ahead."""

_LAST_OF_DAYS = select(func.coalesce(func.max(_days.last_entry), 0)).where(
    _days.account_id == bindparam("account"), _days.starts_at <= bindparam("day"), IS_DAY
)
_FROM_DAY_ON = (
    select(_history.number)
    .where(_history.account_id == bindparam("account"), _history.number > _LAST_OF_DAYS.scalar_subquery())
    .where(_history.posted_at >= bindparam("day"))
    .limit(1)
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
    left is what their history adds up to. If that decision was taken by a clock that was ahead, a row says so.
    """
    begins_at = day_of(now)
    if is_set_back(now, before):
        begins_at = now if now > begins_at else Instant(now + 1)
    elif day_of(before) == begins_at or await _was_ahead(connection, account_id, begins_at):
        return
    if last_entry:
        await put_balance_days(
            connection, [balance_day_row(account_id, begins_at, await _left(connection, account_id, last_entry))]
        )


async def _left(connection: AsyncConnection, account_id: AccountId, last_entry: int) -> PastBalance:
    """What the grants have left of each kind, after this line of history."""
    found = {row["kind"]: whole(row, "left") for row in (await connection.execute(_LEFT, {"account": account_id})).mappings()}
    return PastBalance(last_entry, {kind: found.get(kind.value, 0) for kind in GrantKind})


async def _was_ahead(connection: AsyncConnection, account_id: AccountId, day: Instant) -> bool:
    """Whether a line of history is of this day or later. No line up to the last row of a day is."""
    return (await connection.execute(_FROM_DAY_ON, {"account": account_id, "day": day})).first() is not None
