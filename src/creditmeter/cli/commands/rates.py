"""`creditmeter rates`: publishes, shows, lists, checks and compares rate cards."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.commands.rates_diff import diff
from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.exits import ExitCode
from creditmeter.cli.options import Address, AsCsv, AsJson, Limit, PageToken
from creditmeter.cli.output import json_of, moment, print_json, print_listing, say_more
from creditmeter.cli.paging import pages
from creditmeter.cli.rate_cards import card_of, published_card, read_document
from creditmeter.cli.screen import Notes, Table, print_document, print_lines, print_table, say, table
from creditmeter.cli.times import short_instant
from creditmeter.client.stubs import Connection, call
from creditmeter.core.amounts import format_credits
from creditmeter.core.prices.rate_card import CostBasis, RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.v1 import admin_pb2

commands = typer.Typer(help="Publish rate cards, look at them, and compare them.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The rate card: a TOML document.", show_default=False)]


@commands.command()
def publish(file: File, address: Address = None, as_json: AsJson = False) -> None:
    """Publish a rate card for all sidecars, for good. May be repeated; under its version there is never another one."""
    request = admin_pb2.PublishRateCardRequest(document=read_document(file))

    async def done(client: Connection) -> tuple[admin_pb2.PublishRateCardResponse, admin_pb2.RateCard]:
        return await call(client.admin.PublishRateCard, request, PATIENCE), await published_card(client)

    reply, in_force = ask(address, done)
    if as_json:
        print_json(json_of(reply) | {"version_in_force": in_force.version})
        return
    card = reply.rate_card
    print_lines(f"published: {card.version}" + (" (done before; nothing changed now)" if reply.replayed else ""))
    print_lines(f"effective from: {moment(card, 'effective_from')}")
    print_lines(_effect(card, in_force))
    Notes(with_times=True).print()


@commands.command()
def show(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="As its document or as charges name it. Default: the one in force.")
    ] = "",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Print the document of a rate card, as it was published."""
    request = admin_pb2.GetRateCardRequest(version=version)
    reply = ask(address, lambda client: call(client.admin.GetRateCard, request, PATIENCE))
    if as_json:
        print_json(json_of(reply))
    else:
        print_document(reply.rate_card.document)


@commands.command("list")
def list_cards(
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the published rate cards, the last one to take effect first, and say which is in force."""
    request = admin_pb2.ListRateCardsRequest(page_token=page_token)

    async def read(client: Connection) -> tuple[admin_pb2.ListRateCardsResponse, admin_pb2.RateCard]:
        listed = await pages(client.admin.ListRateCards, request, lambda page: len(page.rate_cards), limit)
        return listed, await published_card(client)

    reply, in_force = ask(address, read)
    if as_json:
        print_json(json_of(reply) | {"version_in_force": in_force.version})
        return
    if print_listing(reply, admin_pb2.RateCard, reply.rate_cards, as_json=as_json, as_csv=as_csv):
        return
    _print_cards(reply.rate_cards, in_force)
    say_more(reply.next_page_token)


@commands.command()
def check(file: File) -> None:
    """Check a rate card before it is published: every problem is printed with its line. Needs no sidecar."""
    try:
        card = card_of(read_document(file))
    except RateCardError as error:
        for problem in error.problems:
            say(f"creditmeter: {' '.join(problem.split())}")
        raise typer.Exit(ExitCode.FAILED) from None
    notes = Notes(forms=(), with_times=True)
    print_table(_summary(card), f"{file}: no problems", notes)
    notes.print()


commands.command()(diff)


def _effect(card: admin_pb2.RateCard, in_force: admin_pb2.RateCard) -> str:
    """Whether a card that was just published is in force: of the cards that have taken effect, the last one is."""
    if card.version == in_force.version:
        return "It is in force."
    if card.effective_from.ToNanoseconds() > in_force.effective_from.ToNanoseconds():
        return f"It is not in force yet; {in_force.version} is."
    return f"{in_force.version} stays in force: it took effect at {moment(in_force, 'effective_from')}."


def _print_cards(cards: Sequence[admin_pb2.RateCard], in_force: admin_pb2.RateCard) -> None:
    shown = table("version", "effective from", "published", "in force", ids=("version",), times=("effective from", "published"))
    for each in cards:
        is_in_force = "yes" if each.version == in_force.version else ""
        shown.add_row(each.version, moment(each, "effective_from"), moment(each, "published_at"), is_in_force)
    print_table(shown, empty="No rate card is published yet: `creditmeter rates publish` does it.")
    if in_force.version not in [each.version for each in cards]:
        own = "" if in_force.HasField("published_at") else ", which came with the sidecar"
        print_lines(f"In force: {in_force.version}{own}")


def _summary(card: RateCard) -> Table:
    """The numbers of models, tools and actions on a card."""
    listed = card.price_list.models() if card.price_list is not None else ()
    of_list = sum(card.own_text_rule(each.provider, each.model.model) is None for each in listed)
    own = sum(each.listed is None for each in card.text)
    shown = table("version", card.version)
    shown.add_row("effective from", short_instant(card.effective_from))
    shown.add_row("text models, prices of its own", f"{own:,}")
    shown.add_row(f"text models, prices of {card.data_version or 'a list'}", f"{len(card.text) - own + of_list:,}")
    bases = Counter(each.basis for each in card.text) + Counter({card.basis: of_list})
    for basis in (CostBasis.REPORTED, CostBasis.HIGHER):
        if bases[basis]:
            shown.add_row(f'text models, cost = "{basis.value}"', f"{bases[basis]:,}")
    shown.add_row("image models", f"{len(card.images):,}")
    shown.add_row("tools", "-" if card.tools is None else f"{len(card.tools.by_name):,}, and any other")
    shown.add_row("actions", f"{len(card.actions):,}")
    shown.add_row("free actions", f"{len(card.free):,}")
    shown.add_row("cap", "-" if card.cap is None else format_credits(card.cap))
    shown.add_row("fallback", card.fallback or "-")
    return shown
