"""What a month of work needs, and what a plan supports, for people without a history.

Each price is a range of a rate card: from its lowest price to its highest, with the one in the middle as typical. What is
computed from prices is a range, too. Amounts are in microcredits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rounding import up_to_increment
from creditmeter.core.reports.plan_fit import DAYS_OF_A_MONTH

TYPICAL_TEXT = Microcredits(10 * MICROCREDITS_PER_CREDIT)
"""The default cost of the text of one piece of content: a draft and its revisions."""

TYPICAL_IMAGES = 2
"""The default number of images in a piece of content."""


@dataclass(frozen=True, slots=True)
class Range:
    """The lowest, the typical and the highest amount, in microcredits."""

    low: int = 0
    typical: int = 0
    high: int = 0

    def __add__(self, other: "Range") -> "Range":
        """The sum of both."""
        return Range(self.low + other.low, self.typical + other.typical, self.high + other.high)

    def __mul__(self, count: int) -> "Range":
        """The range of `count` of these."""
        return Range(self.low * count, self.typical * count, self.high * count)


@dataclass(frozen=True, slots=True)
class Month:
    """A month of 30 days as a person describes it: actions a day, and pieces of content and searches a month.

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
    """What a month needs, in microcredits, for each kind of work."""

    actions: Range
    pieces: Range
    searches: Range

    @property
    def total(self) -> Range:
        """What the month needs altogether."""
        return self.actions + self.pieces + self.searches


@dataclass(frozen=True, slots=True)
class Support:
    """What a monthly amount of credit supports if all of it goes to one kind of work.

    `actions_a_day` are so many actions at their lowest price on each of 30 days. `pieces` is the number of pieces at
    `piece.typical`, `most_pieces` at `piece.low` (with the cheapest images). `searches` is the number of searches at their
    typical price.
    """

    credits: Microcredits
    actions_a_day: int
    piece: Range
    pieces: int
    most_pieces: int
    searches: int


def prices_of(card: RateCard) -> Prices:
    """The ranges of prices of a rate card, in microcredits. What has no price is a range of 0.

    The typical price of an action is its price at a model of standard cost.
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
    """What a month needs, in microcredits."""
    return Estimate(
        actions=prices.action * (month.actions_a_day * DAYS_OF_A_MONTH),
        pieces=prices.piece(month) * month.pieces,
        searches=prices.search * month.searches,
    )


def covers(plan: Plan, need: int) -> bool:
    """Whether a plan gives what a month needs (in microcredits), spread evenly over its days.

    Daily credit that is not used on its day is lost.
    """
    a_day = -(-need // DAYS_OF_A_MONTH)
    return need - DAYS_OF_A_MONTH * min(plan.daily, a_day) <= plan.monthly


def support(credits: Microcredits, month: Month, prices: Prices) -> Support:
    """What an amount of credit supports. `month` says what a piece of content is. Work that costs nothing counts as 0."""
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
    """The range of some prices in credits, each rounded up as charges are. The typical one is the one in the middle, or the
    lower of the two in the middle.
    """
    ordered = sorted(up_to_increment(each, increment) for each in credits)
    return Range(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]) if ordered else Range()
