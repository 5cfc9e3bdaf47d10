"""Forecasts of an account: its last 30 days, read in one snapshot.

Charges are read in pages, by the time of their commit, and added up as they come. Only the fields that count are decoded.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select, tuple_

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.decisions.topics import Topic
from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.queries.turns import Turns
from creditmeter.central.schema import tables
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.sums import sum_of, whole
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.credit.calendar import Period
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId, GrantId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import IMAGE, TEXT, TOOL
from creditmeter.core.refusals import AccountNotFound, Overloaded
from creditmeter.core.reports.exhaustion import Usability, exhausted_days
from creditmeter.core.reports.findings import Habits, most_at_once
from creditmeter.core.reports.forecasting import LOOKED_BACK, Days, Forecast, forecast
from creditmeter.core.settlement.answering import close_ended
from creditmeter.core.settlement.ledger import Ledger
from creditmeter.forms.posted_charges import ForecastCharge, ForecastUsage, forecast_charge

PAGE = 1_000
"""Rows that are read at a time."""

MAX_GRANTS = 1_000
"""Most permanent grants that are considered one by one."""


@dataclass(slots=True)
class _Sums:
    """The sums of the charges read so far, in microcredits.

    `needs` is by the start of the local day. `last_draw` is when each grant was last drawn on. `open` is from when to when each
    reservation was open.
    """

    schedule: Schedule
    cost: int = 0
    image_cost: int = 0
    tool_cost: int = 0
    text_calls: int = 0
    input_tokens: int = 0
    drawn: Counter[GrantKind] = field(default_factory=Counter)
    needs: Counter[Instant] = field(default_factory=Counter)
    last_draw: dict[str, Instant] = field(default_factory=dict)
    open: dict[str, tuple[Instant, Instant]] = field(default_factory=dict)

    def add(self, charge: ForecastCharge) -> None:
        """Count a charge."""
        self.cost += charge.cost
        self.need(charge.authorized_at, charge.cost)
        for draw in charge.posting.draws:
            self.drawn[draw.kind] += draw.amount
            if draw.amount > draw.returned:
                last = self.last_draw.get(draw.grant_id, charge.authorized_at)
                self.last_draw[draw.grant_id] = max(last, charge.authorized_at)
        if charge.reservation_id is not None:
            begun, _ = self.open.get(charge.reservation_id, (charge.authorized_at, charge.committed_at))
            self.open[charge.reservation_id] = (min(begun, charge.authorized_at), charge.committed_at)
        if charge.usage is not None:
            self._add_usage(charge.usage, charge.cost)

    def _add_usage(self, usage: ForecastUsage, cost: int) -> None:
        if usage.action == IMAGE:
            self.image_cost += cost
        elif usage.action == TOOL:
            self.tool_cost += cost
        elif usage.action == TEXT and usage.input_tokens is not None:
            self.text_calls += 1
            self.input_tokens += usage.input_tokens

    def need(self, at: Instant, amount: int) -> None:
        """Count what a call needed, in microcredits, on its local day."""
        self.needs[self.schedule.day_at(at).starts_at] += amount

    @property
    def habits(self) -> Habits:
        """How the account is used."""
        most_open = most_at_once(self.open.values())
        return Habits(self.text_calls, self.input_tokens, self.cost, self.image_cost, self.tool_cost, most_open)


class Forecasts:
    """Reads what a forecast needs, and computes it."""

    def __init__(self, touching: Touching, clock: StoreClock, turns: Turns) -> None:
        self._touching = touching
        self._clock = clock
        self._turns = turns

    async def forecast(self, account_id: AccountId) -> Forecast | AccountNotFound | Overloaded:
        """The forecast of an account, from what is posted of its last 30 days. Overloaded if too many long reads wait.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        return await self._turns.read(lambda: self._forecast(account_id))

    async def _forecast(self, account_id: AccountId) -> Forecast | AccountNotFound:
        async with self._touching.read(account_id) as connection:
            topic = Topic(listed=MAX_GRANTS)
            opened = await open_ledger(connection, account_id, await self._clock.now(connection), topic, lock=False)
            if opened is None:
                return AccountNotFound(account_id)
            close_ended(opened.ledger)
            opened.ledger.touch()  # in memory only: so that today's credit counts, and ended credit does not
            opened.ledger.repay_debt()
            plans = await _plans(connection)
            return forecast(await _days(connection, opened.ledger, plans), plans.values())


async def _days(connection: AsyncConnection, ledger: Ledger, plans: dict[str, Plan]) -> Days:
    account, end = ledger.account, ledger.now
    start = Instant(max(end - LOOKED_BACK, account.created_at))
    sums = _Sums(ledger.schedule)
    async for row in _charges(connection, account.account_id, start, end):
        with reading(account.account_id, f"the charge {row['charge_id']!r}"):
            charge = forecast_charge(row["body"])
        sums.add(charge)
    refused = [row async for row in _refused(connection, account.account_id, start, end)]
    for row in refused:
        sums.need(row["refused_at"], row["required_microcredits"])
    seen = await _grants(connection, account.account_id, start, end, sums)
    return Days(
        start=start,
        end=end,
        schedule=ledger.schedule,
        drawn=sums.drawn,
        lapsed=await _lapsed(connection, ledger, start, end) + _never_given(ledger, start, end, seen),
        exhausted_days={kind: exhausted_days(seen.usable[kind], ledger.schedule) for kind in GrantKind},
        cost=sums.cost,
        needs=sums.needs,
        refused_count=len(refused),
        habits=sums.habits,
        grants=tuple(_to_draw_on(ledger)),
        plan=plans.get(account.plan_id) if account.plan_id else None,
        debt=ledger.debt,
        monthly_ran_out_at=_monthly_ran_out(ledger.schedule.month_at(end), end, seen.usable[GrantKind.MONTHLY]),
    )


# Rows.


async def _pages(
    connection: AsyncConnection, query: Select[Any], *order: ColumnElement[Any], after: tuple[Any, ...] | None = None
) -> AsyncIterator[RowMapping]:
    """The rows of a query after the key `after`, read a page at a time. `order` has to be a unique key of the rows.

    `after` has to be the query's only lower bound. With another one SQLite would read all earlier pages again for each page.
    """
    page = query.order_by(*order).limit(PAGE)
    while True:
        wanted = page if after is None else page.where(tuple_(*order) > after)
        rows = (await connection.execute(wanted)).mappings().all()
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1][each.key] for each in order)


def _to_draw_on(ledger: Ledger) -> Iterator[Grant]:
    """The grants that have credit left and are usable now or later.

    Permanent grants beyond the first `MAX_GRANTS` are added up as one grant without an end.
    """
    kept = (each for each in ledger.grants.values() if each.voided_at is None and not each.has_ended(ledger.now))
    yield from (each for each in kept if each.remaining)
    if (left := ledger.rest.remaining) > 0:
        yield Grant(
            grant_id=GrantId("the rest"),
            kind=GrantKind.PERMANENT,
            amount=left,
            remaining=left,
            effective_at=ledger.now,
            expires_at=None,
            source=GrantSource.PURCHASE,
            created_at=ledger.now,
        )


def _charges(connection: AsyncConnection, account_id: AccountId, start: Instant, end: Instant) -> AsyncIterator[RowMapping]:
    """Charges committed in ``[start, end]``, without duplicates."""
    charges = tables.charges.c
    query = select(charges.committed_at, charges.charge_id, charges.body).where(
        charges.account_id == account_id,
        charges.committed_at <= end,
        charges.duplicate_of.is_(None),
    )
    return _pages(connection, query, charges.committed_at, charges.charge_id, after=(start, ""))


def _refused(connection: AsyncConnection, account_id: AccountId, start: Instant, end: Instant) -> AsyncIterator[RowMapping]:
    """Calls that were refused in ``[start, end]`` and not charged later under the same request id."""
    refused, charges = tables.refused_calls.c, tables.charges.c
    charged = select(charges.charge_id).where(
        charges.account_id == refused.account_id, charges.request_id == refused.request_id
    )
    query = select(refused.refused_at, refused.request_id, refused.required_microcredits).where(
        refused.account_id == account_id, refused.refused_at <= end, ~charged.exists()
    )
    return _pages(connection, query, refused.refused_at, refused.request_id, after=(start, ""))


@dataclass(slots=True)
class _Seen:
    """The grants of the record, by kind, and the periods for which the plan gave credit."""

    usable: dict[GrantKind, list[Usability]] = field(default_factory=lambda: {kind: [] for kind in GrantKind})
    periods: set[tuple[GrantKind, str]] = field(default_factory=set)


async def _grants(connection: AsyncConnection, account_id: AccountId, start: Instant, end: Instant, sums: _Sums) -> _Seen:
    """The grants that were usable in ``[start, end]``, without grants that never end and were used up before `start`."""
    grants = tables.grants.c
    query = select(tables.grants).where(
        grants.account_id == account_id,
        grants.effective_at <= end,
        or_(grants.expires_at > start, grants.expires_at.is_(None)),
    )
    seen = _Seen()
    async for row in _pages(connection, query, grants.grant_id):
        kind = GrantKind(row["kind"])
        if row["period_key"]:
            seen.periods.add((kind, row["period_key"]))
        is_used_up = not (row["remaining_microcredits"] or row["lapsed_microcredits"] or row["voided_microcredits"])
        last_draw = sums.last_draw.get(row["grant_id"])
        if is_used_up and last_draw is None and row["expires_at"] is None:
            continue
        until = end if row["expires_at"] is None else min(end, row["expires_at"])
        used_up_at = max(start, last_draw or start) if is_used_up else None
        # `end` is part of the record, but a span of time does not contain its own end
        usable_until = until + 1 if until == end else until
        seen.usable[kind].append(Usability(max(start, row["effective_at"]), Instant(usable_until), used_up_at))
    return seen


async def _lapsed(connection: AsyncConnection, ledger: Ledger, start: Instant, end: Instant) -> Counter[GrantKind]:
    """What lapsed in ``[start, end]``, in microcredits by kind: lines of history, and lines that the ledger would add now."""
    history = tables.history.c
    query = (
        select(history.kind, *sum_of("lapsed", history.amount_microcredits))
        .where(
            history.account_id == ledger.account.account_id,
            history.occurred_at.between(start, end),
            history.type == EntryType.LAPSED.value,
        )
        .group_by(history.kind)
    )
    found: Counter[GrantKind] = Counter()
    for row in (await connection.execute(query)).mappings():
        found[GrantKind(row["kind"])] -= whole(row, "lapsed")
    for entry in ledger.changes.entries:
        if entry.type is EntryType.LAPSED and entry.kind is not None and start <= entry.occurred_at <= end:
            found[entry.kind] -= entry.amount
    return found


def _never_given(ledger: Ledger, start: Instant, end: Instant, seen: _Seen) -> Counter[GrantKind]:
    """What the plan would have given for periods that ended in ``[start, end]`` without a touch. All of it lapsed."""
    found: Counter[GrantKind] = Counter()
    for kind, period_of in ((GrantKind.DAILY, ledger.schedule.day_at), (GrantKind.MONTHLY, ledger.schedule.month_at)):
        period = period_of(start)
        while period.ends_at <= end:
            if (kind, period.key) not in seen.periods:
                found[kind] += ledger.plan_gave(kind, period)
            period = period_of(period.ends_at)
    return found


async def _plans(connection: AsyncConnection) -> dict[str, Plan]:
    """Every plan as it is now, by id."""
    plans = tables.plans.c
    newest = select(plans.plan_id, func.max(plans.effective_at).label("since")).group_by(plans.plan_id).subquery()
    query = select(tables.plans).join(newest, and_(plans.plan_id == newest.c.plan_id, plans.effective_at == newest.c.since))
    return {
        row["plan_id"]: Plan(row["plan_id"], row["daily_microcredits"], row["monthly_microcredits"])
        async for row in _pages(connection, query, plans.plan_id)
    }


def _monthly_ran_out(month: Period, end: Instant, monthly: Iterable[Usability]) -> Instant | None:
    """When the monthly credit of the running month was used up; None if some of it is left, or there was none."""
    running = [each for each in monthly if each.starts_at < month.ends_at and each.ends_at > end]
    moments = [each.used_up_at for each in running if each.used_up_at is not None]
    return max(moments) if moments and len(moments) == len(running) else None
