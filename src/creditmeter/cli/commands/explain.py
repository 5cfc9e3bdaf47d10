"""`creditmeter explain`: how the cost of a charge came about, line by line."""

from typing import Annotated

import typer

from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.explained_costs import flag_words, print_explanation
from creditmeter.cli.options import Address, AsJson
from creditmeter.cli.output import json_of, print_json, subject
from creditmeter.cli.screen import print_lines
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import account_pb2, charges_pb2
from creditmeter.v1.explanations_pb2 import (
    EXPLANATION_OUTCOME_DIFFERENT,
    EXPLANATION_OUTCOME_NO_CARD,
    EXPLANATION_OUTCOME_SAME,
    EXPLANATION_OUTCOME_STATED,
    EXPLANATION_OUTCOME_UNPRICED,
)

_VERDICTS = {
    EXPLANATION_OUTCOME_SAME: "Priced once more by its rate card, it comes to the same.",
    EXPLANATION_OUTCOME_DIFFERENT: (
        "Priced once more by its rate card, it comes to something else: the charge does not keep all that decided its price."
        " What was charged stands."
    ),
    EXPLANATION_OUTCOME_STATED: "The cost was given as an amount, so there is no price to explain.",
    EXPLANATION_OUTCOME_UNPRICED: "What the charge keeps has no price by its rate card, so there is nothing to explain.",
    EXPLANATION_OUTCOME_NO_CARD: "Its rate card is not known any more, so its price cannot be explained.",
}

_ESTIMATED = "A count was missing and is the reservation's bound, or the worker estimated it."


def explain(
    charge_id: Annotated[str, typer.Argument(metavar="CHARGE", help="The charge's id.", show_default=False)],
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show how the cost of a charge came about: what was counted, at which rates, and how it was rounded."""
    request = account_pb2.ExplainChargeRequest(charge_id=charge_id)
    reply = ask(address, lambda client: call(client.account.ExplainCharge, request, PATIENCE))
    if as_json:
        print_json(json_of(reply))
        return
    charge = reply.charge
    print_lines(f"Charged: {_charged(charge)}", hang=4)
    if charges_pb2.CHARGE_FLAG_ESTIMATED in charge.flags:
        print_lines(_ESTIMATED, hang=4)
    print_lines(_VERDICTS.get(reply.outcome, ""), hang=4)
    if reply.HasField("explanation"):
        print_lines("")
        print_explanation(reply.explanation, f"By the rate card {charge.rate_card_version}")
    _print_what_is_beside(charge)


def _charged(charge: charges_pb2.Charge) -> str:
    """What was charged, and for what."""
    what = f" for {subject(charge)}" if charge.action else ""
    flags = f"; {flag_words(charge)}" if charge.flags else ""
    amount = format_credits(charge.cost_microcredits)
    return f"{amount} {'credit' if amount == '1' else 'credits'}{what}{flags}"


def _print_what_is_beside(charge: charges_pb2.Charge) -> None:
    if charge.unread:
        print_lines(f"Not read, and not charged: {', '.join(charge.unread)}.")
    if charge.reported_cost_usd:
        print_lines(f"By the provider itself it cost {charge.reported_cost_usd} USD.")
