"""`creditmeter prices`: the prices of models, tools and actions by the rate card in force; and the differences of two cards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from creditmeter.cli.connection import ask
from creditmeter.cli.options import Address, AsCsv, AsJson, Limit, PageToken
from creditmeter.cli.output import print_listing, say_more, word
from creditmeter.cli.paging import pages
from creditmeter.cli.screen import print_table, table
from creditmeter.core.amounts import Microcredits, format_credits
from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_table import PricePosition, PriceTable, Unit, item_price, wider
from creditmeter.core.prices.rate_card import TEXT, RateCard
from creditmeter.v1 import account_pb2

MAX_LINES = 10**6
"""Most lines of a card that are compared: more than a card has."""

_UNITS = tuple(Unit)


def prices(
    action: Annotated[str, typer.Option(metavar="ACTION", help="Only prices of this action.")] = "",
    limit: Limit = 50,
    page_token: PageToken = "",
    address: Address = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List what models, tools and actions cost by the rate card in force, by action, provider and model.

    Typical is one image, tool call or action; of text it is a call with 1,000 input and 500 output tokens. What other classes
    of tokens and long inputs cost is in --json.
    """
    request = account_pb2.ListModelPricesRequest(action=action, page_token=page_token)
    reply = ask(address, lambda client: pages(client.account.ListModelPrices, request, lambda page: len(page.prices), limit))
    if not print_listing(reply, account_pb2.ModelPrice, reply.prices, as_json=as_json, as_csv=as_csv):
        _print_prices(reply.prices, f"Prices in credits by the rate card {reply.rate_card_version}")
        say_more(reply.next_page_token)


def _print_prices(found: Sequence[account_pb2.ModelPrice], title: str) -> None:
    numbers = ("typical", "1M input", "1M output")
    goes = ("tier", "provider", "variant/tool", "1M output", "1M input")
    charged = ("charged",) if any(each.cost_basis > account_pb2.COST_BASIS_LIST for each in found) else ()
    named = ("action", "provider", "model", "variant/tool", "tier", *charged)
    shown = table(*named, *numbers, ids=("model",), right=numbers, goes=goes)
    for each in found:
        shown.add_row(
            each.action,
            each.provider,
            each.model,
            each.variant or each.tool,
            word(account_pb2.ModelTier, each.tier).replace("_", " "),
            *(word(account_pb2.CostBasis, each.cost_basis) for _ in charged),
            format_credits(each.typical_microcredits),
            _per_million(each, account_pb2.PRICE_UNIT_INPUT_TOKENS),
            _per_million(each, account_pb2.PRICE_UNIT_OUTPUT_TOKENS),
        )
    print_table(shown, title, empty="The rate card in force has no such price.")


def _per_million(price: account_pb2.ModelPrice, unit: account_pb2.PriceUnit.ValueType) -> str:
    """The price of a million of these tokens if the input is not long; empty if there is none."""
    amounts = (each.amount_microcredits for each in price.unit_prices if each.unit == unit and not each.above_input_tokens)
    return next(map(format_credits, amounts), "")


@dataclass(frozen=True, slots=True)
class PriceChange:
    """The price of a unit by each card, in microcredits, in calls with more input tokens than this; None: there is no price."""

    position: PricePosition
    above_input_tokens: int
    unit: Unit
    old: Microcredits | None
    new: Microcredits | None


def price_changes(old: RateCard, new: RateCard, at: Instant) -> Iterator[PriceChange]:
    """The prices that differ at a moment, in the order of the table of prices. One card may not name the model or tool."""
    before, after = _Prices(old, at), _Prices(new, at)
    for position in sorted({*before.positions, *after.positions}):
        lines = before.line(position), after.line(position)
        for above, number in sorted({(above, _UNITS.index(unit)) for line in lines for above, unit in line}):
            unit = _UNITS[number]
            was, becomes = (_amount(line, above, unit) for line in lines)
            if was != becomes:
                yield PriceChange(position, above, unit, was, becomes)


_Line = Mapping[tuple[int, Unit], Microcredits]
"""Prices in microcredits, by the number of input tokens above which they hold, and by unit; empty if there is none."""


class _Prices:
    """The prices of a card at a moment, also of models and tools that the card does not name."""

    def __init__(self, card: RateCard, at: Instant) -> None:
        self._card = card
        self._at = at
        self.positions: dict[PricePosition, _Line] = {
            line.position: {(each.above_input_tokens, each.unit): each.amount for each in line.units}
            for line in PriceTable(card).lines(at, "", None, MAX_LINES)
        }

    def line(self, position: PricePosition) -> _Line:
        """The prices that count for a position of this card's table or of another one's."""
        if position in self.positions:
            return self.positions[position]
        return self._line_of_rule(position) if position.action == TEXT else self._line_of_item(position)

    def _line_of_rule(self, position: PricePosition) -> _Line:
        rule = self._card.text_rule(position.provider, position.model)
        return {} if rule is None else self.positions.get(PricePosition(TEXT, rule.provider, rule.model), {})

    def _line_of_item(self, position: PricePosition) -> _Line:
        price = item_price(self._card, position, self._at)
        return {} if price is None else {(0, Unit.QUANTITY): price}


def _amount(line: _Line, above: int, unit: Unit) -> Microcredits | None:
    """A price from a line. A line leaves out prices that equal those of a wider class of tokens or of shorter inputs."""
    if not line:
        return None
    if unit is Unit.QUANTITY:
        return line.get((0, unit), Microcredits(0))
    tier = max(start for start, _ in line if start <= above)
    while (tier, unit) not in line:
        unit = wider(unit)
    return line[tier, unit]
