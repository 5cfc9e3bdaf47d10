"""The lines of which a cost is the sum: what was counted, at which rate, and who says so.

They are made of the steps by which the cost was added up, so what they explain is what was charged. The sum of their `credits`
is the exact price of the call, to the last digit.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

_ONE = Decimal(1)


class PriceSource(Enum):
    """Where a rate is from.

    CARD: a rule of the rate card. PRICE_LIST: the price list that the card uses. FREE: the card says that the action costs
    nothing. REPORTED: the provider or gateway said what the response cost.
    """

    CARD = "CARD"
    PRICE_LIST = "PRICE_LIST"
    FREE = "FREE"
    REPORTED = "REPORTED"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rate is from: its source, and the name of the rule or of the listed model, behind its provider if it has one."""

    source: PriceSource
    rule: str


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of a cost.

    `what` is a class of tokens by the name of its count, a unit with a fee, `call` (the fee for each call), `reported cost`, or
    an item: an action, or the name of a tool. `rate` is the price of `per` of them, in dollars if `in_usd`, else in credits.
    `factor` multiplies it for how the call was served. `amount` is count * rate / per * factor, exactly. `credits` is the same
    in credits, with `markup`: what the line adds to the exact price.

    `served` are the ways of serving that rate and factor are of; empty is the standard one. `above_input_tokens` is not 0 where
    the rate is that of inputs longer than this. `model` is the model whose price it is said to be. `response` counts from 1.
    """

    what: str
    model: str
    count: int
    rate: Decimal
    per: int
    amount: Decimal
    credits: Decimal
    origin: Origin
    in_usd: bool = field(default=False, kw_only=True)
    factor: Decimal = _ONE
    markup: Decimal = _ONE
    served: tuple[str, ...] = ()
    above_input_tokens: int = 0
    response: int = 1
