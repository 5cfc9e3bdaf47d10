"""What a month needs and what an amount supports, by the rate card that comes with the program."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.ids import PlanId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.reports.estimate import Month, Prices, Range, covers, estimate, prices_of, support
from creditmeter.forms.rate_cards import load

CREDIT = MICROCREDITS_PER_CREDIT


@pytest.fixture(scope="module")
def prices() -> Prices:
    """The ranges of the card that comes with the program."""
    source = files("creditmeter.core.prices").joinpath("default_rate_card.toml")
    return prices_of(load(source.read_text(encoding="utf-8"), bundled_price_list).card)


def credits(*amounts: int) -> Range:
    """A range in credits."""
    return Range(*(each * CREDIT for each in amounts))


def test_the_ranges_of_the_default_card(prices: Prices) -> None:
    """Actions 1 or 2, images 10 to 20, searches 1."""
    assert prices == Prices(credits(1, 1, 2), credits(10, 15, 20), credits(1, 1, 1))


def test_3000_credits(prices: Prices) -> None:
    """100 single-credit actions a day, or 75 to 100 pieces of 30 to 40 credits with two images each."""
    found = support(Microcredits(3_000 * CREDIT), Month(), prices)
    assert (found.actions_a_day, found.pieces, found.most_pieces) == (100, 75, 100)
    assert (found.piece.low, found.piece.typical) == (30 * CREDIT, 40 * CREDIT)


def test_a_described_month(prices: Prices) -> None:
    """Each part by itself, and all together."""
    found = estimate(Month(actions_a_day=10, pieces=5, images_a_piece=1, searches=7, text=Microcredits(4 * CREDIT)), prices)
    assert found.actions == credits(300, 300, 600)
    assert found.pieces == credits(70, 95, 120)
    assert found.searches == credits(7, 7, 7)
    assert found.total == credits(377, 402, 727)


def test_a_card_without_prices() -> None:
    """What has no price costs nothing, and is not counted."""
    prices = prices_of(RateCard(version="v1", effective_from=Instant(0)))
    assert estimate(Month(5, 5, 5, 5, Microcredits(0)), prices).total == Range()
    assert support(Microcredits(CREDIT), Month(text=Microcredits(0)), prices).pieces == 0


@pytest.mark.parametrize(
    ("daily", "monthly", "need", "expected"),
    [
        (10, 0, 300, True),
        (10, 0, 301, False),
        (10, 1, 301, True),
        (100, 0, 3_000, True),
        (0, 300, 300, True),
        (0, 0, 0, True),
        (0, 0, 1, False),
    ],
)
def test_which_plan_covers_a_need(daily: int, monthly: int, need: int, expected: bool) -> None:
    """Spread evenly over 30 days."""
    assert covers(Plan(PlanId("p"), Microcredits(daily), Microcredits(monthly)), need) is expected


@given(st.integers(1, 10**6), st.integers(0, 10))
def test_what_is_said_to_be_supported_fits_and_one_more_does_not(amount: int, images: int) -> None:
    """For pieces, at both ends."""
    prices = Prices(credits(1, 1, 2), credits(10, 15, 20), credits(1, 1, 1))
    found = support(Microcredits(amount * CREDIT), Month(images_a_piece=images), prices)
    assert found.pieces * found.piece.typical <= found.credits < (found.pieces + 1) * found.piece.typical
    assert found.most_pieces * found.piece.low <= found.credits < (found.most_pieces + 1) * found.piece.low
