"""Changes of accounts, plans and grants: locks and saves the account's row with its ledger, and adds rows of plans.

Operators and the product's back end make these changes. A change of an account or a grant opens and locks the account, saves
its ledger and what changed of its row, and saves the request with its first reply, all in one transaction. So it is idempotent
by its request id. A change of a plan adds a row to the plan and locks nothing.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, tuple_

from creditmeter.central.decisions.accounts import OpenLedger, open_ledger
from creditmeter.central.decisions.calendars import save_change, wanted_calendar
from creditmeter.central.decisions.replays import remember, replay
from creditmeter.central.decisions.topics import Topic
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.rows import account_of, account_row
from creditmeter.central.schema.upserts import insert_into, upsert
from creditmeter.core.amounts import MAX_BALANCE
from creditmeter.core.credit.accounts import Account, AccountCursor, AccountState, Plan
from creditmeter.core.credit.administration import AccountUpdate, CreateAccount, GrantCredits, UpdateAccount, Voided, VoidGrant
from creditmeter.core.credit.calendar import day_of_month
from creditmeter.core.credit.grants import Grant, GrantKind
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.requests import Done, difference
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId, PlanId, grant_id
from creditmeter.core.instants import Instant
from creditmeter.core.refusals import (
    AccountClosed,
    AccountExists,
    AccountNotFound,
    InvalidRequest,
    PlanNotFound,
    Refusal,
    RequestIdReused,
    TimeZoneChangeTooSoon,
)
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.core.settlement.recalling import recall_everything
from creditmeter.core.settlement.setting_back import MOST_AHEAD
from creditmeter.core.values import replace

NO_EARLIER = Instant(0)
ABOVE_THE_MOST = InvalidRequest(
    (("amount_microcredits", f"would leave the account with more than {MAX_BALANCE} microcredits"),)
)


class Administration:
    """Changes accounts, plans and grants. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def create_account(self, request: CreateAccount) -> Done[Account] | Refusal:
        """Create an account, once."""
        account_id = request.account.account_id
        async with self._database.write() as connection:
            done = await replay(connection, account_id, request.request_id, request, Account)
            if done is not None:
                return done
            if request.account.plan_id and not await _plan_exists(connection, request.account.plan_id):
                return PlanNotFound(request.account.plan_id)
            account = await _insert_account(connection, request.account, await self._clock.now(connection))
            if account is None:  # perhaps created by this same request, just now
                return await replay(connection, account_id, request.request_id, request, Account) or AccountExists(account_id)
            await remember(connection, account_id, request.request_id, request, account, account.created_at)
            return Done(account)

    async def get_account(self, account_id: AccountId) -> Account | AccountNotFound:
        """An account as it is now."""
        async with self._database.read() as connection:
            return await _find_account(connection, account_id) or AccountNotFound(account_id)

    async def list_accounts(self, limit: int, after: AccountCursor | None = None) -> list[Account]:
        """At most `limit` accounts, newest first, those after `after`. The caller bounds `limit`."""
        accounts = tables.accounts
        query = select(accounts).order_by(accounts.c.created_at.desc(), accounts.c.account_id.desc()).limit(limit)
        if after is not None:
            query = query.where(tuple_(accounts.c.created_at, accounts.c.account_id) < tuple_(after.created_at, after.id))
        async with self._database.read() as connection:
            return [account_of(row) for row in (await connection.execute(query)).mappings()]

    async def update_account(self, request: UpdateAccount) -> Done[Account] | Refusal:
        """Change the terms of an account.

        A new plan counts at once: it gives what the running periods lack. A closed account stays closed, but its other terms
        may change.
        """
        account_id = request.account_id
        async with self._database.write() as connection:
            opened = await open_ledger(connection, account_id, await self._clock.now(connection))
            if opened is None:
                return AccountNotFound(account_id)
            done = await replay(connection, account_id, request.request_id, request, Account)
            if done is not None:
                return done
            old = opened.ledger.account
            if old.state is AccountState.CLOSED and request.update.state not in (None, AccountState.CLOSED):
                return AccountClosed(account_id)
            calendar = wanted_calendar(old, request.update.time_zone, request.update.anchor_day)
            schedule = opened.ledger.schedule.moved(calendar, opened.ledger.now)
            if isinstance(schedule, TimeZoneChangeTooSoon):
                return schedule
            plan_id = request.update.plan_id
            if plan_id and not await _plan_exists(connection, plan_id):
                return PlanNotFound(plan_id)
            new = replace(old, **_set_values(request.update, schedule))
            await self._save_update(connection, opened, new, schedule)
            await remember(connection, account_id, request.request_id, request, new, opened.ledger.now)
            return Done(new)

    async def _save_update(self, connection: AsyncConnection, opened: OpenLedger, new: Account, schedule: Schedule) -> None:
        """Settle what the old plan and the old calendar owe, save the new terms, then give what a new plan owes."""
        old, now = opened.ledger.account, opened.ledger.now
        if old.alerts != new.alerts:
            await _forget_watches(connection, old, new)
            opened.ledger.account = replace(old, alerts=new.alerts)
        opened.ledger.touch()
        opened.ledger.repay_debt()
        if old.state != new.state:
            recall_everything(opened.ledger)
        if old.plan_id != new.plan_id:
            entry = opened.ledger.entry(EntryType.PLAN_CHANGED, 0, now)
            opened.ledger.record(replace(entry, note=f"plan {old.plan_id or 'none'} to {new.plan_id or 'none'}"))
        await opened.save(connection)
        values = account_row(new) | ({"plan_since": now} if old.plan_id != new.plan_id else {})
        accounts = tables.accounts
        await connection.execute(accounts.update().where(accounts.c.account_id == new.account_id).values(values))
        if schedule != opened.ledger.schedule:
            await save_change(connection, new.account_id, schedule, now)
        if old.plan_id != new.plan_id:
            await _touch(connection, new.account_id, now)

    async def put_plan(self, plan: Plan) -> Plan:
        """Create or change a plan. A change counts for each account from its next period on. Repeating it changes nothing."""
        async with self._database.write() as connection:
            now = await self._clock.now(connection)
            await _replace_versions_to_come(connection, plan, now)
            latest = await _latest_plan(connection, plan.plan_id, Instant(now + MOST_AHEAD))
            if latest is not None and latest[0] == plan:
                return plan
            effective_at = now if latest else NO_EARLIER
            row = {
                "plan_id": plan.plan_id,
                "effective_at": max(effective_at, latest[1] + 1) if latest else effective_at,
                "daily_microcredits": plan.daily,
                "monthly_microcredits": plan.monthly,
            }
            await upsert(connection, tables.plans, [row])
        return plan

    async def list_plans(self, limit: int, after: str | None = None) -> list[Plan]:
        """At most `limit` plans as they are now, in the order of their ids, those after `after`."""
        plans = tables.plans
        query = select(plans.c.plan_id).distinct().order_by(plans.c.plan_id).limit(limit)
        if after is not None:
            query = query.where(plans.c.plan_id > after)
        async with self._database.read() as connection:
            found = [await _latest_plan(connection, each) for each in (await connection.execute(query)).scalars()]
        return [each[0] for each in found if each is not None]

    async def grant_credits(self, request: GrantCredits) -> Done[Grant] | Refusal:
        """Give credit to an account, once. The credit repays the account's debt first."""
        topic = Topic(grants=frozenset({grant_id(request.account_id, request.request_id)}))
        async with self._database.write() as connection:
            opened = await open_ledger(connection, request.account_id, await self._clock.now(connection), topic)
            if opened is None:
                return AccountNotFound(request.account_id)
            done = await replay(connection, request.account_id, request.request_id, request, Grant)
            done = done or _given_before(opened.ledger, request)
            if done is not None:
                return done
            ledger = opened.ledger
            ledger.touch()
            grant = _new_grant(request, ledger.schedule, ledger.now)
            if isinstance(grant, InvalidRequest):
                return grant
            ledger.give(grant)
            ledger.repay_debt()
            if ledger.is_too_much:
                return ABOVE_THE_MOST
            grant = ledger.grants[grant.grant_id]
            await opened.save(connection)
            await remember(connection, request.account_id, request.request_id, request, grant, ledger.now)
            return Done(grant)

    async def void_grant(self, request: VoidGrant) -> Done[Voided] | Refusal:
        """Void a grant, once. Earlier use stays charged. If credit of it is out on leases, sidecars are asked to return it."""
        async with self._database.write() as connection:
            topic = Topic(grants=frozenset({request.grant_id}))
            opened = await open_ledger(connection, request.account_id, await self._clock.now(connection), topic)
            if opened is None:
                return AccountNotFound(request.account_id)
            done = await replay(connection, request.account_id, request.request_id, request, Voided)
            if done is not None:
                return done
            opened.ledger.touch()
            opened.ledger.repay_debt()
            amount = opened.ledger.void(request.grant_id)
            if isinstance(amount, Refusal):
                return amount
            voided = Voided(opened.ledger.grants[request.grant_id], amount)
            if voided.grant.remaining:
                recall_everything(opened.ledger)
            await opened.save(connection)
            await remember(connection, request.account_id, request.request_id, request, voided, opened.ledger.now)
            return Done(voided)


async def create_on_first_touch(connection: AsyncConnection, account_id: AccountId, plan_id: PlanId, now: Instant) -> None:
    """Create an unknown account with this plan; once, however many callers race."""
    account = Account(account_id, created_at=now, plan_id=plan_id, anchor_day=0)
    await _insert_account(connection, account, now)


async def _insert_account(connection: AsyncConnection, account: Account, now: Instant) -> Account | None:
    """Create an account; None if another transaction has created it."""
    anchor_day = account.anchor_day or day_of_month(account.time_zone, now)
    created = replace(account, created_at=now, anchor_day=anchor_day)
    row = account_row(created) | {"plan_since": now, "balance_microcredits": 0, "last_entry": 0, "decided_at": now}
    row |= {"summed_entry": 0}
    inserted = await connection.execute(insert_into(connection, tables.accounts).on_conflict_do_nothing(), row)
    return created if inserted.rowcount else None


async def _find_account(connection: AsyncConnection, account_id: AccountId) -> Account | None:
    query = select(tables.accounts).where(tables.accounts.c.account_id == account_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else account_of(row)


async def _replace_versions_to_come(connection: AsyncConnection, plan: Plan, now: Instant) -> None:
    """Replace the versions of a plan that were put while the clock was ahead: they would count later than this one."""
    plans = tables.plans
    to_come = plans.update().where(plans.c.plan_id == plan.plan_id, plans.c.effective_at > now + MOST_AHEAD)
    await connection.execute(to_come.values(daily_microcredits=plan.daily, monthly_microcredits=plan.monthly))


async def _latest_plan(
    connection: AsyncConnection, plan_id: PlanId, until: Instant | None = None
) -> tuple[Plan, Instant] | None:
    """The last version of a plan, or the last one that counts at `until`, and since when it counts; None if there is none."""
    plans = tables.plans
    query = select(plans).where(plans.c.plan_id == plan_id).order_by(plans.c.effective_at.desc()).limit(1)
    if until is not None:
        query = query.where(plans.c.effective_at <= until)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    return Plan(row["plan_id"], row["daily_microcredits"], row["monthly_microcredits"]), row["effective_at"]


async def _plan_exists(connection: AsyncConnection, plan_id: PlanId) -> bool:
    return await _latest_plan(connection, plan_id) is not None


async def _touch(connection: AsyncConnection, account_id: AccountId, now: Instant) -> None:
    """Give the account what its plan owes for the running periods."""
    opened = await open_ledger(connection, account_id, now)
    assert opened is not None, "an account that was just updated is there"
    opened.ledger.touch()
    opened.ledger.repay_debt()
    await opened.save(connection)


async def _forget_watches(connection: AsyncConnection, old: Account, new: Account) -> None:
    """Drop the states of alerts that the account no longer has, so that an alert that is set again begins anew."""
    watches = tables.alert_watches.c
    for alert in set(old.alerts) - set(new.alerts):
        its_own = watches.account_id == old.account_id, watches.amount_microcredits == alert.amount
        await connection.execute(delete(tables.alert_watches).where(*its_own, watches.percent == alert.percent))


def _set_values(update: AccountUpdate, schedule: Schedule) -> Mapping[str, Any]:
    """The values of the account that an update sets, with the time zone and the anchor day of the new schedule."""
    names = (name for name in update.__struct_fields__ if name not in ("time_zone", "anchor_day"))
    values = {name: value for name in names if (value := getattr(update, name)) is not None}
    calendar = {"time_zone": schedule.calendar.time_zone, "anchor_day": schedule.calendar.anchor_day}
    return values | calendar | ({"plan_id": update.plan_id or None} if update.plan_id is not None else {})


def _given_before(ledger: Ledger, request: GrantCredits) -> Done[Grant] | RequestIdReused | None:
    """The grant that this request gave so long ago that its reply is no longer kept, as it is now; None if it gave none.

    When the grant was to begin and to end is not compared: the grant has other moments than the request.
    """
    given = ledger.grants.get(grant_id(request.account_id, request.request_id))
    if given is None:
        return None
    first = replace(request, kind=given.kind, amount=given.amount, source=given.source, note=given.note)
    field = difference(first, request)
    return Done(given, replayed=True) if field is None else RequestIdReused(field)


def _new_grant(request: GrantCredits, schedule: Schedule, now: Instant) -> Grant | InvalidRequest:
    """The grant that a request asks for. It begins now or later, and ends on a local midnight of the account."""
    effective_at = max(now, request.effective_at or now)
    expires_at = request.expires_at
    if expires_at is None and request.kind is not GrantKind.PERMANENT:
        period = schedule.day_at if request.kind is GrantKind.DAILY else schedule.month_at
        expires_at = period(effective_at).ends_at
    if expires_at is not None:
        expires_at = schedule.end_of_day(expires_at)
        if expires_at <= effective_at:
            return InvalidRequest((("expires_at", "the grant would end before it begins"),))
    return Grant(
        grant_id=grant_id(request.account_id, request.request_id),
        kind=request.kind,
        amount=request.amount,
        remaining=request.amount,
        effective_at=effective_at,
        expires_at=expires_at,
        source=request.source,
        created_at=now,
        note=request.note,
    )
