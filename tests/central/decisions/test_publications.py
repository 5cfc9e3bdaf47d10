"""Rate cards at the central store: published once, found by either version, never changed; on each engine."""

import asyncio

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.central.decisions.publications import SUPERSEDED_FOR
from creditmeter.central.store import CentralStore
from creditmeter.core.credit.requests import Done
from creditmeter.core.instants import DAY, Instant, to_datetime
from creditmeter.core.prices.rate_cards import KeptCard, RateCardCursor
from creditmeter.core.refusals import RateCardExists
from creditmeter.forms.rate_cards import card_of, load
from tests.clocks import NOON, ManualClock


def document(version: str, effective_from: Instant = NOON, more: str = "") -> str:
    """A card's document."""
    return f'version = "{version}"\neffective_from = {to_datetime(effective_from).isoformat()}\n{more}'


async def publish(store: CentralStore, text: str) -> Done[KeptCard] | RateCardExists:
    """Publish a document."""
    loaded = load(text, bundled_price_list)
    return await store.rate_cards.publish(loaded.card, text, loaded.kept.price_list)


async def published(store: CentralStore, text: str) -> KeptCard:
    """A card that was published just now."""
    done = await publish(store, text)
    assert isinstance(done, Done)
    return done.reply


async def test_a_card_is_published_once(store: CentralStore, clock: ManualClock) -> None:
    """The same document again is no other publication; another one under its version is refused."""
    first = await publish(store, document("v1"))
    assert isinstance(first, Done)
    assert (first.reply.number, first.reply.published_at, first.replayed) == (1, NOON, False)
    clock.advance(DAY)
    assert await publish(store, document("v1")) == Done(first.reply, replayed=True)
    assert await publish(store, document("v1", more="increment = 2")) == RateCardExists("v1")
    assert (await published(store, document("v2"))).number == 2
    assert await store.rate_cards.find("v1") == first.reply


async def test_a_card_is_found_with_its_prices_by_either_version(store: CentralStore) -> None:
    """As its document names it, and as charges do."""
    made = await published(store, document("v1", more='[text]\nsource = "genai-prices"'))
    assert card_of(made).price_list == bundled_price_list()
    for version in ("v1", f"v1+{bundled_price_list().version}"):
        assert await store.rate_cards.find(version) == made
    assert await store.rate_cards.find("v") is None


async def test_no_two_cards_share_a_version(store: CentralStore) -> None:
    """Neither as a document names it nor as charges do, in whichever order they come."""
    listed = '[text]\nsource = "genai-prices"'
    first = await published(store, document("v1", more=listed))
    assert await publish(store, document(first.version)) == RateCardExists(first.version)
    second = await published(store, document(f"v2+{bundled_price_list().version}"))
    assert await publish(store, document("v2", more=listed)) == RateCardExists("v2")
    assert await store.rate_cards.find(second.version) == second


async def test_five_publications_at_once(store: CentralStore) -> None:
    """Of one document: one. Of different ones: each has its number."""
    same = await asyncio.gather(*(publish(store, document("same")) for _ in range(5)))
    assert sorted(each.replayed for each in same if isinstance(each, Done)) == [False, True, True, True, True]
    others = await asyncio.gather(*(published(store, document(f"v{number}")) for number in range(5)))
    assert sorted(each.number for each in others) == [2, 3, 4, 5, 6]


async def test_what_was_published_since(store: CentralStore) -> None:
    """In the order in which it was."""
    made = [await published(store, document(name)) for name in ("a", "b", "c")]
    assert await store.rate_cards.since(1) == made[1:]
    assert await store.rate_cards.since(3) == []


async def test_what_was_superseded_long_ago_is_not_picked_up(store: CentralStore, clock: ManualClock) -> None:
    """A sidecar that starts needs what is in force, by its own clock too, and what is to come; not all that ever was."""
    for name, effective_from in (("old", 0), ("tied", -DAY), ("in-force", -DAY), ("late", -2 * DAY), ("new", DAY)):
        await published(store, document(name, Instant(NOON + effective_from if effective_from else 0)))
    assert [each.version for each in await store.rate_cards.since(0)] == ["in-force", "new"]
    clock.advance(DAY)
    assert [each.version for each in await store.rate_cards.since(0)] == ["in-force", "new"]
    clock.advance(SUPERSEDED_FOR)
    assert [each.version for each in await store.rate_cards.since(0)] == ["new"]


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_cards_are_listed_in_pages(store: CentralStore, limit: int) -> None:
    """The last one to take effect first; without their prices."""
    for name, effective_from in (("a", 5), ("b", 7), ("c", 5), ("d", 1)):
        await published(store, document(name, Instant(effective_from * DAY), '[text]\nsource = "genai-prices"'))
    found: list[KeptCard] = []
    while page := await store.rate_cards.list_cards(limit, _after(found)):
        found += page
    assert [each.document_version for each in found] == ["b", "c", "a", "d"]
    assert {each.price_list for each in found} == {None}


def _after(found: list[KeptCard]) -> RateCardCursor | None:
    return RateCardCursor(found[-1].effective_from, found[-1].number) if found else None
