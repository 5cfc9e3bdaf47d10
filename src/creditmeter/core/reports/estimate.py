"""What a month of work needs, and what a plan supports, for people without a history.

Prices are ranges taken from a rate card: from its lowest to its highest, with the one in the middle as typical. So is
everything that is computed from them. Amounts are microcredits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rounding import up_to_increment
from creditmeter.core.reports.plan_replay import DAYS_OF_A_MONTH

TYPICAL_TEXT = Microcredits(10 * MICROCREDITS_PER_CREDIT)
"""What the text of one piece of content costs where nothing else is said: a draft and its revisions."""

TYPICAL_IMAGES = 2
"""How many images a piece of content has where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Range:
    """From the least to the most, in microcredits, and what is usual."""

    low: int = 0
    typical: int = 0
    high: int = 0

    def __add__(self, other: "Range") -> "Range":
        """Both together."""
        return Range(self.low + other.low, self.typical + other.typical, self.high + other.high)

    def __mul__(self, count: int) -> "Range":
        """So many of it."""
        return Range(self.low * count, self.typical * count, self.high * count)


@dataclass(frozen=True, slots=True)
class Month:
    """A month of 30 days as a person describes it: actions each day, and in all of it pieces of content and searches.

    `text` is what the text of one piece costs, in microcredits.
    """

    actions_a_day: int = 0
    pieces: int = 0
    images_a_piece: int = TYPICAL_IMAGES
    searches: int = 0
    text: Microcredits = TYPICAL_TEXT


@dataclass(frozen=True, slots=True)
class Prices:
    """What one action, image and search costs by a rate card."""

    action: Range
    image: Range
    search: Range

    def piece(self, month: Month) -> Range:
        """What one piece of content costs with its images."""
        return Range(month.text, month.text, month.text) + self.image * month.images_a_piece


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a month needs, by what for."""

    actions: Range
    pieces: Range
    searches: Range

    @property
    def total(self) -> Range:
        """What it needs in all."""
        return self.actions + self.pieces + self.searches


@dataclass(frozen=True, slots=True)
class Support:
    """What a monthly amount of credit supports if all of it goes to one thing.

    `actions_a_day` is at an action's lowest price, on each of 30 days. A piece costs from `piece.low`, with the cheapest
    images, to `piece.typical`; `pieces` and `most_pieces` are what that comes to. `searches` is at a search's usual price.
    """

    credits: Microcredits
    actions_a_day: int
    piece: Range
    pieces: int
    most_pieces: int
    searches: int


def prices_of(card: RateCard) -> Prices:
    """The ranges of a rate card; what it has no price for costs nothing.

    An action's typical price is that at a model of standard cost.
    """
    rules = card.actions.values()
    standard = _range((rule.standard for rule in rules), card.increment)
    dearest = _range((rule.higher_cost for rule in rules), card.increment)
    images = [price for rule in card.images for price in (*rule.variants.values(), rule.credits) if price is not None]
    tools = card.tools
    searches = _range([tools.default, *tools.by_name.values()] if tools else [], card.increment)
    return Prices(
        action=Range(standard.low, standard.typical, max(standard.high, dearest.high)),
        image=_range(images, card.increment),
        search=searches,
    )


def estimate(month: Month, prices: Prices) -> Estimate:
    """What a month needs."""
    return Estimate(
        actions=prices.action * (month.actions_a_day * DAYS_OF_A_MONTH),
        pieces=prices.piece(month) * month.pieces,
        searches=prices.search * month.searches,
    )


def covers(plan: Plan, need: int) -> bool:
    """Whether a plan gives what a month needs, in microcredits, if that is spread evenly over its days: daily credit that a
    day does not use is of no use to another.
    """
    a_day = -(-need // DAYS_OF_A_MONTH)
    return need - DAYS_OF_A_MONTH * min(plan.daily, a_day) <= plan.monthly


def support(credits: Microcredits, month: Month, prices: Prices) -> Support:
    """What an amount of credit supports; `month` says what a piece of content is. What costs nothing is not counted."""
    piece = prices.piece(month)
    return Support(
        credits=credits,
        actions_a_day=_times(credits, prices.action.low * DAYS_OF_A_MONTH),
        piece=piece,
        pieces=_times(credits, piece.typical),
        most_pieces=_times(credits, piece.low),
        searches=_times(credits, prices.search.typical),
    )


def _times(credits: int, price: int) -> int:
    return credits // price if price else 0


def _range(credits: Iterable[Decimal], increment: Microcredits) -> Range:
    """From the least to the most of some prices in credits, rounded up as charges are, and the one in the middle, the lower one
    of two.
    """
    ordered = sorted(up_to_increment(each, increment) for each in credits)
    return Range(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]) if ordered else Range()
