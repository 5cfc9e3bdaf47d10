"""Exchanges with sidecars: locks the sidecar's row, opens the accounts that its messages are about, saves them and the answers.

Registration, heartbeats and the reclaiming of lost sidecars' leases are here, too. A registration locks and saves the sidecar's
row. An exchange shares a lock on that row, opens the account of each message in the order of their ids, and saves with each
ledger the answer and the refused calls. A preview locks and saves nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from creditmeter.central.decisions.accounts import OpenLedger, open_ledger
from creditmeter.central.decisions.administration import create_on_first_touch
from creditmeter.central.decisions.contents import Topic
from creditmeter.central.decisions.refused_calls import put_refused_calls
from creditmeter.central.decisions.touching import Touching
from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.central.schema.upserts import insert_into, upsert
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Charge
from creditmeter.core.credit.messages import Answer, BalanceSummary, Fenced, Message, Outdated, Preview, Registered, Reply
from creditmeter.core.ids import AccountId, PlanId, SidecarId
from creditmeter.core.instants import MINUTE, Instant, Span
from creditmeter.core.refusals import AccountNotFound
from creditmeter.core.settlement.answering import answer, reclaim_lost
from creditmeter.core.settlement.balance_summary import balance_summary
from creditmeter.forms.answers import ANSWER

DEFAULT_LEASE_TTL = Span(10 * MINUTE)

_SIDECAR = select(tables.sidecars.c.epoch, tables.sidecars.c.nonce).where(
    tables.sidecars.c.sidecar_id == bindparam("sidecar_id")
)
_LOCKED_SIDECAR = _SIDECAR.with_for_update()
_SHARED_SIDECAR = _SIDECAR.with_for_update(read=True, key_share=True)
_APPLIED = select(tables.exchanges.c.seq, tables.exchanges.c.answer).where(
    tables.exchanges.c.account_id == bindparam("account_id"),
    tables.exchanges.c.sidecar_id == bindparam("sidecar_id"),
    tables.exchanges.c.epoch == bindparam("epoch"),
)


class Exchanges:
    """Registers sidecars, and applies their messages."""

    def __init__(
        self, database: Database, clock: StoreClock, touching: Touching, auto_create_plan: PlanId | None = None
    ) -> None:
        self._database = database
        self._touching = touching
        self._clock = clock
        self._auto_create_plan = auto_create_plan

    async def register(
        self, sidecar_id: SidecarId, epoch: int, nonce: str, lease_ttl: Span = DEFAULT_LEASE_TTL
    ) -> Registered | Fenced:
        """Issue the next epoch to the sidecar whose last epoch was `epoch` (0: it has none), by compare-and-set.

        `nonce` is new for each start of the sidecar. A request that is repeated with its nonce gets the same answer again.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._database.write() as connection:
            if epoch == 0:
                await self._put_new_sidecar(connection, sidecar_id)
            row = await self._sidecar(connection, sidecar_id)
            known, last_nonce = row or (0, "")
            if known == epoch:
                await self._put_sidecar(connection, sidecar_id, epoch + 1, nonce, lease_ttl)
            elif not (known == epoch + 1 and last_nonce == nonce):
                return Fenced(sidecar_id)
            leases = tables.leases
            query = select(leases.c.account_id).where(leases.c.sidecar_id == sidecar_id, leases.c.closed.is_(False))
            accounts = (await connection.execute(query.distinct().order_by(leases.c.account_id))).scalars()
            return Registered(epoch + 1, tuple(accounts))

    async def beat(self, sidecar_id: SidecarId, epoch: int) -> Fenced | None:
        """Receive a heartbeat from a sidecar that has nothing else to send.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        sidecars = tables.sidecars
        async with self._database.write() as connection:
            mine = sidecars.c.sidecar_id == sidecar_id, sidecars.c.epoch == epoch
            seen = update(sidecars).where(*mine).values(last_seen_at=await self._clock.now(connection))
            return None if (await connection.execute(seen)).rowcount else Fenced(sidecar_id)

    async def reclaimable(self, after: AccountId | None, limit: int) -> list[AccountId]:
        """The accounts on which lost sidecars have leases: at most `limit`, those with ids after `after`.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        leases = tables.leases
        async with self._database.read() as connection:
            now = await self._clock.now(connection)
            lost = select(leases.c.account_id).where(leases.c.closed.is_(False), leases.c.reclaim_at <= now)
            if after is not None:
                lost = lost.where(leases.c.account_id > after)
            found = await connection.execute(lost.distinct().order_by(leases.c.account_id).limit(limit))
            return [AccountId(each) for each in found.scalars()]

    async def reclaim(self, account_id: AccountId) -> None:
        """Close the leases of lost sidecars on an account.

        Only a sidecar that is steady may ask for it: one in touch with the store for so long that every other sidecar must have
        sent a message as well.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._database.write() as connection:
            opened = await open_ledger(connection, account_id, await self._clock.now(connection))
            assert opened is not None, "a lease is of an account"
            opened.ledger.touch()
            reclaim_lost(opened.ledger)
            opened.ledger.lapse()
            opened.ledger.repay_debt()
            await opened.save(connection)

    async def exchange(self, messages: Sequence[Message]) -> tuple[Reply, ...] | Fenced:
        """Apply one sidecar's messages, each about another account, in one transaction. Returns the replies in their order.

        Raises:
            CentralUnavailable: the store did not answer. Whether the messages were applied is unknown, so the sidecar has to
                send them again unchanged.
        """
        replies: dict[AccountId, Reply] = {}
        async with self._database.write() as connection:
            first = messages[0]
            row = await self._sidecar(connection, first.sidecar_id, share=True)
            if row is None or row[0] != first.epoch:
                return Fenced(first.sidecar_id)
            now = await self._clock.now(connection)
            for message in sorted(messages, key=lambda each: each.account_id):
                replies[message.account_id] = await self._apply(connection, message, now)
        return tuple(replies[message.account_id] for message in messages)

    async def preview(self, message: Message, max_grants: int) -> Preview | AccountNotFound:
        """The account's balance summary if this message were applied now. Nothing is changed.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        async with self._touching.read(message.account_id) as connection:
            now = await self._clock.now(connection)
            topic = replace(_topic(message), listed=max_grants)
            opened = await open_ledger(connection, message.account_id, now, topic, lock=False)
            if opened is None:
                return AccountNotFound(message.account_id)
            answered = answer(opened.ledger, message)
            waiting = [each for each in message.charges if each.charge_id not in answered.postings]
            return Preview(opened.ledger.account, _without(balance_summary(opened.ledger, max_grants), waiting))

    async def _apply(self, connection: AsyncConnection, message: Message, now: Instant) -> Reply:
        opened = await self._open(connection, message, now)
        if opened is None:
            return AccountNotFound(message.account_id)
        applied = await self._applied(connection, message)
        if applied is not None:
            return applied
        reply = answer(opened.ledger, message)
        await opened.save(connection)
        await put_refused_calls(connection, message.account_id, message.refused)
        row = {
            "account_id": message.account_id,
            "sidecar_id": message.sidecar_id,
            "epoch": message.epoch,
            "seq": message.seq,
            "answer": ANSWER.encode_text(reply),
        }
        await upsert(connection, tables.exchanges, [row])
        return reply

    async def _open(self, connection: AsyncConnection, message: Message, now: Instant) -> OpenLedger | None:
        opened = await open_ledger(connection, message.account_id, now, _topic(message))
        if opened is None and self._auto_create_plan is not None:
            await create_on_first_touch(connection, message.account_id, self._auto_create_plan, now)
            opened = await open_ledger(connection, message.account_id, now, _topic(message))
        return opened

    async def _applied(self, connection: AsyncConnection, message: Message) -> Answer | Outdated | None:
        """The reply to a message that was applied before, or is older than one that was applied; None if it is new."""
        place = {"account_id": message.account_id, "sidecar_id": message.sidecar_id, "epoch": message.epoch}
        last = (await connection.execute(_APPLIED, place)).one_or_none()
        if last is None or last.seq < message.seq:
            return None
        return ANSWER.decode(last.answer) if last.seq == message.seq else Outdated(last.seq)

    async def _sidecar(
        self, connection: AsyncConnection, sidecar_id: SidecarId, *, share: bool = False
    ) -> tuple[int, str] | None:
        """A sidecar's epoch and nonce; None if it never registered.

        Its row is locked, so that no exchange of an epoch ends after the next epoch was issued. Exchanges share the lock, and
        heartbeats do not wait for it.
        """
        query = _SHARED_SIDECAR if share else _LOCKED_SIDECAR
        row = (await connection.execute(query, {"sidecar_id": sidecar_id})).one_or_none()
        return None if row is None else (row[0], row[1])

    async def _put_new_sidecar(self, connection: AsyncConnection, sidecar_id: SidecarId) -> None:
        """Insert a row to lock, so that of two processes with the same new id only one is issued the first epoch."""
        row = {"sidecar_id": sidecar_id, "epoch": 0, "nonce": "", "registered_at": await self._clock.now(connection)}
        await connection.execute(insert_into(connection, tables.sidecars).on_conflict_do_nothing(), row)

    async def _put_sidecar(
        self, connection: AsyncConnection, sidecar_id: SidecarId, epoch: int, nonce: str, lease_ttl: Span
    ) -> None:
        now = await self._clock.now(connection)
        row = {
            "sidecar_id": sidecar_id,
            "epoch": epoch,
            "nonce": nonce,
            "registered_at": now,
            "last_seen_at": now,
            "lease_ttl": lease_ttl,
        }
        await upsert(connection, tables.sidecars, [row])


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
