"""From requests to amounts: which rate card applies, and what work and usage cost by it.

New work is priced by the card in force. What a reservation comes to is priced by the card that it was made by, as of its
beginning.
"""

from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.reservations import Hold, Reservation
from creditmeter.core.instants import Instant
from creditmeter.core.prices.call_costs import Reserved, call_cost, cost_without_report
from creditmeter.core.prices.completing import call_of
from creditmeter.core.prices.no_price import NoPrice, explained
from creditmeter.core.prices.rate_card import MAX_TOKENS, RateCard
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.reported.calls import ReportedCall
from creditmeter.core.prices.rounding import in_dollars
from creditmeter.core.prices.work_bounds import affordable_output_tokens, bounded_output_tokens, low_price, price_bound
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, UsageSource, Work


@dataclass(frozen=True, slots=True)
class Quoted:
    """What work would cost by a card at least and at most, in microcredits.

    `affordable_output_tokens` is how many output tokens, within the work's bound, the credit in question pays for: 0 for what
    is not text.
    """

    least: Microcredits
    most: Microcredits
    rate_card_version: str
    affordable_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices by the cards that a sidecar knows."""

    cards: RateCards

    def hold(self, work: Work | None, amount: Microcredits | None, at: Instant) -> Hold | NoPrice:
        """What to hold for work that begins at a moment, or for a stated amount."""
        return _hold(self.cards.in_force(at), work, amount, at)

    def metered_hold(self, work: Work | None, amount: Microcredits | None, output_tokens: int, at: Instant) -> Hold | NoPrice:
        """What to hold at first for work that is metered from a moment on: of its output, so many tokens at most."""
        whole = self.hold(work, amount, at)
        if not isinstance(whole, Hold) or work is None:
            return whole
        card = self.cards.in_force(at)
        most = bounded_output_tokens(card, work)
        if most is None or most <= output_tokens:
            return whole
        part = price_bound(card, replace(work, max_output_tokens=output_tokens), at)
        return replace(part, work=work) if isinstance(part, Hold) else part

    def larger_hold(
        self, reservation: Reservation, work: Work | None, amount: Microcredits | None, at: Instant
    ) -> Hold | NoPrice:
        """What a reservation is to hold altogether, by its own card."""
        card = self.cards.pinned(reservation.rate_card_version, at)
        return _hold(card, work, amount, reservation.created_at)

    def partial_hold(self, wanted: Hold, budget: Microcredits, at: Instant) -> Hold | None:
        """The largest part of a hold that the budget pays for; None if it pays for no useful part."""
        if wanted.work is None:
            return replace(wanted, amount=budget) if budget else None
        card = self.cards.pinned(wanted.rate_card_version, at)
        tokens = affordable_output_tokens(card, wanted.work, budget, at)
        if not tokens:
            return None
        part = price_bound(card, replace(wanted.work, max_output_tokens=tokens), at)
        assert isinstance(part, Hold), "part of priced work is priced"
        return replace(wanted, amount=part.amount, max_output_tokens=tokens)

    def reserved_cost(
        self, reservation: Reservation, usage: Usage | None, amount: Microcredits | None, at: Instant
    ) -> Cost | NoPrice:
        """What a reserved call cost, by the card of its reservation, or as stated.

        What its usage leaves out comes from the reservation's work. A count of tokens that is missing is taken at the
        reservation's bound, and the cost is flagged ESTIMATED. But of a stream that broke, output that nobody counted is none.
        """
        card = self.cards.pinned(reservation.rate_card_version, at)
        if usage is None:
            return _stated(card, amount)
        work = reservation.work or Work(action=usage.action)
        bound = 0 if usage.source is UsageSource.PARTIAL_STREAM else _bound_of_output(card, reservation)
        call = call_of(usage, work, bound)
        if isinstance(call, InvalidRequest):
            return call
        begun = reservation.created_at
        return _priced_at(begun, call_cost(card, call, begun, Reserved(reservation.work, bound), is_fact=True))

    def counted(self, usage: Usage, work: Work | None) -> Usage | InvalidRequest:
        """A usage with the counts of the provider's report in it, and without the report, of a call that does this work."""
        call = call_of(usage, work or Work(action=usage.action))
        return call if isinstance(call, InvalidRequest) else replace(call.whole, provider_usage_json="")

    def paid_output_tokens(self, reservation: Reservation, usage: Usage, budget: Microcredits, at: Instant) -> int | None:
        """How many output tokens in all the budget pays for, with all else as in this usage: never fewer than the usage has.
        None if the price does not go by them.
        """
        card = self.cards.pinned(reservation.rate_card_version, at)
        work = reservation.work or Work(action=usage.action)
        least = usage.output_tokens
        if least is None or bounded_output_tokens(card, work) is None:
            return None

        def is_too_much(more: int) -> bool:
            cost = self.reserved_cost(reservation, replace(usage, output_tokens=least + more), None, at)
            return not isinstance(cost, Cost) or cost.amount > budget

        beyond = 1
        while beyond < MAX_TOKENS and not is_too_much(beyond):
            beyond *= 4
        more = bisect_left(range(min(beyond, MAX_TOKENS - least) + 1), True, lo=1, key=is_too_much) - 1  # noqa: FBT003 - what is searched for
        return least + more

    def cost(self, usage: Usage | None, amount: Microcredits | None, at: Instant, *, is_fact: bool = False) -> Cost | NoPrice:
        """What a call cost by its whole usage, or as stated. A fact has a cost however much that is."""
        card = self.cards.in_force(at)
        if usage is None:
            return _stated(card, amount)
        if not usage.provider_usage_json:
            return _priced_at(at, cost_without_report(card, usage, at, is_fact=is_fact))
        call = call_of(usage, Work(action=usage.action))
        return _priced_at(at, call_cost(card, call, at, is_fact=is_fact)) if isinstance(call, ReportedCall) else call

    def quote(self, work: Work, credit: Microcredits, at: Instant) -> Quoted | NoPrice:
        """What work would cost if it began at a moment, and how much of it the credit, in microcredits, pays for."""
        card = self.cards.in_force(at)
        hold = price_bound(card, work, at)
        if not isinstance(hold, Hold):
            return explained(card, work, hold)
        low = low_price(card, work, hold, at)
        tokens = affordable_output_tokens(card, work, credit, at)
        return Quoted(low, hold.amount, card.version, tokens or 0)


def _priced_at(at: Instant, cost: Cost | NoPrice) -> Cost | NoPrice:
    """The cost with the moment whose prices it is by."""
    return replace(cost, priced_at=at) if isinstance(cost, Cost) else cost


def _hold(card: RateCard, work: Work | None, amount: Microcredits | None, at: Instant) -> Hold | NoPrice:
    if work is None:
        assert amount is not None, "a request names work or an amount"
        return Hold(amount, card.version)
    hold = price_bound(card, work, at)
    return hold if isinstance(hold, Hold) else explained(card, work, hold)


def _bound_of_output(card: RateCard, reservation: Reservation) -> int | None:
    """The most output tokens that the reservation pays for; None if its work has no price by this card."""
    work = reservation.work
    if reservation.max_output_tokens is not None or work is None:
        return reservation.max_output_tokens
    is_priced = isinstance(price_bound(card, work, reservation.created_at), Hold)
    return bounded_output_tokens(card, work) if is_priced else None


def _stated(card: RateCard, amount: Microcredits | None) -> Cost:
    assert amount is not None, "a request names usage or an amount"
    credits = Decimal(amount) / MICROCREDITS_PER_CREDIT
    return Cost(amount, credits, in_dollars(card, credits), card.version)
