"""The price list that is shipped compiled is the one that would be compiled; where another is installed, that is compiled."""

from pathlib import Path

import pytest

from creditmeter.catalog import installed
from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.prices.price_list import PriceList
from creditmeter.forms.price_lists import packed, unpacked

RESTS_ON_LIST = 'version = "v"\neffective_from = 1970-01-01T00:00:00Z\n[text]\nsource = "genai-prices"'


def test_the_shipped_list_is_what_would_be_compiled() -> None:
    """If not: scripts/generate-price-list, with the release of scripts/requirements."""
    assert unpacked(installed.SHIPPED.read_bytes()) == bundled_price_list()


def test_a_card_is_kept_with_the_shipped_bytes() -> None:
    """They are not packed anew."""
    assert installed.load_card(RESTS_ON_LIST).kept.price_list == installed.SHIPPED.read_bytes()


def test_the_list_of_another_release_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade of the package alone: what is shipped is of an older one then."""
    shipped = tmp_path / "price_list"
    shipped.write_bytes(packed(PriceList("genai-prices.0.0.1", ())))
    monkeypatch.setattr(installed, "SHIPPED", shipped)
    installed._installed.cache_clear()
    try:
        assert installed.installed_price_list() == bundled_price_list()
        assert installed.load_card(RESTS_ON_LIST).kept.version == f"v+{bundled_price_list().version}"
    finally:
        installed._installed.cache_clear()


def test_equal_rates_are_one_object() -> None:
    """A list is read for as long as a sidecar runs."""
    models = [each.model for each in unpacked(packed(bundled_price_list())).models()]
    rates = [conditional.prices.rates.input for model in models for conditional in model.prices]
    assert len({id(each) for each in rates}) == len({str(each) for each in rates}) < len(rates) / 5
