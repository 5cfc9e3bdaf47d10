"""`creditmeter price`: what a provider's report of a call costs by a rate card, line by line. Needs no sidecar."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.explained_costs import print_explanation
from creditmeter.cli.options import AsJson, read_moment
from creditmeter.cli.output import counted, json_of, print_json
from creditmeter.cli.rate_cards import RateCardFile, card_in
from creditmeter.cli.screen import print_lines
from creditmeter.cli.times import now
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import from_datetime
from creditmeter.core.prices.explaining import explanation
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.rate_card import TEXT
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.work import Usage
from creditmeter.server.explanation_replies import explanation_message

MAX_BYTES = 16 * 1024 * 1024
"""The largest report that is read."""

_STDIN = "-"
_OPTIONS = {"request_model": "--model", "variant": "--variant", "action": "--action"}
"""The options with which to give what a report does not have."""

_REPORT = "provider_usage_json"


def price(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="What a provider returned: a response, several, or the events of a stream. - reads it from stdin.",
            show_default=False,
        ),
    ],
    rate_card: RateCardFile = None,
    model: Annotated[str, typer.Option(metavar="MODEL", help="The model that was asked for, if the report names none.")] = "",
    provider: Annotated[str, typer.Option(metavar="PROVIDER", help="Whose. Default: found by the model's name.")] = "",
    action: Annotated[str, typer.Option(metavar="ACTION", help="What was done: text, or image.")] = TEXT,
    variant: Annotated[str, typer.Option(metavar="VARIANT", help="The image's, as the rate card names it.")] = "",
    at: Annotated[
        datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="When the call began. Default: now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a call cost by what its provider returned, and how the price came about. Nothing is charged."""
    usage = Usage(action, provider, model, variant=variant, provider_usage_json=_read(file))
    card = card_in(rate_card)
    cost = Pricing(RateCards(card)).cost(usage, None, from_datetime(at or now()), is_fact=True)
    if not isinstance(cost, Cost):
        raise CommandFailed(f"{_name(file)} has no price: {_why(cost)}")
    found = explanation_message(explanation(card, cost))
    if as_json:
        reported = "" if cost.reported_cost_usd is None else f"{cost.reported_cost_usd:f}"
        print_json(json_of(found) | {"unread": list(cost.unread), "reported_cost_usd": reported})
        return
    print_explanation(found, f"{_subject(cost)}, by the rate card {card.version}")
    if cost.unread:
        print_lines(f"Not read, and not charged: {', '.join(cost.unread)}.")
    if cost.reported_cost_usd is not None:
        print_lines(f"By the provider itself it cost {cost.reported_cost_usd:f} USD.")


def _read(file: str) -> str:
    """The report in a file or on stdin.

    Raises:
        CommandFailed: it cannot be read, is empty, or is too long.
    """
    try:
        if file == _STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(MAX_BYTES + 1)
        text = content.decode()
    except (OSError, ValueError) as error:  # a name may be no valid one, and a text not UTF-8
        raise CommandFailed(f"{_name(file)} cannot be read: {error}", ExitCode.USAGE) from error
    if len(content) > MAX_BYTES:
        raise CommandFailed(f"{_name(file)} has more than {MAX_BYTES:,} bytes", ExitCode.USAGE)
    if not text.strip():
        raise CommandFailed(f"{_name(file)} is empty", ExitCode.USAGE)
    return text


def _name(file: str) -> str:
    return "the report on stdin" if file == _STDIN else f"the report {file}"


def _why(refusal: InvalidRequest | UnpricedWork) -> str:
    """Why there is no price, with the options that may help."""
    if isinstance(refusal, UnpricedWork):
        return refusal.message
    problems = {path.removeprefix("usage."): why for path, why in refusal.violations}
    if _REPORT in problems:
        return f"it {problems[_REPORT]}"
    return "; ".join(f"{_OPTIONS.get(field, field)} {why}" for field, why in problems.items())


def _subject(cost: Cost) -> str:
    """What was priced: its action and its model, or the number of its responses if they are of several."""
    usage = cost.usage
    assert usage is not None, "what is priced here has a usage"
    if len({each.model for each in cost.lines}) > 1:
        return f"{usage.action}, {counted(max(each.response for each in cost.lines), 'response')}"
    return " ".join(filter(None, (usage.action, usage.variant, usage.response_model or usage.request_model)))
