"""`creditmeter rates diff`: which prices and which other values differ between two rate cards."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from creditmeter.cli.commands.prices import PriceChange, price_changes
from creditmeter.cli.connection import ask
from creditmeter.cli.exits import CommandFailed
from creditmeter.cli.options import Address, AsJson
from creditmeter.cli.output import print_json
from creditmeter.cli.rate_cards import card_of, published_card, read_document
from creditmeter.cli.screen import Notes, Table, print_lines, print_table, table
from creditmeter.cli.times import now, short_instant
from creditmeter.client.stubs import Connection, CreditmeterError
from creditmeter.core.amounts import format_credits
from creditmeter.core.instants import from_datetime, to_datetime
from creditmeter.core.prices.price_table import TOKENS, Unit
from creditmeter.core.prices.rate_card import CostBasis, RateCard
from creditmeter.core.prices.rate_card_document import RateCardError
from creditmeter.v1 import admin_pb2

_CARD = "A file or, where there is none of this name, the version of a published card. Empty: the one in force."


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


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two cards. `published` is the version under which it was published; empty if it is a file."""

    card: RateCard
    published: str = ""

    @property
    def description(self) -> str:
        """Names the card, and says whether its list prices are those of another release than the one it was published with."""
        since = f"effective from {short_instant(self.card.effective_from)}"
        if self.published in ("", self.card.version):
            return f"{self.card.version}, {since}"
        return f"{self.published}, {since}; its list prices are shown as of {self.card.data_version}, which is installed here"


def _compared(names: tuple[str, str], address: str | None) -> tuple[Compared, Compared]:
    """The cards of these names.

    Raises:
        CommandFailed: there is none, or it cannot be used.
    """
    versions = [name for name in names if not _is_file(name)]

    async def read(client: Connection) -> dict[str, admin_pb2.RateCard]:
        return {version: await _by_name(client, version) for version in versions}

    found = ask(address, read) if versions else {}
    old, new = (_read(name, found.get(name)) for name in names)
    return old, new


def _read(name: str, published: admin_pb2.RateCard | None) -> Compared:
    document = read_document(Path(name)) if published is None else published.document
    try:
        return Compared(card_of(document), "" if published is None else published.version)
    except RateCardError as error:
        raise CommandFailed(f"the rate card {name} is wrong: {'; '.join(error.problems)}") from error


def _is_file(name: str) -> bool:
    """Whether there is a file or a pipe of this name. An empty name means a published card."""
    try:
        return Path(name).exists() and not Path(name).is_dir()
    except OSError:  # no valid file name, or a directory that is closed
        return False


async def _by_name(client: Connection, name: str) -> admin_pb2.RateCard:
    try:
        return await published_card(client, name)
    except CreditmeterError as error:
        if error.reason not in ("RATE_CARD_NOT_FOUND", "INVALID_REQUEST"):  # invalid: it is a version that no card can have
            raise
        raise CommandFailed(f"there is neither a file nor a published rate card {name}") from error


_Value = int | str | list[str] | None
_ValueChange = tuple[str, _Value, _Value]
"""A value of the card that differs: its name, the old value, the new one. Names of amounts end with `_microcredits`."""


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
        "cost": sorted(_charged_by_report(card)),
        "fees": [_entry(position, usd) for position, usd in sorted(card.fees.items())],
    }


def _charged_by_report(card: RateCard) -> Iterator[str]:
    """The models that are charged by the cost that is reported, with what this is multiplied by."""
    bases = [((rule.provider, rule.model), rule.basis, rule.reported_markup) for rule in card.text]
    for names, basis, markup in (*bases, (("any", "other"), card.basis, card.markup)):
        if basis is not CostBasis.LIST:
            yield f"{' '.join(filter(None, names))} = {basis.value} * {markup.normalize():f}"


def _entry(position: tuple[str, str, str], value: Decimal) -> str:
    """A factor or a fee with what it is for, such as `openai flex = 0.5`."""
    return f"{' '.join(filter(None, position))} = {value.normalize():f}"


def _difference_json(
    old: Compared, new: Compared, values: Iterable[_ValueChange], prices: Iterable[PriceChange]
) -> dict[str, Any]:
    """The differences as JSON."""
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
    """One row a value; for lists, one for each name that is on one of the two only."""
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
        position = each.position
        amounts = ("-" if amount is None else format_credits(amount) for amount in (each.old, each.new))
        named = position.action, position.provider, position.model, position.variant or position.tool
        shown.add_row(*named, what, above, *amounts)
    return shown
