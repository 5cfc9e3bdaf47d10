"""The grants that decisions load, with the sums of those that they do not load."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    RowMapping,
    Select,
    bindparam,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from creditmeter.central.decisions.running_sums import RunningSums, running_sums
from creditmeter.central.decisions.topics import Asked
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.schema import tables
from creditmeter.central.schema.listed import as_list, listed
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.rows import Row, grant_of
from creditmeter.central.schema.sums import sum_of, whole
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import NO_REST, Grant, GrantKind, Rest, draw_key
from creditmeter.core.credit.leases import OutLease
from creditmeter.core.credit.schedule import Schedule
from creditmeter.core.ids import AccountId, GrantId
from creditmeter.core.instants import Instant
from creditmeter.core.settlement.loading import covers_draws, draw_bound
from creditmeter.core.settlement.setting_back import is_set_back

FIRST_GRANTS = 8
"""Permanent grants of the first load: nearly always enough."""

_MORE_GRANTS = 8
"""Growth of the limit when the first load is too small."""


@dataclass(frozen=True, slots=True)
class LoadedGrants:
    """The grants that were loaded of an account, those of them that have begun since the last decision, the sums of its other
    permanent grants, and its running sums.
    """

    found: tuple[Grant, ...]
    waited: frozenset[GrantId]
    rest: Rest
    sums: RunningSums


async def load_grants(
    connection: AsyncConnection,
    asked: Sequence[Asked],
    charges: Mapping[AccountId, Sequence[Charge]],
    leases: Mapping[AccountId, Sequence[OutLease]],
    now: Instant,
) -> list[LoadedGrants]:
    """The grants that decisions at `now` may need, with `charges` and `leases` as loaded.

    They are: the grants of the running periods; DAILY, MONTHLY and voided grants that have credit left; those that have begun
    since the last decision; the grants that a refund may give credit back to; and, of the PERMANENT grants that have credit
    left, the first in the order of deduction, as many as cover the draws. Grants that have not begun are left out, but where a
    clock that was ahead had them drawn on or lapse.
    """
    found: dict[AccountId, _Found] = {}
    lacking: Sequence[Asked] = asked
    limit = FIRST_GRANTS + max(each.topic.listed for each in asked)
    while lacking:
        rows = await _rows(connection, lacking, charges, leases, now, limit)
        for each in lacking:
            loaded = _Found.of(rows[each.account_id], limit)
            if loaded.is_all or _covers(loaded.first, each, charges, leases, now):
                found[each.account_id] = loaded
        lacking = [each for each in lacking if each.account_id not in found]
        limit *= _MORE_GRANTS
    return [await _loaded(connection, each, found[each.account_id], now) for each in asked]


@dataclass(frozen=True, slots=True)
class _Found:
    """The grants that were found of an account, those of them that are marked as not begun, and the first permanent ones in
    the order of deduction. `is_all`: no other grant is usable.
    """

    grants: tuple[Grant, ...]
    marked: tuple[Grant, ...]
    first: tuple[Grant, ...]
    is_all: bool

    @classmethod
    def of(cls, rows: Iterable[RowMapping], limit: int) -> "_Found":
        grants: dict[str, Grant] = {}
        marked, first = set(), set()
        for row in rows:
            name = row["grant_id"]
            if name not in grants:  # several lists may name a grant
                grants[name] = grant_of(row)
            if row["begins_later"]:
                marked.add(name)
            if row["in_order"]:
                first.add(name)
        in_order = sorted((grants[name] for name in first), key=draw_key)
        return cls(
            tuple(grants.values()), tuple(grants[name] for name in marked), tuple(in_order), is_all=len(in_order) < limit
        )


def _covers(
    first: Sequence[Grant],
    asked: Asked,
    charges: Mapping[AccountId, Sequence[Charge]],
    leases: Mapping[AccountId, Sequence[OutLease]],
    now: Instant,
) -> bool:
    account_id, topic = asked.account_id, asked.topic
    by_id = {each.lease_id: each for each in leases.get(account_id, ())}
    return covers_draws(first, draw_bound(topic.posts, charges.get(account_id, ()), by_id, now), now, topic.listed)


async def _rows(
    connection: AsyncConnection,
    asked: Iterable[Asked],
    charges: Mapping[AccountId, Sequence[Charge]],
    leases: Mapping[AccountId, Sequence[OutLease]],
    now: Instant,
    limit: int,
) -> Mapping[AccountId, list[RowMapping]]:
    """The rows of the grants of accounts: of the permanent ones that have credit left, the first `limit`."""
    accounts = [(each.account_id,) for each in asked]
    running = [(each.account_id, key) for each in asked for key in _running(each, now)]
    named = [(each.account_id, name) for each in asked for name in _named(each, charges.get(each.account_id, ()))]
    values: Row = {"now": now, "limit": limit, **as_list("accounts", accounts), **as_list("running", running)}
    ahead = [(each.account_id,) for each in asked if _was_ahead(each, leases.get(each.account_id, ()), now)]
    lists = {name: rows for name, rows in (("grants", named), ("ahead", ahead)) if rows}
    for name, rows in lists.items():
        values |= as_list(name, rows)
    query = _grants_query(connection.dialect.name, frozenset(lists))
    found: dict[AccountId, list[RowMapping]] = defaultdict(list)
    for row in (await connection.execute(query, values)).mappings():
        found[row["account_id"]].append(row)
    return found


def _was_ahead(asked: Asked, leases: Iterable[OutLease], now: Instant) -> bool:
    """Whether an earlier decision was taken, or a lease that is still open was opened, by a clock that was ahead."""
    return is_set_back(now, asked.row["decided_at"]) or any(each.opened_at > now for each in leases)


def _running(asked: Asked, now: Instant) -> tuple[str, str]:
    """The keys of the running day and the running month."""
    schedule = Schedule(asked.account.calendar, asked.calendar_change)
    return schedule.day_at(now).key, schedule.month_at(now).key


def _named(asked: Asked, charges: Iterable[Charge]) -> Iterator[str]:
    """The grants that a decision may give credit back to, and those that it is about. Which charge a refund is of may turn out
    only when its own charge is posted, so the grants of all loaded charges count.
    """
    yield from asked.topic.grants
    for charge in charges if asked.topic.refunded_charges else ():
        if charge.posting is not None:
            yield from (draw.grant_id for draw in charge.posting.draws)


async def _loaded(connection: AsyncConnection, asked: Asked, found: _Found, now: Instant) -> LoadedGrants:
    sums = await running_sums(connection, asked.row, found.grants, found.marked, now)
    with reading(asked.account_id, "a row of grants"):
        left = sum(each.remaining for each in found.grants if each.effective_at <= now) + sums.to_come
        assert not found.is_all or left == asked.row["balance_microcredits"], "the balance is not what is left of the grants"
    rest = NO_REST if found.is_all else await _rest(connection, asked, found.grants, sums, now)
    waited = frozenset(each.grant_id for each in found.marked if each.effective_at <= now)
    return LoadedGrants(found.grants, waited, rest, sums)


async def _rest(connection: AsyncConnection, asked: Asked, loaded: Iterable[Grant], sums: RunningSums, now: Instant) -> Rest:
    """The sums of the permanent grants that are usable now and were not loaded.

    `given` is only for display. Unless grants are to be shown, it is not read, and is what is left.
    """
    known = [each for each in loaded if each.effective_at <= now]
    remaining = Microcredits(asked.row["balance_microcredits"] - sum(each.remaining for each in known) - sums.to_come)
    if not asked.topic.listed:
        return Rest(given=remaining, remaining=remaining)
    values = {"account_id": asked.account_id, "now": now}
    given = whole((await connection.execute(_GIVEN, values)).mappings().one(), "given")
    of_loaded = sum(each.given for each in known if each.kind is GrantKind.PERMANENT and each.remaining)
    return Rest(given=Microcredits(given - of_loaded), remaining=remaining)


_grants = tables.grants.c
_PERMANENT = _grants.kind == GrantKind.PERMANENT.value, tables.HAS_CREDIT
_GIVEN = select(*sum_of("given", _grants.amount_microcredits - _grants.voided_microcredits)).where(
    _grants.account_id == bindparam("account_id"), *_PERMANENT, _grants.effective_at <= bindparam("now")
)
# "+ 0" keeps engines from using the index of beginnings: they would have to sort what it finds
_HAS_BEGUN = _grants.effective_at + literal_column("0") <= bindparam("now")


_OUT_OF_TIME = or_(
    tables.HAS_CREDIT & (_grants.effective_at > bindparam("now")),
    (_grants.lapsed_microcredits > 0) & (_grants.expires_at > bindparam("now")),
    _grants.period_key.is_(None) & (_grants.effective_at == _grants.created_at) & (_grants.effective_at > bindparam("now")),
)


@cache
def _grants_query(dialect: str, lists: frozenset[str]) -> CompoundSelect[Any]:
    """A union with one query for each way in which a grant can matter. One condition for all would read every grant of the
    accounts. `lists` are those of the lists "grants" and "ahead" that name any.
    """
    others = select(tables.grants, literal(0).label("in_order"))
    of_accounts = others.where(_grants.account_id.in_(listed(dialect, "accounts").rows()))
    by_period = tuple_(_grants.account_id, _grants.period_key).in_(listed(dialect, "running", 2).rows())
    by_name = tuple_(_grants.account_id, _grants.grant_id).in_(listed(dialect, "grants", 2).rows())
    found = [
        of_accounts.where(_grants.kind.in_((GrantKind.DAILY.value, GrantKind.MONTHLY.value)), tables.IS_OPEN, _HAS_BEGUN),
        of_accounts.where(tables.IS_TO_COME, _grants.effective_at <= bindparam("now")),
        of_accounts.where(tables.IS_VOIDED_WITH_CREDIT),
        others.where(by_period),
        *([others.where(by_name)] if "grants" in lists else []),
        *([others.where(_grants.account_id.in_(listed(dialect, "ahead").rows()), _OUT_OF_TIME)] if "ahead" in lists else []),
        _first_of_each(dialect),
    ]
    return union_all(*found)


def _first_of_each(dialect: str) -> Select[Any]:
    """The first permanent grants of each account in the order of deduction. SQLite has no LATERAL: there the accounts' ids are
    joined with the ids of their first grants.
    """
    accounts = listed(dialect, "accounts")
    (account_id,) = accounts.fields
    order = tables.GRANT_END, _grants.effective_at, _grants.grant_id
    usable = _grants.account_id == account_id, *_PERMANENT, tables.IS_OPEN, _HAS_BEGUN
    limit: BindParameter[int] = bindparam("limit")
    if dialect == "sqlite":
        first = select(_grants.grant_id).where(*usable).order_by(*order).limit(limit).correlate(accounts.source)
        chosen = tables.grants.alias("chosen")
        is_first = (chosen.c.account_id == account_id) & chosen.c.grant_id.in_(first)
        return select(chosen, literal(1).label("in_order")).select_from(accounts.source.join(chosen, is_first))
    each = select(tables.grants).where(*usable).order_by(*order).limit(limit).correlate(accounts.source).lateral("chosen")
    return select(each, literal(1).label("in_order")).select_from(accounts.source.join(each, true()))
