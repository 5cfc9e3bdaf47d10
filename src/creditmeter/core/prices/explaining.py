"""How a price came about: the lines of a cost, and what made their sum the amount that is charged.

A charge keeps its usage as it was priced, and each response of a call that had several, but not its lines. So it is priced
once more by its rate card, as of the same moment, and the explanation says whether that comes to what was charged. It may not
where the charge does not keep what decided: responses beyond the first 64. Older charges do not keep the moment, what was
reserved in place of a model without a price, nor what was reported of each response.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from creditmeter.core.amounts import ZERO, Microcredits
from creditmeter.core.credit.charges import Charge, Cost, PricedPart
from creditmeter.core.prices.call_costs import NOT_RESERVED, Reserved, call_cost
from creditmeter.core.prices.no_price import NoPrice
from creditmeter.core.prices.rate_card import TEXT, RateCard
from creditmeter.core.prices.reported.calls import ReportedCall
from creditmeter.core.prices.rounding import up_to_increment
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, Work


@dataclass(frozen=True, slots=True)
class Explanation:
    """A cost by a card. `rounded` is its exact price rounded up to the card's increment, before minimum and cap.

    `minimum` is 0 if the card's does not apply: it is for text.
    """

    card: RateCard
    cost: Cost
    rounded: Microcredits
    minimum: Microcredits


class Outcome(Enum):
    """What explaining a charge came to.

    SAME: pricing it again comes to what was charged. DIFFERENT: it does not. STATED: the amount was given, so there was no
    price. UNPRICED: the card has no price for what the charge keeps. NO_CARD: its rate card is not known any more.
    """

    SAME = "SAME"
    DIFFERENT = "DIFFERENT"
    STATED = "STATED"
    UNPRICED = "UNPRICED"
    NO_CARD = "NO_CARD"


@dataclass(frozen=True, slots=True)
class ExplainedCharge:
    """A charge, what explaining it came to, and the explanation; None where there is no price again."""

    charge: Charge
    outcome: Outcome
    explanation: Explanation | None = None


def explanation(card: RateCard, cost: Cost) -> Explanation:
    """The explanation of a cost that was made by this card."""
    is_text = cost.usage is not None and cost.usage.action == TEXT and TEXT not in card.free
    return Explanation(card, cost, up_to_increment(cost.exact_credits, card.increment), card.minimum if is_text else ZERO)


def explained_charge(card: RateCard | None, charge: Charge) -> ExplainedCharge:
    """A charge explained by its card; `card` is None if that is not known any more."""
    if charge.usage is None:
        return ExplainedCharge(charge, Outcome.STATED)
    if card is None:
        return ExplainedCharge(charge, Outcome.NO_CARD)
    cost = _cost_again(card, charge, replace(charge.usage, provider_usage_json=""))
    if not isinstance(cost, Cost):
        return ExplainedCharge(charge, Outcome.UNPRICED)
    again, charged = (cost.amount, cost.exact_credits, cost.usd), (charge.cost, charge.exact_credits, charge.cost_usd)
    return ExplainedCharge(charge, Outcome.SAME if again == charged else Outcome.DIFFERENT, explanation(card, cost))


def _cost_again(card: RateCard, charge: Charge, usage: Usage) -> Cost | NoPrice:
    """The cost of what a charge keeps, by the steps that priced it: of its responses if it has several, else of its usage."""
    at = charge.authorized_at if charge.priced_at is None else charge.priced_at
    return call_cost(card, _call_again(charge, usage), at, _reserved(charge, usage), is_fact=True)


def _call_again(charge: Charge, usage: Usage) -> ReportedCall:
    """The call as it was priced."""
    parts = charge.priced_parts
    if len(parts) < 2:  # noqa: PLR2004 - one response is the whole call
        return ReportedCall(usage, cost_usd=charge.reported_cost_usd)
    responses = tuple(_response(usage, each) for each in parts)
    return ReportedCall(usage, responses, costs_usd=tuple(_reported_usd(charge, each) for each in parts))


def _reserved(charge: Charge, usage: Usage) -> Reserved:
    """Of what the call was reserved for, all that had a say in its price. The usage is complete."""
    found = charge.stand_in
    if found is None:
        return NOT_RESERVED
    return Reserved(Work(usage.action, found.provider, found.model, variant=found.variant))


def _reported_usd(charge: Charge, part: PricedPart) -> Decimal | None:
    """What is reported of a response. An older charge keeps only what was charged for it."""
    if charge.priced_at is not None:
        return part.reported_cost_usd
    return None if ChargeFlag.LIST_PRICE in part.flags else part.cost_usd


def _response(whole: Usage, part: PricedPart) -> Usage:
    """The usage of a response. What served all of them alike is in the usage of the whole, too; in older charges only there."""
    served = whole.served
    return Usage(
        whole.action,
        whole.provider,
        whole.request_model,
        part.model,
        **part.counts,  # type: ignore[arg-type]  # all are counts
        response_id=part.response_id,
        units=part.units,
        served=Served(
            part.service_tier, part.speed or served.speed, part.region or served.region, part.search_type or served.search_type
        ),
    )
