"""Pruning: deletes rows that no decision, no repeated message and no check needs any more. History stays.

`docs/choices.md` says of each table until when a row is kept, and why. The work is done in rounds. The row of the chore says
when the next round is due; a sidecar that moves this moment by compare-and-set has the round, so sidecars do not do the same
work twice. Each table is pruned in a transaction of its own, a bounded batch a round. A round that breaks off at any point
leaves rows that the next one finds; a round that is done twice deletes nothing that the first one would not have.

Rows that others may lock are locked first, and what is locked by others is left for a later round. So a round waits for nobody,
and nobody waits for it in a circle.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, case, delete, exists, or_, select, tuple_, update

from creditmeter.central.decisions import refused_calls
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.upserts import insert_into
from creditmeter.core.instants import DAY, HOUR, MINUTE, SECOND, Instant, Span

LEASE_KEPT_FOR = Span(7 * DAY)
"""How long a closed lease is kept after its end. No decision reads it: it is kept for those who look for what happened."""

ANSWER_KEPT_FOR = Span(7 * DAY)
"""How long the last answer about an account is kept for a sidecar that may still repeat its message."""

REQUEST_KEPT_FOR = Span(90 * DAY)
"""How long a request that the central store decided gets its first reply again."""

SIDECAR_KEPT_FOR = Span(90 * DAY)
"""How long a sidecar that is not heard of and has no open lease is known. If it comes back later, it is fenced."""

RECALL_KEPT_FOR = DAY
"""How long a recall is kept after its deadline. Its sidecar drops it with its next message about the account."""

MOST_AT_ONCE = 500
"""Most rows of a table that are deleted in one transaction."""

MOST_LOOKED_AT = 1_000
"""Most stored answers that are looked at in one round."""

ROUND = MINUTE
"""From one round to the next."""

NEXT_BATCH = Span(5 * SECOND)
"""From one round to the next, if a table has more to prune."""

LONGEST_GAP = HOUR
"""After a longer time without a round, the store was away or its clock was set. Then a round only waits for `HEARING`."""

HEARING = Span(10 * MINUTE)
"""How long every sidecar has for a heartbeat before anything is pruned after a gap."""

_PRUNE = "prune"
_chores = tables.chores


@dataclass(frozen=True, slots=True)
class _Old:
    """Rows of a table that are needed no more. With `is_locked` others may lock such rows, too."""

    table: Table
    condition: ColumnElement[bool]
    is_locked: bool = True

    @property
    def key(self) -> list[ColumnElement[Any]]:
        """The columns of the table's primary key."""
        return list(self.table.primary_key.columns)


class Pruning:
    """Prunes the central store. Concurrent calls share the work.

    `on_deleted` are the functions that are called with the name of each table and how many of its rows were deleted, perhaps 0,
    after their transaction was committed.
    """

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self.on_deleted: list[Callable[[str, int], None]] = []
        self._database = database
        self._clock = clock

    async def prune(self, surely: Instant | None = None) -> Mapping[str, int]:
        """Do a round, if one is due and no other sidecar does it. Returns how many rows of which tables were deleted.

        Only a sidecar that is steady may call it: one in touch with the store for so long that every other sidecar must have
        sent a message as well. It says as how late the time is taken at most: `surely`.

        Raises:
            CentralUnavailable: the store did not answer. What is left is pruned by a later round.
        """
        begun = await self._begin()
        if begun is None:
            return {}
        now, place = begun
        as_of = now if surely is None else min(now, surely)
        deleted: dict[str, int] = {}
        for old in _old_rows(as_of):
            async with self._database.write() as connection:
                count = await _delete_batch(connection, old)
            deleted[old.table.name] = self._counted(old.table, count)
        looked_at, count = await self._prune_answers(as_of, place)
        deleted[tables.exchanges.name] = self._counted(tables.exchanges, count)
        has_more = looked_at == MOST_LOOKED_AT or MOST_AT_ONCE in deleted.values()
        if has_more:
            await self._move(Instant(now + ROUND), Instant(now + NEXT_BATCH))
        return {name: count for name, count in deleted.items() if count}

    def _counted(self, table: Table, count: int) -> int:
        """Call the listeners with rows that were deleted. Returns how many these are."""
        for listener in self.on_deleted:
            listener(table.name, count)
        return count

    async def _begin(self) -> tuple[Instant, str] | None:
        """Take the round that is due: the moment as of which it prunes, and the place of the chore. None if there is none."""
        async with self._database.read() as connection:
            now = await self._clock.now(connection)
            row = (await connection.execute(select(_chores).where(_chores.c.name == _PRUNE))).mappings().one_or_none()
        if row is None:
            await self._put_first_round(now)
            return None
        due_at = Instant(row["due_at"])
        if now < due_at <= now + LONGEST_GAP:
            return None
        has_gap = due_at > now or now - due_at > LONGEST_GAP
        next_at = Instant(now + (HEARING if has_gap else ROUND))
        is_mine = await self._move(due_at, next_at)
        return (now, row["place"]) if is_mine and not has_gap else None

    async def _put_first_round(self, now: Instant) -> None:
        """Insert the row of the chore, unless another sidecar was faster."""
        row = {"name": _PRUNE, "due_at": now + HEARING, "place": ""}
        async with self._database.write() as connection:
            await connection.execute(insert_into(connection, _chores).on_conflict_do_nothing(), row)

    async def _move(self, seen: Instant, due_at: Instant) -> bool:
        """Move the next round, by compare-and-set. Says whether it was moved."""
        mine = update(_chores).where(_chores.c.name == _PRUNE, _chores.c.due_at == seen)
        async with self._database.write() as connection:
            return bool((await connection.execute(mine.values(due_at=due_at))).rowcount)

    async def _prune_answers(self, now: Instant, place: str) -> tuple[int, int]:
        """Look at the stored answers that follow the place, and delete those that no sidecar can ask for any more.

        Returns how many were looked at, and how many deleted. After the last answer the next round begins at the first one.
        """
        kept = tables.exchanges.c
        async with self._database.read() as connection:
            page = (await connection.execute(_answers_after(place))).mappings().all()
        old = [row for row in page if _is_needed_no_more(row, now)]
        async with self._database.write() as connection:
            still = tuple_(kept.account_id, kept.sidecar_id, kept.epoch, kept.seq)
            seen = [(row["account_id"], row["sidecar_id"], row["epoch"], row["seq"]) for row in old]
            deleted = await _delete_batch(connection, _Old(tables.exchanges, still.in_(seen)), len(seen)) if seen else 0
            is_end = len(page) < MOST_LOOKED_AT
            goes_on = "" if is_end else json.dumps([page[-1]["account_id"], page[-1]["sidecar_id"]])
            await connection.execute(update(_chores).where(_chores.c.name == _PRUNE).values(place=goes_on))
        return len(page), deleted


def _old_rows(now: Instant) -> Iterator[_Old]:
    """What is found by an index or in a small table. A lease that is closed with credit out on it stays for `verify`."""
    leases, requests, refused, recalls = tables.leases.c, tables.requests.c, tables.refused_calls.c, tables.recalls.c
    nothing_out = leases.limit_microcredits == leases.posted_microcredits
    yield _Old(tables.leases, leases.closed.is_(True) & nothing_out & (leases.ends_at <= now - LEASE_KEPT_FOR))
    yield _Old(tables.requests, requests.created_at <= now - REQUEST_KEPT_FOR, is_locked=False)
    yield _Old(tables.refused_calls, refused.refused_at <= now - refused_calls.KEPT_FOR)
    yield _Old(tables.recalls, recalls.deadline <= now - RECALL_KEPT_FOR)
    sidecars = tables.sidecars.c
    seen_at = case((sidecars.last_seen_at > sidecars.registered_at, sidecars.last_seen_at), else_=sidecars.registered_at)
    leased = exists().where(leases.sidecar_id == sidecars.sidecar_id, leases.closed.is_(False))
    yield _Old(tables.sidecars, (seen_at <= now - SIDECAR_KEPT_FOR) & ~leased)


async def _delete_batch(connection: AsyncConnection, old: _Old, most: int = MOST_AT_ONCE) -> int:
    """Delete at most `most` of these rows, but for those that others have locked. Returns how many were deleted.

    The condition is checked once more when the rows are locked: a lease may have been opened just before.
    """
    query = select(*old.key).where(old.condition).limit(most)
    if old.is_locked:
        query = query.with_for_update(skip_locked=True, of=old.table)
    found = [tuple(row) for row in await connection.execute(query)]
    if not found:
        return 0
    named = tuple_(*old.key).in_(found) if len(old.key) > 1 else old.key[0].in_([each[0] for each in found])
    return (await connection.execute(delete(old.table).where(named, old.condition))).rowcount


def _answers_after(place: str) -> Any:
    """The stored answers after a place, in the order of the primary key, each with its sidecar's last epoch if it has any."""
    kept, sidecars = tables.exchanges.c, tables.sidecars.c
    key = kept.account_id, kept.sidecar_id
    query = (
        select(*key, kept.epoch, kept.seq, kept.answered_at, sidecars.epoch.label("last_epoch"))
        .join_from(tables.exchanges, tables.sidecars, sidecars.sidecar_id == kept.sidecar_id, isouter=True)
        .order_by(*key)
        .limit(MOST_LOOKED_AT)
    )
    if not place:
        return query
    account_id, sidecar_id = json.loads(place)
    return query.where(or_(kept.account_id > account_id, (kept.account_id == account_id) & (kept.sidecar_id > sidecar_id)))


def _is_needed_no_more(row: Mapping[Any, Any], now: Instant) -> bool:
    """Whether no message can come any more that this stored answer answers.

    A message of an epoch that is over is fenced, and so is one of a sidecar that is not known. Within an epoch an old message
    is repeated only after a long outage; applied once more, it changes nothing but its sidecar's own leases. An older program
    does not say when it answered, so its rows stay while the epoch lasts.
    """
    is_over = row["last_epoch"] is None or row["epoch"] < row["last_epoch"]
    return bool(is_over or 0 < row["answered_at"] <= now - ANSWER_KEPT_FOR)
