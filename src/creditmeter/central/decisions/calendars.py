"""Changing an account's calendar at the central store: how long its periods last, and where its grants end.

A grant's end never changes but here, in the transaction that changes the calendar.
"""

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central.schema import tables
from creditmeter.core.credit.accounts import DEFAULT_TIME_ZONE, Account
from creditmeter.core.credit.calendar import Calendar, day_of_month
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.forms.accounts import CALENDAR_CHANGE


def wanted_calendar(account: Account, time_zone: str | None, anchor_day: int | None) -> Calendar:
    """The account's calendar with what is named of it changed, as when an account is made: an empty time zone is UTC, an
    anchor day of 0 the day on which the account was made.
    """
    zone = account.time_zone if time_zone is None else time_zone or DEFAULT_TIME_ZONE
    if anchor_day is None:
        return Calendar(zone, account.anchor_day)
    return Calendar(zone, anchor_day or day_of_month(zone, account.created_at))


async def save_change(connection: AsyncConnection, account_id: AccountId, schedule: Schedule, now: Instant) -> None:
    """Write down, beside an account's new time zone and anchor day, how its periods last longer; and let its grants do so."""
    assert schedule.change is not None, "it is saved when it has changed"
    accounts = tables.accounts
    changed = accounts.update().where(accounts.c.account_id == account_id)
    await connection.execute(changed.values(calendar_change=CALENDAR_CHANGE.encode_text(schedule.change)))
    await _move_ends(connection, account_id, schedule, now)


async def _move_ends(connection: AsyncConnection, account_id: AccountId, schedule: Schedule, now: Instant) -> None:
    grants = tables.grants
    ending = select(grants.c.grant_id, grants.c.kind, grants.c.period_key, grants.c.expires_at).where(
        grants.c.account_id == account_id, grants.c.expires_at > now
    )
    moved = [
        {"moved": each.grant_id, "later": later}
        for each in await connection.execute(ending)
        if (later := schedule.later_end(GrantKind(each.kind), each.period_key, each.expires_at)) != each.expires_at
    ]
    if moved:
        place = grants.c.account_id == account_id, grants.c.grant_id == bindparam("moved")
        await connection.execute(grants.update().where(*place).values(expires_at=bindparam("later")), moved)
