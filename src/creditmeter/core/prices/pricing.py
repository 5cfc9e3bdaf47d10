"""From requests to amounts: which rate card applies, and what work and usage cost by it.

New work is priced by the card in force, and what a reservation comes to by the card that it was made by, as of its beginning.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.reservations import Hold, Reservation
from creditmeter.core.instants import Instant
from creditmeter.core.prices.provider_usage import UnknownUsageError, with_provider_usage
from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.requirements import Missing, missing_in_usage, missing_in_work
from creditmeter.core.prices.suggestions import near_names
from creditmeter.core.prices.usage_costs import (
    Bound,
    Invalid,
    Price,
    Unpriced,
    affordable_output_tokens,
    complete_usage,
    low_price,
    price_bound,
    price_usage,
)
from creditmeter.core.refusals import InvalidRequest, Refusal, UnpricedWork
from creditmeter.core.work import ChargeFlag, Usage, Work

_Described = TypeVar("_Described", Work, Usage)


@dataclass(frozen=True, slots=True)
class Quoted:
    """What a work would cost at least and at most, in microcredits, by a card; and how many output tokens, within its bound, so
    much credit pays for (0 for what is not text).
    """

    least: Microcredits
    most: Microcredits
    rate_card_version: str
    affordable_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices by the cards there are."""

    cards: RateCards

    def hold(self, work: Work | None, amount: Microcredits | None, at: Instant) -> Hold | Refusal:
        """What to hold for work that begins at a moment, or for a stated amount."""
        return _hold(self.cards.in_force(at), work, amount, at)

    def larger_hold(
        self, reservation: Reservation, work: Work | None, amount: Microcredits | None, at: Instant
    ) -> Hold | Refusal:
        """What a reservation is to hold altogether, by its own card."""
        card = self.cards.pinned(reservation.rate_card_version, at)
        return _hold(card, work, amount, reservation.created_at)

    def partial_hold(self, wanted: Hold, budget: Microcredits, at: Instant) -> Hold | None:
        """The largest part of a hold that the budget pays for; None if it pays for no useful part."""
        if wanted.work is None:
            return replace(wanted, amount=budget) if budget else None
        card, work = self.cards.pinned(wanted.rate_card_version, at), _known_provider(wanted.work)
        tokens = affordable_output_tokens(card, work, budget, at)
        if not tokens:
            return None
        bound = price_bound(card, replace(work, max_output_tokens=tokens), at)
        assert isinstance(bound, Bound), "part of priced work is priced"
        return replace(wanted, amount=bound.microcredits, max_output_tokens=tokens)

    def reserved_cost(
        self, reservation: Reservation, usage: Usage | None, amount: Microcredits | None, at: Instant
    ) -> Cost | Refusal:
        """What a reserved call cost, by the card of its reservation. What its usage leaves out comes from the reservation's
        work; a count that is missing is taken at the reservation's bound and flagged.
        """
        card = self.cards.pinned(reservation.rate_card_version, at)
        if usage is None:
            return _stated(card, amount)
        work = reservation.work or Work(action=usage.action)
        bound = _bound_of_output(card, reservation)
        reported = _reported(replace(usage, provider=usage.provider or work.provider), work, bound)
        if isinstance(reported, Refusal):
            return reported
        complete, estimated = complete_usage(reported, work, bound)
        cost = _cost_by_any_model(card, complete, reservation.created_at, reservation.work, is_fact=True)
        if isinstance(cost, Refusal) or not estimated:
            return cost
        return replace(cost, flags=(*cost.flags, ChargeFlag.ESTIMATED))

    def cost(self, usage: Usage | None, amount: Microcredits | None, at: Instant, *, is_fact: bool = False) -> Cost | Refusal:
        """What a call cost by its whole usage, or as stated. A fact has a cost however much that is."""
        card = self.cards.in_force(at)
        if usage is None:
            return _stated(card, amount)
        reported = _reported(usage, Work(action=usage.action))
        return reported if isinstance(reported, Refusal) else _cost_by_any_model(card, reported, at, is_fact=is_fact)

    def quote(self, work: Work, credit: Microcredits, at: Instant) -> Quoted | Refusal:
        """What a work would cost if it began at a moment."""
        card, described = self.cards.in_force(at), _known_provider(work)
        bound = price_bound(card, described, at)
        if isinstance(bound, Unpriced | Invalid):
            return _work_refused(card, described, bound)
        low = low_price(card, described, bound, at)
        tokens = affordable_output_tokens(card, described, credit, at)
        return Quoted(low, bound.microcredits, card.version, tokens or 0)


def _hold(card: RateCard, work: Work | None, amount: Microcredits | None, at: Instant) -> Hold | Refusal:
    if work is None:
        assert amount is not None, "a request names work or an amount"
        return Hold(amount, card.version)
    described = _known_provider(work)
    bound = price_bound(card, described, at)
    if isinstance(bound, Unpriced | Invalid):
        return _work_refused(card, described, bound)
    return Hold(bound.microcredits, card.version, work)


def _bound_of_output(card: RateCard, reservation: Reservation) -> int | None:
    """As many output tokens as the reservation was to pay for."""
    if reservation.max_output_tokens is not None or reservation.work is None:
        return reservation.max_output_tokens
    bound = price_bound(card, _known_provider(reservation.work), reservation.created_at)
    return bound.max_output_tokens if isinstance(bound, Bound) else None


def _reported(usage: Usage, work: Work, bound: int | None = None) -> Usage | InvalidRequest:
    """The usage with what its provider reported. If that cannot be read, what neither usage nor work has is wrong, too."""
    try:
        return with_provider_usage(usage)
    except UnknownUsageError as error:
        known, _ = complete_usage(replace(usage, provider_usage_json=""), work, bound)
        wrong = ("provider_usage_json", str(error)), *missing_in_usage(known)
        return InvalidRequest(tuple((f"usage.{name}", why) for name, why in wrong))


def _cost_by_any_model(card: RateCard, usage: Usage, at: Instant, work: Work | None = None, *, is_fact: bool) -> Cost | Refusal:
    """By the model that served the call; if that has no price, by the one that was asked for, by what was reserved, and by the
    card's fallback, in this order, and flagged: what was used is a fact and has to be charged.
    """
    for place, each in enumerate(_described(usage, work)):
        price = price_usage(card, _known_provider(each), at, by_fallback=False, is_fact=is_fact)
        if isinstance(price, Price):
            flags = (ChargeFlag.FALLBACK_PRICE, *price.flags) if place else price.flags
            return _cost(card, usage, price, flags)
        if isinstance(price, Invalid):
            break
    known = _known_provider(usage)
    price = price_usage(card, known, at, is_fact=is_fact)
    if isinstance(price, Price):
        return _cost(card, usage, price, price.flags)
    return _usage_refused(card, known, price)


def _described(usage: Usage, work: Work | None) -> Iterator[Usage]:
    """A usage, and what may stand for it if the card has no price for it."""
    yield usage
    if usage.response_model and usage.request_model:
        yield replace(usage, response_model="")
    if work is not None and work.action == usage.action:
        at_reserved = replace(usage, provider=work.provider, request_model=work.request_model, response_model="")
        yield replace(at_reserved, variant=work.variant)


def _cost(card: RateCard, usage: Usage, price: Price, flags: tuple[ChargeFlag, ...]) -> Cost:
    return Cost(price.microcredits, price.exact_credits, price.cost_usd, card.version, usage, flags)


def _stated(card: RateCard, amount: Microcredits | None) -> Cost:
    assert amount is not None, "a request names usage or an amount"
    credits = Decimal(amount) / MICROCREDITS_PER_CREDIT
    return Cost(amount, credits, credits / card.credits_per_usd, card.version)


def _known_provider(described: _Described) -> _Described:
    """Work or usage with its provider named as price lists name it."""
    known = price_list_name(described.provider)
    return described if known == described.provider else replace(described, provider=known)


def _work_refused(card: RateCard, work: Work, outcome: Unpriced | Invalid) -> Refusal:
    return _refusal(card, "work", outcome, missing_in_work(work))


def _usage_refused(card: RateCard, usage: Usage, outcome: Unpriced | Invalid) -> Refusal:
    """What a provider reported is in the usage by now: what is missing, is."""
    return _refusal(card, "usage", outcome, missing_in_usage(replace(usage, provider_usage_json="")))


def _refusal(card: RateCard, field: str, outcome: Unpriced | Invalid, missing: Iterable[Missing]) -> Refusal:
    """A refusal that names everything that is wrong, or says what has a price and is called nearly the same."""
    match outcome:
        case Unpriced():
            return UnpricedWork(outcome.message + _hint(near_names(card, outcome)))
        case Invalid():
            wrong = dict(missing) | {outcome.field: outcome.message}
            return InvalidRequest(tuple((f"{field}.{name}" if name else field, why) for name, why in wrong.items()))


def _hint(names: tuple[str, ...]) -> str:
    """A question at the end of a message: nothing if there is nothing near."""
    *others, last = map(repr, names) if names else ("",)
    return f"; did you mean {' or '.join(filter(None, (', '.join(others), last)))}?" if last else ""
