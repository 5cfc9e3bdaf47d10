"""Exchanges with sidecars: opens the accounts that a sidecar's messages are about, saves them and the answers.

The reclaiming of lost sidecars' leases is here, too. An exchange shares a lock on the sidecar's row, opens the accounts of its
messages, and saves with the ledgers the answers and the refused calls. A preview locks and saves nothing, nor does a look at
messages that may change nothing.
"""

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from creditmeter.central.decisions.accounts import OpenLedger, open_ledger, open_ledgers, save_ledgers, watched_alerts
from creditmeter.central.decisions.administration import create_on_first_touch
from creditmeter.central.decisions.elapsed_time import elapsed_time
from creditmeter.central.decisions.refused_calls import put_refused_calls
from creditmeter.central.decisions.registration import admit
from creditmeter.central.decisions.topics import Topic
from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database, takes_writes
from creditmeter.central.schema import tables
from creditmeter.central.schema.listed import as_list, listed
from creditmeter.central.schema.reading import reading
from creditmeter.central.schema.rows import Row
from creditmeter.central.schema.upserts import upsert
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.grants import Grant, GrantKind, GrantSource
from creditmeter.core.credit.messages import Answer, BalanceSummary, Fenced, Message, Need, Outdated, Preview, Reply
from creditmeter.core.ids import AccountId, GrantId, PlanId, SidecarId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.settlement.answering import answer
from creditmeter.core.settlement.balance_summary import balance_summary
from creditmeter.core.settlement.reclaiming import reclaim_lost
from creditmeter.core.settlement.unchanged import answer_if_unchanged
from creditmeter.core.values import replace
from creditmeter.forms.answers import ANSWER

_NOBODY, _REHEARSED, _LITTLE = SidecarId("rehearsal"), GrantId("rehearsal"), Microcredits(1)


class _Rehearsed(Exception):
    """What was done is to be undone."""


class Exchanges:
    """Applies the messages of sidecars."""

    def __init__(
        self, database: Database, clock: StoreClock, touching: Touching, auto_create_plan: PlanId | None = None
    ) -> None:
        self._database = database
        self._touching = touching
        self._clock = clock
        self._auto_create_plan = auto_create_plan

    async def reclaimable(self, after: AccountId | None, limit: int) -> list[AccountId]:
        """The accounts on which lost sidecars have leases, or an older program's leases are due to be counted from now on: at
        most `limit`, those with ids after `after`.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        leases = tables.leases.c
        async with self._database.read() as connection:
            now, elapsed = await self._clock.now(connection), await elapsed_time(connection)
            lost = select(leases.account_id).where(tables.IS_COUNTED, leases.lost_after <= elapsed)
            due = select(leases.account_id).where(tables.IS_UNCOUNTED, leases.reclaim_at <= now)
            either = lost.union_all(due).subquery().c.account_id  # each finds its index so
            found = select(either).where(either > (after or "")).group_by(either).order_by(either).limit(limit)
            return [AccountId(each) for each in (await connection.execute(found)).scalars()]

    async def reclaim(self, account_id: AccountId) -> bool:
        """Close the leases of lost sidecars on an account. Says whether there were any.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._database.write() as connection:
            elapsed = await elapsed_time(connection)
            opened = await open_ledger(connection, account_id, await self._clock.now(connection))
            assert opened is not None, "a lease is of an account"
            opened.ledger.touch()
            is_any = reclaim_lost(opened.ledger, elapsed)
            opened.ledger.lapse()
            opened.ledger.repay_debt()
            await opened.save(connection)
            return is_any

    async def exchange(self, messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        """Apply one sidecar's messages, each about another account, in one transaction. Returns the replies in their order.

        Raises:
            CentralUnavailable: the store did not answer. Whether the messages were applied is unknown, so the sidecar has to
                send them again unchanged.
        """
        async with self._database.write() as connection:
            first = messages[0]
            elapsed = await admit(connection, first.sidecar_id, first.epoch)
            if isinstance(elapsed, Fenced):
                return elapsed
            replies = await self._apply(connection, messages, elapsed)
        return tuple(replies[message.account_id] for message in messages)

    async def rehearse(self) -> None:
        """Apply a message about an account that is made for it, and undo all of it.

        SQLAlchemy puts a statement together when it is first needed. For those of an exchange that takes some 15 ms, and many
        times that where several processes start at once: so long the first exchange would keep all others from a file.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        account_id = AccountId(f"rehearsal-{secrets.token_hex(8)}")  # which nobody has, no more than a plan of that name
        with contextlib.suppress(_Rehearsed):
            async with self._database.write() as connection:
                now = await self._clock.now(connection)
                await admit(connection, _NOBODY, 0)
                await create_on_first_touch(connection, account_id, PlanId(account_id), now)
                opened = await open_ledger(connection, account_id, now)
                assert opened is not None, "it was created just now"
                opened.ledger.give(
                    Grant(_REHEARSED, GrantKind.PERMANENT, _LITTLE, _LITTLE, now, None, GrantSource.PROMOTION, now)
                )
                await opened.save(connection)
                message = Message(_NOBODY, 0, account_id, 1, need=Need(_LITTLE, _LITTLE, _LITTLE))
                await self._apply(connection, [message], Span(0))
                raise _Rehearsed

    async def look(self, messages: Sequence[Message]) -> tuple[Answer | None, ...] | Fenced:
        """The answers to those of one sidecar's messages that would change nothing if they were applied now, and None in place
        of each other. Nothing is changed, and no lease is renewed: the messages count as not sent. A server that takes no
        writes answers none of them.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._database.read() as connection:
            if not await takes_writes(connection):
                return tuple(None for _ in messages)
            first = messages[0]
            elapsed = await admit(connection, first.sidecar_id, first.epoch, lock=False)
            if isinstance(elapsed, Fenced):
                return elapsed
            topics = {each.account_id: _topic(each) for each in messages}
            opened = await open_ledgers(connection, topics, await self._clock.now(connection), lock=False)
            return tuple([await _looked_up(connection, opened.get(each.account_id), each, elapsed) for each in messages])

    async def preview(self, message: Message, max_grants: int) -> Preview | AccountNotFound:
        """The account's balance summary if this message were applied now. Nothing is changed.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._touching.read(message.account_id) as connection:
            now = await self._clock.now(connection)
            topic = dataclasses.replace(_topic(message), listed=max_grants)
            opened = await open_ledger(connection, message.account_id, now, topic, lock=False)
            if opened is None:
                return AccountNotFound(message.account_id)
            answered = answer(opened.ledger, message, await elapsed_time(connection))
            waiting = [each for each in message.charges if each.charge_id not in answered.postings]
            return Preview(opened.ledger.account, _without(balance_summary(opened.ledger, max_grants), waiting))

    async def _apply(
        self, connection: AsyncConnection, messages: Sequence[Message], elapsed: Span
    ) -> Mapping[AccountId, Reply]:
        opened = await self._open(connection, messages, await self._clock.now(connection))
        replies = await _applied(connection, messages)
        saved: list[OpenLedger] = []
        rows: list[Row] = []
        for message in messages:
            account_id = message.account_id
            if account_id not in opened:
                replies[account_id] = AccountNotFound(account_id)
            elif account_id not in replies:
                replies[account_id] = reply = answer(opened[account_id].ledger, message, elapsed)
                saved.append(opened[account_id])
                rows.append(_exchange_row(message, reply, opened[account_id].ledger.now))
                await asyncio.sleep(0)  # calls go on between two accounts
        await save_ledgers(connection, saved)
        for message in messages:
            if message.refused and isinstance(replies[message.account_id], Answer):
                await put_refused_calls(connection, message.account_id, message.refused)
        await upsert(connection, tables.exchanges, rows)
        return replies

    async def _open(
        self, connection: AsyncConnection, messages: Sequence[Message], now: Instant
    ) -> Mapping[AccountId, OpenLedger]:
        """The ledgers of the messages' accounts. Those that are created are locked after the others."""
        topics = {each.account_id: _topic(each) for each in messages}
        opened = await open_ledgers(connection, topics, now)
        unknown = {each: topics[each] for each in sorted(topics.keys() - opened.keys())}
        if not unknown or self._auto_create_plan is None:
            return opened
        for account_id in unknown:
            await create_on_first_touch(connection, account_id, self._auto_create_plan, now)
        return opened | await open_ledgers(connection, unknown, now)


async def _looked_up(connection: AsyncConnection, opened: OpenLedger | None, message: Message, elapsed: Span) -> Answer | None:
    """The answer to a message that changes nothing, in alerts neither; None if it changes something. A decision that lies in
    the future is always to be replaced.
    """
    if opened is None or opened.is_set_back:
        return None
    ledger = opened.ledger
    answered = answer_if_unchanged(ledger, message, elapsed)
    if answered is None or not ledger.account.alerts:
        return answered
    watched = await watched_alerts(connection, ledger, opened.last_entry)
    return None if watched.changed or watched.fired else answered


async def _applied(connection: AsyncConnection, messages: Sequence[Message]) -> dict[AccountId, Reply]:
    """The replies to those of one sidecar's messages that were applied before, or are older than one that was applied."""
    values = {"sidecar_id": messages[0].sidecar_id, "epoch": messages[0].epoch}
    values |= as_list("accounts", ((each.account_id,) for each in messages))
    rows = (await connection.execute(_applied_query(connection.dialect.name), values)).mappings()
    last = {row["account_id"]: row for row in rows}
    replies: dict[AccountId, Reply] = {}
    for message in messages:
        row = last.get(message.account_id)
        if row is not None and row["seq"] >= message.seq:
            is_same = row["seq"] == message.seq
            with reading(message.account_id, f"the answer to {message.sidecar_id}"):
                replies[message.account_id] = ANSWER.decode(row["answer"]) if is_same else Outdated(row["seq"])
    return replies


@cache
def _applied_query(dialect: str) -> Select[Any]:
    exchanges = tables.exchanges.c
    return select(exchanges.account_id, exchanges.seq, exchanges.answer).where(
        exchanges.account_id.in_(listed(dialect, "accounts").rows()),
        exchanges.sidecar_id == bindparam("sidecar_id"),
        exchanges.epoch == bindparam("epoch"),
    )


def _exchange_row(message: Message, reply: Answer, now: Instant) -> Row:
    return {
        "account_id": message.account_id,
        "sidecar_id": message.sidecar_id,
        "epoch": message.epoch,
        "seq": message.seq,
        "answer": ANSWER.encode_text(reply),
        "answered_at": now,
    }


def _without(shown: BalanceSummary, waiting: Sequence[Charge]) -> BalanceSummary:
    """The summary if the charges that wait for recalled credit were posted, too."""
    on_leases = sum(part.amount for charge in waiting for part in charge.parts)
    beyond = sum(charge.cost for charge in waiting) - on_leases
    return replace(
        shown,
        available=Microcredits(max(0, shown.available - beyond)),
        unposted=Microcredits(max(0, shown.unposted - on_leases)),
    )


def _topic(message: Message) -> Topic:
    return Topic(
        posts=message.charges,
        charges=frozenset(charge.charge_id for charge in message.charges),
        requests=frozenset(charge.request_id for charge in message.charges),
        reservations=frozenset(charge.reservation_id for charge in message.charges if charge.reservation_id),
        refunded_charges=frozenset(refund.charge_id for refund in message.refunds),
        refund_requests=frozenset(refund.request_id for refund in message.refunds),
    )
