"""Publishing rate cards: loads and saves rows of rate cards, under one lock for all of them. A row never changes."""

from typing import Any

from sqlalchemy import RowMapping, Select, func, or_, select, text, tuple_

from creditmeter.central.engine.clock import StoreClock
from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.schema import tables
from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import HOUR
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_cards import KeptCard, RateCardCursor, kept
from creditmeter.core.refusals import RateCardExists

_ADVISORY_LOCK = 4_743_002

SUPERSEDED_FOR = HOUR
"""A card that was superseded longer ago than this is in force by no sidecar's clock."""

_columns = tables.rate_cards.c
_WITHOUT_PRICES = [each for each in tables.rate_cards.columns if each is not _columns.price_list]


class Publications:
    """Publishes rate cards and reads them. Each method raises CentralUnavailable if the store does not answer."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def publish(self, card: RateCard, document: str, price_list: bytes | None) -> Done[KeptCard] | RateCardExists:
        """Publish a card for good. The same document again is the same publication.

        It is refused if another card has its version already: the version that its document names, or the one on charges.
        """
        async with self._database.write() as connection:
            await _lock(connection)
            known = await _find(connection, card.document_version, card.version)
            if known is not None:
                is_same = known.document == document
                return Done(known, replayed=True) if is_same else RateCardExists(card.document_version)
            last = (await connection.execute(select(func.coalesce(func.max(_columns.number), 0)))).scalar_one()
            made = kept(card, document, price_list, await self._clock.now(connection), last + 1)
            await connection.execute(tables.rate_cards.insert(), [_row(made)])
            return Done(made)

    async def find(self, version: str) -> KeptCard | None:
        """The published card with this version, the one in its document or the one on charges; None if there is none."""
        async with self._database.read() as connection:
            return await _find(connection, version)

    async def since(self, number: int) -> list[KeptCard]:
        """The cards that were published after card `number` and may be in force now or later, in the order of publication.

        Cards that were superseded more than `SUPERSEDED_FOR` ago are left out: no sidecar begins to price by them.
        """
        async with self._database.read() as connection:
            then = await self._clock.now(connection) - SUPERSEDED_FOR
            in_force = _newest_first(select(_columns.effective_from, _columns.number).where(_columns.effective_from <= then))
            oldest = (await connection.execute(in_force.limit(1))).one_or_none()
            query = select(tables.rate_cards).where(_columns.number > number).order_by(_columns.number)
            if oldest is not None:
                query = query.where(tuple_(_columns.effective_from, _columns.number) >= tuple_(*oldest))
            return [_kept(row) for row in (await connection.execute(query)).mappings()]

    async def list_cards(self, limit: int, after: RateCardCursor | None = None) -> list[KeptCard]:
        """At most `limit` cards, without their price lists, those with the latest `effective_from` first."""
        query = _newest_first(select(*_WITHOUT_PRICES)).limit(limit)
        if after is not None:
            place = tuple_(_columns.effective_from, _columns.number)
            query = query.where(place < tuple_(after.effective_from, after.number))
        async with self._database.read() as connection:
            return [_kept(row) for row in (await connection.execute(query)).mappings()]


async def _lock(connection: AsyncConnection) -> None:
    """Let one publication run at a time. On SQLite only one transaction writes at a time anyway."""
    if connection.dialect.name != "sqlite":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


async def _find(connection: AsyncConnection, *versions: str) -> KeptCard | None:
    """The card with one of these versions, None if there is none. No two cards share a version."""
    condition = or_(_columns.document_version.in_(versions), _columns.version.in_(versions))
    row = (await connection.execute(select(tables.rate_cards).where(condition).limit(1))).mappings().one_or_none()
    return None if row is None else _kept(row)


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(_columns.effective_from.desc(), _columns.number.desc())


def _row(card: KeptCard) -> dict[str, Any]:
    return {
        "document_version": card.document_version,
        "version": card.version,
        "number": card.number,
        "effective_from": card.effective_from,
        "published_at": card.published_at,
        "document": card.document,
        "price_list": card.price_list,
    }


def _kept(row: RowMapping) -> KeptCard:
    return KeptCard(
        version=row["version"],
        document_version=row["document_version"],
        effective_from=row["effective_from"],
        published_at=row["published_at"],
        number=row["number"],
        document=row["document"],
        price_list=row.get("price_list"),
    )
