"""`creditmeter plan estimate`: what a month needs and which plans cover it, for people without a history."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from creditmeter.cli.connection import ask
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import AsJson, read_credits, read_some_credits
from creditmeter.cli.output import counted, print_json
from creditmeter.cli.paging import pages
from creditmeter.cli.rate_cards import RateCardFile, card_in
from creditmeter.cli.screen import Table, print_lines, print_table, table
from creditmeter.core.amounts import Microcredits, format_credits
from creditmeter.core.credit.accounts import Plan
from creditmeter.core.ids import PlanId
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.reports.estimate import TYPICAL_TEXT, Estimate, Month, Prices, Range, Support, covers, prices_of, support
from creditmeter.core.reports.estimate import estimate as estimated
from creditmeter.core.reports.plan_fit import size
from creditmeter.v1 import admin_pb2

_MOST = 1_000_000
_MOST_PLANS = 100_000

_Address = Annotated[
    str | None,
    typer.Option(
        envvar="CREDITMETER_ADDRESS",
        metavar="ADDR",
        help="The sidecar whose plans are compared: host:port or unix:/path. Default: no plans are.",
    ),
]


def estimate(
    actions: Annotated[int, typer.Option(min=0, max=_MOST, metavar="COUNT", help="Actions each day.")] = 0,
    pieces: Annotated[int, typer.Option(min=0, max=_MOST, metavar="COUNT", help="Pieces of content in a month.")] = 0,
    images: Annotated[int, typer.Option(min=0, max=1_000, metavar="COUNT", help="Images of each piece.")] = 2,
    text_credits: Annotated[
        int, typer.Option(parser=read_credits, metavar="CREDITS", help="What the text of a piece costs.", show_default="10")
    ] = TYPICAL_TEXT,
    searches: Annotated[int, typer.Option(min=0, max=_MOST, metavar="COUNT", help="Searches in a month.")] = 0,
    credits: Annotated[
        int | None,
        typer.Option(parser=read_some_credits, metavar="CREDITS", help="Say instead what so many credits a month support."),
    ] = None,
    rate_card: RateCardFile = None,
    address: _Address = None,
    as_json: AsJson = False,
) -> None:
    """Say what a month of work needs and which plans cover it; or, with --credits, what an amount supports."""
    month = Month(actions, pieces, images, searches, Microcredits(text_credits))
    if credits is not None and (actions or pieces or searches):
        raise CommandFailed(
            "--credits asks what an amount supports: leave out --actions, --pieces and --searches", ExitCode.USAGE
        )
    if credits is None and not (actions or pieces or searches):
        raise CommandFailed("describe the month: --actions, --pieces, --searches; or name --credits", ExitCode.USAGE)
    card = card_in(rate_card)
    prices = prices_of(card)
    if credits is not None:
        supported = support(Microcredits(credits), month, prices)
        _print_support(card, supported, month, as_json=as_json)
    else:
        plans = None if address is None else _plans(address)
        _print_estimate(card, estimated(month, prices), prices, month, plans, as_json=as_json)


def _plans(address: str) -> list[Plan]:
    """The store's plans, the smallest first."""
    request = admin_pb2.ListPlansRequest()
    found = ask(address, lambda client: pages(client.admin.ListPlans, request, lambda page: len(page.plans), _MOST_PLANS)).plans
    plans = [
        Plan(PlanId(each.plan_id), Microcredits(each.daily_microcredits), Microcredits(each.monthly_microcredits))
        for each in found
    ]
    return sorted(plans, key=lambda each: (size(each), each.plan_id))


# The estimate of a month.


def _print_estimate(
    card: RateCard, found: Estimate, prices: Prices, month: Month, plans: Sequence[Plan] | None, *, as_json: bool
) -> None:
    if as_json:
        print_json(_estimate_json(card, found, plans))
        return
    print_table(_needs_table(found, prices, month), f"What the month needs, in credits, by rate card {card.version}")
    if plans is not None:
        print_table(_plans_table(plans, found.total), "Which plans cover it, if the work is spread evenly over 30 days")


def _estimate_json(card: RateCard, found: Estimate, plans: Sequence[Plan] | None) -> dict[str, Any]:
    needs = {"actions": found.actions, "pieces": found.pieces, "searches": found.searches, "total": found.total}
    document: dict[str, Any] = {"rate_card_version": card.version}
    document |= {name: _range_json(amount) for name, amount in needs.items()}
    if plans is not None:
        document["plans"] = [
            {
                "plan_id": each.plan_id,
                "daily_microcredits": each.daily,
                "monthly_microcredits": each.monthly,
                "covers": {name: covers(each, need) for name, need in asdict(found.total).items()},
            }
            for each in plans
        ]
    return document


def _range_json(amount: Range) -> dict[str, int]:
    return {f"{name}_microcredits": value for name, value in asdict(amount).items()}


def _needs_table(found: Estimate, prices: Prices, month: Month) -> Table:
    shown = table("for", "credits each", "low", "typical", "high", right=("credits each", "low", "typical", "high"))
    lines = (
        (f"{counted(month.actions_a_day, 'action')} a day", prices.action, found.actions),
        (f"{counted(month.pieces, 'piece')} with {counted(month.images_a_piece, 'image')}", prices.piece(month), found.pieces),
        (counted(month.searches, "search", "searches"), prices.search, found.searches),
    )
    for name, each, need in lines:
        if need.high:
            shown.add_row(name, _between(each.low, each.high), *_amounts(need))
    shown.add_row("in all", "", *_amounts(found.total))
    return shown


def _amounts(amount: Range) -> tuple[str, str, str]:
    return format_credits(amount.low), format_credits(amount.typical), format_credits(amount.high)


def _between(low: int, high: int) -> str:
    return format_credits(low) if low == high else f"{format_credits(low)}-{format_credits(high)}"


def _plans_table(plans: Sequence[Plan], need: Range) -> Table:
    shown = table("plan", "a day", "a month", "low", "typical", "high", ids=("plan",), right=("a day", "a month"))
    for each in plans:
        answers = ("yes" if covers(each, amount) else "no" for amount in (need.low, need.typical, need.high))
        shown.add_row(each.plan_id, format_credits(each.daily), format_credits(each.monthly), *answers)
    return shown


# What an amount supports.


def _print_support(card: RateCard, found: Support, month: Month, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "rate_card_version": card.version,
                "credits_microcredits": found.credits,
                "actions_a_day": found.actions_a_day,
                "piece": _range_json(found.piece),
                "pieces": found.pieces,
                "most_pieces": found.most_pieces,
                "searches": found.searches,
            }
        )
        return
    print_lines(f"{format_credits(found.credits)} credits a month, by rate card {card.version}, support one of:")
    for line in support_lines(found, month):
        print_lines(f"  {line}", hang=4)


def support_lines(found: Support, month: Month) -> list[str]:
    """What an amount supports: a line for each use, as if all of the amount went to it."""
    pieces = counted(found.most_pieces, "piece")
    if found.pieces != found.most_pieces:
        pieces = f"{found.pieces:,}-{pieces}"
    cost = _between(found.piece.low, found.piece.typical)
    one = "credit" if cost == "1" else "credits"
    images = {0: "no images", 1: "one image each", 2: "two images each"}.get(
        month.images_a_piece, f"{month.images_a_piece} images each"
    )
    return [
        f"about {counted(found.actions_a_day, 'action')} a day for 30 days, each at its lowest price",
        f"{pieces} of {cost} {one} with {images}",
        counted(found.searches, "search", "searches"),
    ]
