"""Which rate card is in force, which one a reservation is priced by, and which are needed no more."""

import zlib
from dataclasses import replace
from decimal import Decimal

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_list import PriceList
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.prices.rate_cards import UNPUBLISHED, RateCards, load, packed
from creditmeter.core.work import ChargeFlag, Served, Usage
from tests.core.prices.priced import price

DOCUMENT = """
version = "v"
effective_from = 1970-01-01T00:00:00Z
"""
FROM_LIST = f'{DOCUMENT}[text]\nsource = "genai-prices"'


def card(version: str, effective_from: int) -> RateCard:
    """A card without prices."""
    return RateCard(version=version, effective_from=Instant(effective_from))


def cards(*published: tuple[str, int]) -> RateCards:
    """A sidecar's own card, and published ones in the order in which they were."""
    known = RateCards(card("own", 0))
    for number, (version, effective_from) in enumerate(published, start=1):
        known.add(card(version, effective_from), number)
    return known


@pytest.mark.parametrize(
    ("published", "at", "version"),
    [
        ((), 5, "own"),
        ((("a", 10),), 9, "own"),
        ((("a", 10),), 10, "a"),
        ((("a", 10), ("b", 20)), 15, "a"),
        ((("b", 20), ("a", 10)), 25, "b"),
        ((("a", 10), ("b", 10)), 10, "b"),
        ((("a", 0),), 0, "a"),
    ],
)
def test_the_card_that_took_effect_last_is_in_force(published: tuple[tuple[str, int], ...], at: int, version: str) -> None:
    """Of two that took effect at one moment the one published last; before all published ones the sidecar's own."""
    assert cards(*published).in_force(Instant(at)).version == version


def test_a_reservation_finds_its_card() -> None:
    """Whatever is in force; and if nobody knows it any more, the one that is."""
    known = cards(("a", 10), ("b", 20))
    assert [known.pinned(version, Instant(30)).version for version in ("own", "a", "gone")] == ["own", "a", "b"]


def test_a_card_of_an_earlier_start_is_pinned_and_never_in_force() -> None:
    """The sidecar is started with another one now."""
    known = cards()
    known.add(card("earlier", 5), UNPUBLISHED)
    assert known.in_force(Instant(10)).version == "own"
    assert known.pinned("earlier", Instant(10)).version == "earlier"
    assert known.unneeded((), Instant(10)) == {"earlier"}
    assert known.unneeded(("earlier",), Instant(10)) == set()


def test_what_is_superseded_and_pinned_by_nothing_is_needed_no_more() -> None:
    """What will be in force is, and so is the card to fall back to."""
    known = cards(("a", 10), ("b", 20), ("c", 30), ("late", 5))
    assert known.unneeded(("a",), Instant(25)) == {"late"}
    for version in known.unneeded((), Instant(25)):
        known.drop(version)
    assert known.in_force(Instant(25)).version == "b"
    assert known.in_force(Instant(35)).version == "c"
    assert known.newest == 4


def test_a_published_card_counts_before_an_own_one_of_its_version() -> None:
    """The file was published as it is."""
    known = cards(("own", 0))
    assert known.newest == 1
    assert known.unneeded((), Instant(1)) == set()


def test_a_version_keeps_its_content() -> None:
    """Another card under a version that is known takes no place; the same one does, with its number."""
    known = cards()
    edited = card("own", 5)
    assert (known.has_another(edited), known.has_another(card("own", 0)), known.has_another(card("b", 0))) == (
        True,
        False,
        False,
    )
    known.add(edited, 1)
    assert known.in_force(Instant(9)).effective_from == Instant(0)
    assert known.newest == 1


def test_a_card_is_kept_with_the_prices_that_it_rests_on() -> None:
    """And with no others: most need none."""
    assert load(DOCUMENT, bundled_price_list).kept.price_list is None
    rests = load(FROM_LIST, bundled_price_list)
    assert rests.kept.price_list == packed(bundled_price_list())
    assert (rests.kept.version, rests.kept.document_version) == (f"v+{bundled_price_list().version}", "v")
    assert rests.kept.card() == rests.card


def test_a_kept_card_does_not_depend_on_what_is_installed() -> None:
    """It is priced by the list of its publication, also by a program with a newer one."""
    older = PriceList("genai-prices.0.0.1", bundled_price_list().providers)
    published = load(FROM_LIST, lambda: older).kept
    assert published.card().version == "v+genai-prices.0.0.1"


OLDER_LIST = b"""{"version": "genai-prices.0.0.1", "providers": [{"provider": "some", "models": [{
  "model": "m", "match": {"operator": "equals", "text": "m", "clauses": []}, "prices": [{
    "prices": {"rates": {"input": "10", "output": "20", "cache_read": "1", "cache_write": "10", "cache_write_1h": "10",
                         "reasoning": "20", "audio_input": "30", "audio_output": "20", "image_input": "10",
                         "image_output": "20"},
               "long_context": [], "per_call": "0"},
    "from_instant": null, "daily": null}]}],
  "matches_provider": null, "matches_model": null, "resells": []}]}"""
"""A list as it was stored before it had variants, fees and rates of rare classes."""


@pytest.mark.parametrize(
    ("usage", "usd", "flags"),
    [
        (Usage("text", "some", "m", "", 1_000, 100), "0.012", ()),  # 1,000 x 10 + 100 x 20
        (Usage("text", "some", "m", "", 1_000, 100, served=Served("flex")), "0.012", (ChargeFlag.UNKNOWN_TIER,)),
        (Usage("text", "some", "m", "", 1_000, 100, units={"web_searches": 1}), "0.012", (ChargeFlag.UNREAD_USAGE,)),
        # Cached audio costs what audio does: 1,000 x 30.
        (Usage("text", "some", "m", "", 1_000, 0, units={"cached_audio_input_tokens": 1_000}), "0.03", ()),
    ],
)
def test_a_list_of_an_older_form_is_read(usage: Usage, usd: str, flags: tuple[ChargeFlag, ...]) -> None:
    """What it did not know then it does not know now, and charges say so."""
    older = load(FROM_LIST, lambda: PriceList("genai-prices.0.0.1", ())).kept
    published = replace(older, price_list=zlib.compress(OLDER_LIST)).card()
    cost = price(published, usage)
    assert (cost.usd, cost.flags) == (Decimal(usd), flags)


@pytest.mark.parametrize("stored", [b"", b"no", zlib.compress(b"{}"), packed(bundled_price_list())[:-9]])
def test_a_price_list_that_cannot_be_read_is_a_problem_of_its_card(stored: bytes) -> None:
    """Told as those of documents are, and only when the card is to be used."""
    published = replace(load(FROM_LIST, bundled_price_list).kept, price_list=stored)
    with pytest.raises(RateCardError, match="the price list cannot be read"):
        published.card()
