"""`creditmeter rates`: publish rate cards, look at them, check one before it is published, and see what it would change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from creditmeter.cli.commands.prices import PriceChange, price_changes
from creditmeter.cli.connection import PATIENCE, ask
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import Address, AsCsv, AsJson, Limit, PageToken
from creditmeter.cli.output import json_of, moment, print_json, print_listing, say_more
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import Notes, Table, print_document, print_lines, print_table, say, table
from creditmeter.cli.times import now, short_time
from creditmeter.client import CallError, Client, call
from creditmeter.core.amounts import format_credits
from creditmeter.core.instants import Instant, from_datetime, to_datetime
from creditmeter.core.prices.price_table import TOKENS, Unit
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.v1 import admin_pb2

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The largest document that a sidecar takes."""

commands = typer.Typer(help="Publish rate cards, look at them, and compare them.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The rate card: a TOML document.", show_default=False)]
_CARD = "A file or, where there is none of this name, the version of a published card. Empty: the one in force."


@commands.command()
def publish(file: File, address: Address = None, as_json: AsJson = False) -> None:
    """Publish a rate card for all sidecars, for good. May be repeated; under its version there is never another one."""
    request = admin_pb2.PublishRateCardRequest(document=_document(file))

    async def done(client: Client) -> tuple[admin_pb2.PublishRateCardResponse, admin_pb2.RateCard]:
        return await call(client.admin.PublishRateCard, request, PATIENCE), await _published(client)

    reply, in_force = ask(address, done)
    if as_json:
        print_json(json_of(reply) | {"version_in_force": in_force.version})
        return
    card = reply.rate_card
    print_lines(f"published: {card.version}" + (" (done before; nothing changed now)" if reply.replayed else ""))
    print_lines(f"effective from: {moment(card, 'effective_from')}")
    print_lines(_standing(card, in_force))
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

    async def read(client: Client) -> tuple[admin_pb2.ListRateCardsResponse, admin_pb2.RateCard]:
        listed = await pages(client.admin.ListRateCards, request, lambda page: len(page.rate_cards), limit)
        return listed, await _published(client)

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
    """Check a rate card before it is published: every problem is told with its line. Needs no sidecar."""
    try:
        card = _card(_document(file))
    except RateCardError as error:
        for problem in error.problems:
            say(f"creditmeter: {' '.join(problem.split())}")
        raise typer.Exit(ExitCode.FAILED) from None
    notes = Notes(forms=(), with_times=True)
    print_table(_summary(card), f"{file}: no problems", notes)
    notes.print()


@commands.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help=_CARD, show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help=_CARD, show_default=False)],
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show which prices differ between two rate cards, as they are now, and what else does.

    Two files need no sidecar. The list prices of a published card are shown as of the release of genai-prices that is installed
    here; if it was published with another one, a line says so.
    """
    before, after = _compared((old, new), address)
    values = list(_value_changes(before.card, after.card))
    prices = list(price_changes(before.card, after.card, from_datetime(now())))
    if as_json:
        print_json(_difference_json(before, after, values, prices))
        return
    for name, each in (("old", before), ("new", after)):
        print_lines(f"{name}: {each.description}", hang=5)
    print_lines("")
    notes = Notes(with_times=True)
    if values:
        print_table(_values_table(values), "On the card", notes)
    print_table(_prices_table(prices), "Prices in credits", notes, empty="No price differs.")
    notes.print()


def _document(file: Path) -> str:
    """The document in a file, to the byte: the same one again is the same publication.

    Raises:
        CommandFailed: it cannot be read, or no sidecar would take it.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            raise CommandFailed(f"the rate card {file} has more than {MAX_DOCUMENT_BYTES:,} bytes", ExitCode.USAGE)
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"the rate card {file} cannot be read: {error}", ExitCode.USAGE) from error


def _card(document: str) -> RateCard:
    """The card in a document, with the price list that is installed here.

    Raises:
        RateCardError: the document is no usable card.
    """
    from creditmeter.catalog.bundled import bundled_price_list  # noqa: PLC0415 - most commands need no prices
    from creditmeter.core.prices.rate_cards import load  # noqa: PLC0415 - most commands need no prices

    return load(document, bundled_price_list).card


async def _published(client: Client, version: str = "") -> admin_pb2.RateCard:
    """A published card; without a version the one in force."""
    return (await call(client.admin.GetRateCard, admin_pb2.GetRateCardRequest(version=version), PATIENCE)).rate_card


def _standing(card: admin_pb2.RateCard, in_force: admin_pb2.RateCard) -> str:
    """Whether a card that was just published is in force. Of those in effect the last one to take effect is."""
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
    """What is on a card, in numbers."""
    listed = card.price_list.models() if card.price_list is not None else ()
    of_list = sum(card.own_text_rule(each.provider, each.model.model) is None for each in listed)
    own = sum(each.listed is None for each in card.text)
    shown = table("version", card.version)
    shown.add_row("effective from", _at(card.effective_from))
    shown.add_row("text models, prices of its own", f"{own:,}")
    shown.add_row(f"text models, prices of {card.data_version or 'a list'}", f"{len(card.text) - own + of_list:,}")
    shown.add_row("image models", f"{len(card.images):,}")
    shown.add_row("tools", "-" if card.tools is None else f"{len(card.tools.by_name):,}, and any other")
    shown.add_row("actions", f"{len(card.actions):,}")
    shown.add_row("free actions", f"{len(card.free):,}")
    shown.add_row("cap", "-" if card.cap is None else format_credits(card.cap))
    shown.add_row("fallback", card.fallback or "-")
    return shown


def _at(instant: Instant) -> str:
    return short_time(to_datetime(instant))


@dataclass(frozen=True, slots=True)
class Compared:
    """One of two cards that are compared. `published` is the version that it was published under; empty if it is a file."""

    card: RateCard
    published: str = ""

    @property
    def description(self) -> str:
        """Which card it is, and whether its prices are those that it was published with."""
        since = f"effective from {_at(self.card.effective_from)}"
        if self.published in ("", self.card.version):
            return f"{self.card.version}, {since}"
        return f"{self.published}, {since}; its list prices are shown as of {self.card.data_version}, which is installed here"


def _compared(names: tuple[str, str], address: str | None) -> tuple[Compared, Compared]:
    """The cards that are meant by these names.

    Raises:
        CommandFailed: there is none, or it cannot be used.
    """
    versions = [name for name in names if not _is_file(name)]

    async def read(client: Client) -> dict[str, admin_pb2.RateCard]:
        return {version: await _published_by_name(client, version) for version in versions}

    found = ask(address, read) if versions else {}
    old, new = (_read(name, found.get(name)) for name in names)
    return old, new


def _read(name: str, published: admin_pb2.RateCard | None) -> Compared:
    document = _document(Path(name)) if published is None else published.document
    try:
        return Compared(_card(document), "" if published is None else published.version)
    except RateCardError as error:
        raise CommandFailed(f"the rate card {name} is wrong: {'; '.join(error.problems)}") from error


def _is_file(name: str) -> bool:
    """Whether there is a file of this name, or a pipe; no name at all is a published card's."""
    try:
        return Path(name).exists() and not Path(name).is_dir()
    except OSError:  # such a name no file can have, or its directory may not be looked at
        return False


async def _published_by_name(client: Client, name: str) -> admin_pb2.RateCard:
    try:
        return await _published(client, name)
    except CallError as error:
        if error.reason != "RATE_CARD_NOT_FOUND":
            raise
        raise CommandFailed(f"there is neither a file nor a published rate card {name}") from error


_Value = int | str | list[str] | None
_ValueChange = tuple[str, _Value, _Value]
"""A value of the card itself that differs: its name, the old one, the new one. Names of amounts end with `_microcredits`."""


def _value_changes(old: RateCard, new: RateCard) -> Iterator[_ValueChange]:
    after = _values(new)
    return ((name, value, after[name]) for name, value in _values(old).items() if value != after[name])


def _values(card: RateCard) -> Mapping[str, _Value]:
    return {
        "credits_per_usd": f"{card.credits_per_usd.normalize():f}",
        "increment_microcredits": card.increment,
        "minimum_microcredits": card.minimum,
        "cap_microcredits": card.cap,
        "default_max_output_tokens": card.default_max_output_tokens,
        "fallback": card.fallback or None,
        "free": sorted(card.free),
        "higher_cost_models": sorted(card.higher_cost_models),
        "tiers": [_entry(position, factor) for position, factor in sorted(card.tiers.items())],
        "fees": [_entry(position, usd) for position, usd in sorted(card.fees.items())],
    }


def _entry(position: tuple[str, str, str], value: Decimal) -> str:
    """A factor or a fee with what it is for, such as `openai flex = 0.5`."""
    return f"{' '.join(filter(None, position))} = {value.normalize():f}"


def _difference_json(
    old: Compared, new: Compared, values: Iterable[_ValueChange], prices: Iterable[PriceChange]
) -> dict[str, Any]:
    """What a program reads."""
    return {
        "old": _card_json(old),
        "new": _card_json(new),
        "values": [{"name": name, "old": before, "new": after} for name, before, after in values],
        "prices": [_price_json(each) for each in prices],
    }


def _card_json(compared: Compared) -> dict[str, str]:
    return {
        "version": compared.card.version,
        "published_version": compared.published,
        "effective_from": to_datetime(compared.card.effective_from).isoformat().replace("+00:00", "Z"),
    }


def _price_json(change: PriceChange) -> dict[str, Any]:
    return asdict(change.position) | {
        "unit": f"PRICE_UNIT_{change.unit.value}",
        "unit_count": 1 if change.unit is Unit.QUANTITY else TOKENS,
        "above_input_tokens": change.above_input_tokens,
        "old_microcredits": change.old,
        "new_microcredits": change.new,
    }


def _values_table(changes: Iterable[_ValueChange]) -> Table:
    """One row a value, and of lists one for each name that is on one of them only."""
    shown = table("value", "old", "new")
    for name, old, new in changes:
        if isinstance(old, list) and isinstance(new, list):
            for each in sorted({*old} ^ {*new}):
                shown.add_row(name, each if each in old else "-", each if each in new else "-")
        else:
            shown.add_row(name.removesuffix("_microcredits"), _value(name, old), _value(name, new))
    return shown


def _value(name: str, value: _Value) -> str:
    if isinstance(value, int):
        return format_credits(value) if name.endswith("_microcredits") else f"{value:,}"
    return "-" if value is None else str(value)


def _prices_table(changes: Iterable[PriceChange]) -> Table:
    """One row a price. A dash is no price: such a call is refused, or priced by the card's fallback."""
    numbers = ("above", "old", "new")
    goes = ("provider", "variant/tool", "above")
    shown = table("action", "provider", "model", "variant/tool", "unit", *numbers, ids=("model",), right=numbers, goes=goes)
    for each in changes:
        what = "each" if each.unit is Unit.QUANTITY else f"1M {each.unit.value.lower().replace('_', ' ')}"
        above = f"{each.above_input_tokens:,}" if each.above_input_tokens else ""
        of = each.position
        amounts = ("-" if amount is None else format_credits(amount) for amount in (each.old, each.new))
        shown.add_row(of.action, of.provider, of.model, of.variant or of.tool, what, above, *amounts)
    return shown
