"""From requests to amounts: which rate card applies, and what work and usage cost by it."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.metering import Cost, Hold
from creditmeter.core.prices import (
    Bound,
    Invalid,
    Unpriced,
    affordable_output_tokens,
    complete_usage,
    price_bound,
    price_usage,
)
from creditmeter.core.providers import price_list_name
from creditmeter.core.rate_card import RateCard
from creditmeter.core.refusals import InvalidRequest, Refusal, UnpricedWork
from creditmeter.core.reservations import Reservation
from creditmeter.core.work import ChargeFlag, Usage, Work

_Described = TypeVar("_Described", Work, Usage)


@dataclass(frozen=True, slots=True)
class Pricing:
    """The rate card in force."""

    card: RateCard

    def hold(self, work: Work | None, amount: Microcredits | None) -> Hold | Refusal:
        """What to hold for work, or for a stated amount."""
        if work is None:
            assert amount is not None, "a request names work or an amount"
            return Hold(amount, self.card.version)
        bound = self._bound(work)
        if isinstance(bound, Unpriced | Invalid):
            return _refusal("work", bound)
        return Hold(bound.microcredits, self.card.version, work)

    def partial_hold(self, wanted: Hold, budget: Microcredits) -> Hold | None:
        """The largest part of a hold that the budget pays for; None if it pays for no useful part."""
        if wanted.work is None:
            return replace(wanted, amount=budget) if budget else None
        tokens = affordable_output_tokens(self.card, _known_provider(wanted.work), budget)
        if not tokens:
            return None
        bound = self._bound(replace(wanted.work, max_output_tokens=tokens))
        assert not isinstance(bound, Unpriced | Invalid), "part of priced work is priced"
        return replace(wanted, amount=bound.microcredits, max_output_tokens=tokens)

    def reserved_cost(self, reservation: Reservation, usage: Usage | None, amount: Microcredits | None) -> Cost | Refusal:
        """What a reserved call cost. What its usage leaves out comes from the reservation's work; a count that is missing is
        taken at the reservation's bound and flagged.
        """
        if usage is None:
            return self._stated(amount)
        work = reservation.work or Work(action=usage.action)
        complete, estimated = complete_usage(usage, work, self._bound_of_output(reservation))
        cost = self._cost_by_any_model(complete)
        if isinstance(cost, Refusal) or not estimated:
            return cost
        return replace(cost, flags=(*cost.flags, ChargeFlag.ESTIMATED))

    def _bound_of_output(self, reservation: Reservation) -> int | None:
        """As many output tokens as the reservation was to pay for."""
        if reservation.max_output_tokens is not None or reservation.work is None:
            return reservation.max_output_tokens
        bound = self._bound(reservation.work)
        return bound.max_output_tokens if isinstance(bound, Bound) else None

    def cost(self, usage: Usage | None, amount: Microcredits | None) -> Cost | Refusal:
        """What a call cost by its whole usage, or as stated."""
        return self._stated(amount) if usage is None else self._cost_by_any_model(usage)

    def _cost_by_any_model(self, usage: Usage) -> Cost | Refusal:
        """By the model that served the call; if that has no price, by the one that was asked for, and flagged: what was used is
        a fact and has to be charged.
        """
        cost = self._cost(usage)
        if isinstance(cost, UnpricedWork) and usage.response_model and usage.request_model:
            asked_for = self._cost(replace(usage, response_model=""))
            if isinstance(asked_for, Cost):
                return replace(asked_for, usage=usage, flags=(*asked_for.flags, ChargeFlag.FALLBACK_PRICE))
        return cost

    def _cost(self, usage: Usage) -> Cost | Refusal:
        price = price_usage(self.card, _known_provider(usage))
        if isinstance(price, Unpriced | Invalid):
            return _refusal("usage", price)
        return Cost(price.microcredits, price.exact_credits, price.cost_usd, self.card.version, usage, price.flags)

    def _bound(self, work: Work) -> Bound | Unpriced | Invalid:
        return price_bound(self.card, _known_provider(work))

    def _stated(self, amount: Microcredits | None) -> Cost:
        assert amount is not None, "a request names usage or an amount"
        credits = Decimal(amount) / MICROCREDITS_PER_CREDIT
        return Cost(amount, credits, credits / self.card.credits_per_usd, self.card.version)


def _known_provider(described: _Described) -> _Described:
    """Work or usage with its provider named as price lists name it."""
    return replace(described, provider=price_list_name(described.provider)) if described.provider else described


def _refusal(field: str, outcome: Unpriced | Invalid) -> Refusal:
    match outcome:
        case Unpriced():
            return UnpricedWork(outcome.message)
        case Invalid():
            name = f"{field}.{outcome.field}" if outcome.field else field
            return InvalidRequest(((name, outcome.message),))
