"""A card is kept with the price list that it rests on, as the list was when the card was published."""

import zlib
from dataclasses import replace
from decimal import Decimal

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.prices.price_list import PriceList
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.core.work import ChargeFlag, Served, Usage
from creditmeter.forms.price_lists import packed, unpacked
from creditmeter.forms.rate_cards import card_of, load
from tests.core.prices.priced import price

DOCUMENT = """
version = "v"
effective_from = 1970-01-01T00:00:00Z
"""
FROM_LIST = f'{DOCUMENT}[text]\nsource = "genai-prices"'


def test_a_packed_price_list_is_the_same_when_it_is_unpacked() -> None:
    """To the last digit of every price."""
    assert unpacked(packed(bundled_price_list())) == bundled_price_list()


def test_a_card_is_kept_with_the_prices_that_it_rests_on() -> None:
    """And with no others: most need none."""
    assert load(DOCUMENT, bundled_price_list).kept.price_list is None
    rests = load(FROM_LIST, bundled_price_list)
    assert rests.kept.price_list == packed(bundled_price_list())
    assert (rests.kept.version, rests.kept.document_version) == (f"v+{bundled_price_list().version}", "v")
    assert card_of(rests.kept) == rests.card


def test_a_kept_card_does_not_depend_on_what_is_installed() -> None:
    """It is priced by the list of its publication, also by a program with a newer one."""
    older = PriceList("genai-prices.0.0.1", bundled_price_list().providers)
    published = load(FROM_LIST, lambda: older).kept
    assert card_of(published).version == "v+genai-prices.0.0.1"


@pytest.mark.parametrize("stored", [b"", b"no", zlib.compress(b"{}"), packed(bundled_price_list())[:-9]])
def test_a_price_list_that_cannot_be_read_is_a_problem_of_its_card(stored: bytes) -> None:
    """Told as those of documents are, and only when the card is to be used."""
    published = replace(load(FROM_LIST, bundled_price_list).kept, price_list=stored)
    with pytest.raises(RateCardError, match="the price list cannot be read"):
        card_of(published)


def test_a_price_list_of_a_newer_form_is_refused() -> None:
    """The problem says which form it is of."""
    newer = zlib.compress(b'{"form": 2}')
    with pytest.raises(RateCardError, match="the price list cannot be read: its form is 2"):
        unpacked(newer)


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
    published = card_of(replace(older, price_list=zlib.compress(OLDER_LIST)))
    cost = price(published, usage)
    assert (cost.usd, cost.flags) == (Decimal(usd), flags)
