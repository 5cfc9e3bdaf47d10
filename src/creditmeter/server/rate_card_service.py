"""The part of AdminService that publishes rate cards and shows them."""

import asyncio

from creditmeter.catalog.installed import load_card
from creditmeter.central.store import CentralStore
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.prices.rate_cards import LoadedCard, RateCardCursor
from creditmeter.core.refusals import InvalidRequest, RateCardExists, RateCardNotFound
from creditmeter.server.errors import Context, allowed
from creditmeter.server.fields import Fields
from creditmeter.server.paging import page_of
from creditmeter.server.replies import rate_card_message
from creditmeter.sidecar.card_keeper import CardKeeper
from creditmeter.v1 import admin_pb2, admin_pb2_grpc

MAX_DOCUMENT_BYTES = 1024 * 1024


class RateCardService(admin_pb2_grpc.AdminServiceServicer):
    """Publishes cards for all sidecars. This sidecar uses a new card at once, the others when they next look for one."""

    def __init__(self, central: CentralStore, keeper: CardKeeper) -> None:
        self._publications = central.rate_cards
        self._keeper = keeper

    async def PublishRateCard(
        self, request: admin_pb2.PublishRateCardRequest, context: Context
    ) -> admin_pb2.PublishRateCardResponse:
        """Publish a card. A published card never changes."""
        loaded = await allowed(context, await _read(request.document))
        await allowed(context, self._own_allows(loaded))
        published = await self._publications.publish(loaded.card, request.document, loaded.kept.price_list)
        done = await allowed(context, published)
        await self._keeper.refresh()
        message = rate_card_message(done.reply, done.reply.document)
        return admin_pb2.PublishRateCardResponse(rate_card=message, replayed=done.replayed)

    def _own_allows(self, loaded: LoadedCard) -> LoadedCard | RateCardExists:
        """The card; RateCardExists if this sidecar was started with another card of the same version.

        It may have priced holds by that one already.
        """
        versions = loaded.kept.document_version, loaded.kept.version
        own = next(filter(None, map(self._keeper.own_if, versions)), None)
        return loaded if own is None or own.document == loaded.kept.document else RateCardExists(versions[0])

    async def GetRateCard(self, request: admin_pb2.GetRateCardRequest, context: Context) -> admin_pb2.GetRateCardResponse:
        """A card with its document: the one of this version or, without a version, the one in force on this sidecar."""
        fields = Fields(request)
        named = fields.id_if_set("version", str)
        await allowed(context, fields.refusal)
        if named:
            found = await self._publications.find(named) or self._keeper.own_if(named)
        else:
            version = self._keeper.version_in_force
            found = self._keeper.own_if(version) or await self._publications.find(version)
        card = await allowed(context, found or RateCardNotFound(request.version))
        return admin_pb2.GetRateCardResponse(rate_card=rate_card_message(card, card.document))

    async def ListRateCards(self, request: admin_pb2.ListRateCardsRequest, context: Context) -> admin_pb2.ListRateCardsResponse:
        """The published cards, the last one to take effect first."""
        asked = await allowed(context, page_of(Fields(request), request, RateCardCursor))
        found = await self._publications.list_cards(asked.limit, asked.after)
        cards, token = asked.page(
            found,
            lambda each: rate_card_message(each, ""),
            lambda each: RateCardCursor(each.effective_from, each.number),
        )
        return admin_pb2.ListRateCardsResponse(rate_cards=cards, next_page_token=token)


async def _read(document: str) -> LoadedCard | InvalidRequest:
    """The card in a document, or a refusal that names every problem. It works in a thread, because compiling a price list takes
    long.
    """
    if not document:
        return InvalidRequest((("document", "is missing"),))
    if len(document.encode()) > MAX_DOCUMENT_BYTES:
        return InvalidRequest((("document", f"must be at most {MAX_DOCUMENT_BYTES} bytes"),))
    try:
        return await asyncio.to_thread(load_card, document)
    except RateCardError as error:
        return InvalidRequest(tuple(("document", problem) for problem in error.problems))
