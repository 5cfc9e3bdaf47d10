"""Changing an account's calendar: saves the change in the account's row, and the new ends in the rows of its grants.

It is part of the transaction that changes the account, which has locked its row. Nothing else changes the end of a grant. The
plan's grants that wait for their period, since a clock was ahead, are made to fit the new calendar.
"""

from sqlalchemy import bindparam, select

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.decisions.topics import Topic
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.core.credit.accounts import DEFAULT_TIME_ZONE, Account
from creditmeter.core.credit.calendar import Calendar, day_of_month
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.waiting_grants import fit
from creditmeter.forms.accounts import CALENDAR_CHANGE


def wanted_calendar(account: Account, time_zone: str | None, anchor_day: int | None) -> Calendar:
    """The account's calendar with a new time zone, a new anchor day, or both; None keeps the old one.

    As in the creation of an account, an empty time zone is UTC, and an anchor day of 0 is the day of the creation.
    """
    zone = account.time_zone if time_zone is None else time_zone or DEFAULT_TIME_ZONE
    if anchor_day is None:
        return Calendar(zone, account.anchor_day)
    return Calendar(zone, anchor_day or day_of_month(zone, account.created_at))


async def save_change(connection: AsyncConnection, account_id: AccountId, schedule: Schedule, now: Instant) -> None:
    """Save the last change of an account's calendar, and the new ends of its grants."""
    assert schedule.change is not None, "it is saved when it has changed"
    accounts = tables.accounts
    changed = accounts.update().where(accounts.c.account_id == account_id)
    await connection.execute(changed.values(calendar_change=CALENDAR_CHANGE.encode_text(schedule.change)))
    await _move_ends(connection, account_id, schedule, now)
    await _fit_waiting_grants(connection, account_id, now)


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


async def _fit_waiting_grants(connection: AsyncConnection, account_id: AccountId, now: Instant) -> None:
    grants = tables.grants
    waiting = select(grants.c.grant_id).where(
        grants.c.account_id == account_id, grants.c.period_key.is_not(None), grants.c.effective_at > now
    )
    names = frozenset((await connection.execute(waiting)).scalars())
    if not names:
        return
    opened = await open_ledger(connection, account_id, now, Topic(grants=names))
    assert opened is not None, "an account that was just updated is there"
    fit(opened.ledger)
    await opened.save(connection)
    fitted = [
        {"moved": each.grant_id, "begins": each.effective_at, "ends": each.expires_at}
        for each in opened.ledger.grants.values()
        if each.grant_id in names
    ]
    place = grants.c.account_id == account_id, grants.c.grant_id == bindparam("moved")
    times = grants.update().values(effective_at=bindparam("begins"), expires_at=bindparam("ends"))
    await connection.execute(times.where(*place), fitted)
