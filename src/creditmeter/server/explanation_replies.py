"""From the explanation of a cost to the message that callers get."""

from creditmeter.core.credit.cost_lines import CostLine
from creditmeter.core.prices.explaining import ExplainedCharge, Explanation
from creditmeter.core.prices.rounding import plain
from creditmeter.server.enums import number_of
from creditmeter.server.replies import charge_message, int64
from creditmeter.v1 import account_pb2, charges_pb2, explanations_pb2


def explained_charge_message(found: ExplainedCharge) -> account_pb2.ExplainChargeResponse:
    """A charge, and how its cost came about."""
    return account_pb2.ExplainChargeResponse(
        charge=charge_message(found.charge),
        outcome=number_of(explanations_pb2.ExplanationOutcome, found.outcome),
        explanation=explanation_message(found.explanation) if found.explanation else None,
    )


def explanation_message(found: Explanation) -> explanations_pb2.CostExplanation:
    """How a cost came about."""
    card, cost = found.card, found.cost
    return explanations_pb2.CostExplanation(
        rate_card_version=card.version,
        price_list_version=card.data_version,
        lines=map(_line_message, cost.lines),
        exact_credits=f"{cost.exact_credits:f}",
        cost_usd=f"{cost.usd:f}",
        credits_per_usd=f"{plain(card.credits_per_usd):f}",
        increment_microcredits=card.increment,
        rounded_microcredits=int64(found.rounded),
        minimum_microcredits=found.minimum,
        cap_microcredits=card.cap,
        cost_microcredits=cost.amount,
        flags=[number_of(charges_pb2.ChargeFlag, flag) for flag in cost.flags],
    )


def _line_message(line: CostLine) -> explanations_pb2.CostLine:
    return explanations_pb2.CostLine(
        response=line.response,
        what=line.what,
        model=line.model,
        count=line.count,
        rate=f"{plain(line.rate):f}",
        per=line.per,
        in_usd=line.in_usd,
        factor=f"{plain(line.factor):f}",
        served=line.served,
        above_input_tokens=line.above_input_tokens,
        source=number_of(explanations_pb2.PriceSource, line.origin.source),
        rule=line.origin.rule,
        amount=f"{plain(line.amount):f}",
        markup=f"{plain(line.markup):f}",
        credits=f"{plain(line.credits):f}",
    )
