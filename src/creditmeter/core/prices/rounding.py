"""Exact until the end: what an exact price comes to once it is rounded.

All components of one call are summed exactly. Their sum is rounded once: up to the card's increment, then up to the minimum
(text only, and only where the exact price is above 0), then down to the cap. A context that traps inexact results stands
behind "exactly".
"""

from collections.abc import Callable
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from math import ceil

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.cost_lines import CostLine
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.work import ChargeFlag, Usage

EXACTLY = Context(prec=100, traps=[DivisionByZero, Inexact, InvalidOperation, Overflow])
NOTHING = Decimal(0)

_DIVISION = Context(prec=28)
_WHOLE = Decimal(1)


def rounded(card: RateCard, exact_credits: Decimal, minimum: Microcredits) -> tuple[Microcredits, tuple[ChargeFlag, ...]]:
    """The amount that is charged for an exact price in credits, and a flag for each bound that changed it."""
    amount = up_to_increment(exact_credits, card.increment)
    flags: tuple[ChargeFlag, ...] = ()
    if 0 < amount < minimum:
        amount, flags = minimum, (ChargeFlag.MINIMUM,)
    if card.cap is not None and amount > card.cap:
        amount, flags = card.cap, (*flags, ChargeFlag.CAPPED)
    return amount, flags


def rounded_cost(
    card: RateCard,
    usage: Usage,
    exact: tuple[Decimal, Decimal],
    minimum: Microcredits,
    flags: tuple[ChargeFlag, ...] = (),
    make_lines: Callable[[], tuple[CostLine, ...]] = tuple,
) -> Cost:
    """The cost of a usage whose exact price is given in credits and in dollars. `flags` come before those of the rounding, and
    `make_lines` makes the lines of the exact price.
    """
    exact_credits, usd = exact
    amount, bounds = rounded(card, exact_credits, minimum)
    return Cost(amount, plain(exact_credits), plain(usd), card.version, usage, flags + bounds, make_lines=make_lines)


def up_to_increment(credits: Decimal, increment: Microcredits) -> Microcredits:
    """Credits in microcredits, rounded up to a multiple of the increment."""
    return Microcredits(-(-up_to_microcredit(credits) // increment) * increment)


def up_to_microcredit(credits: Decimal) -> Microcredits:
    """Credits in microcredits, rounded up to a whole number."""
    return Microcredits(ceil(EXACTLY.scaleb(credits, 6)))


def in_dollars(card: RateCard, credits: Decimal) -> Decimal:
    """What credits stand for in dollars, with the 28 digits of a quotient."""
    return _DIVISION.divide(credits, card.credits_per_usd)


def plain(number: Decimal) -> Decimal:
    """The same number without trailing zeros and, unlike `Decimal.normalize`, without an exponent."""
    if number == number.to_integral_value():
        return EXACTLY.quantize(number, _WHOLE)
    return EXACTLY.normalize(number)
