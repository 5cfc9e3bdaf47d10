"""From requests to amounts: which rate card applies, and what work and usage cost by it."""

from dataclasses import dataclass, replace
from decimal import Decimal

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.metering import Cost, Hold
from creditmeter.core.prices import (
    Invalid,
    Price,
    Unpriced,
    affordable_output_tokens,
    complete_usage,
    price_bound,
    price_usage,
)
from creditmeter.core.rate_card import RateCard
from creditmeter.core.refusals import InvalidRequest, Refusal, UnpricedWork
from creditmeter.core.reservations import Reservation
from creditmeter.core.work import ChargeFlag, Usage, Work


@dataclass(frozen=True, slots=True)
class Pricing:
    """The rate card in force."""

    card: RateCard

    def hold(self, work: Work | None, amount: Microcredits | None) -> Hold | Refusal:
        """What to hold for work, or for a stated amount."""
        if work is None:
            assert amount is not None, "a request names work or an amount"
            return Hold(amount, self.card.version)
        bound = price_bound(self.card, work)
        if isinstance(bound, Unpriced | Invalid):
            return _refusal("work", bound)
        return Hold(bound.microcredits, self.card.version, work)

    def partial_hold(self, wanted: Hold, budget: Microcredits) -> Hold | None:
        """The largest part of a hold that the budget pays for; None if it pays for no useful part."""
        if wanted.work is None or wanted.work.action != "text":
            return replace(wanted, amount=budget) if budget and wanted.work is None else None
        tokens = affordable_output_tokens(self.card, wanted.work, budget)
        if not tokens:
            return None
        bound = price_bound(self.card, replace(wanted.work, max_output_tokens=tokens))
        assert not isinstance(bound, Unpriced | Invalid), "part of priced work is priced"
        return replace(wanted, amount=bound.microcredits, max_output_tokens=tokens)

    def reserved_cost(self, reservation: Reservation, usage: Usage | None, amount: Microcredits | None) -> Cost | Refusal:
        """What a reserved call cost. What its usage leaves out comes from the reservation's work."""
        if usage is None:
            return self._stated(amount)
        complete, estimated = complete_usage(usage, reservation.work or Work(action=usage.action))
        cost = self.cost(complete, None)
        if isinstance(cost, Refusal) or not estimated:
            return cost
        return replace(cost, flags=(*cost.flags, ChargeFlag.ESTIMATED))

    def cost(self, usage: Usage | None, amount: Microcredits | None) -> Cost | Refusal:
        """What a call cost by its whole usage, or as stated."""
        if usage is None:
            return self._stated(amount)
        price = price_usage(self.card, usage)
        if isinstance(price, Unpriced | Invalid):
            return _refusal("usage", price)
        return _cost(price, self.card.version, usage)

    def _stated(self, amount: Microcredits | None) -> Cost:
        assert amount is not None, "a request names usage or an amount"
        credits = Decimal(amount) / MICROCREDITS_PER_CREDIT
        return Cost(amount, credits, credits / self.card.credits_per_usd, self.card.version)


def _cost(price: Price, version: str, usage: Usage) -> Cost:
    return Cost(price.microcredits, price.exact_credits, price.cost_usd, version, usage, price.flags)


def _refusal(field: str, outcome: Unpriced | Invalid) -> Refusal:
    match outcome:
        case Unpriced():
            return UnpricedWork(outcome.message)
        case Invalid():
            return InvalidRequest(((f"{field}.{outcome.field}", outcome.message),))
