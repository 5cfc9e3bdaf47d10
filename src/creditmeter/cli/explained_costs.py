"""How a cost came about, printed for people: its lines, and the steps from their sum to the amount."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise

from creditmeter.cli.output import word
from creditmeter.cli.screen import Notes, Table, print_lines, print_table, table
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import charges_pb2, explanations_pb2
from creditmeter.v1.explanations_pb2 import (
    PRICE_SOURCE_CARD,
    PRICE_SOURCE_FREE,
    PRICE_SOURCE_PRICE_LIST,
    PRICE_SOURCE_REPORTED,
)

_SOURCES: Mapping[int, str] = {
    PRICE_SOURCE_CARD: "card",
    PRICE_SOURCE_PRICE_LIST: "list",
    PRICE_SOURCE_FREE: "free",
    PRICE_SOURCE_REPORTED: "reported",
}

_THOUSAND = 1_000
_PER: Mapping[int, str] = {1: "", 1_000: "/1k", 1_000_000: "/1M"}

_RATES: Mapping[str, str] = {
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "cache_creation_1h_input_tokens": "cache_write_1h",
    "reasoning_output_tokens": "reasoning",
    "cached_audio_input_tokens": "cached_audio",
    "cached_image_input_tokens": "cached_image",
    "citation_tokens": "citation",
}
"""The keys of a rate card for classes of tokens whose counts are named otherwise."""


def print_explanation(found: explanations_pb2.CostExplanation, title: str) -> None:
    """Print the lines of a cost under a title, and how their sum became the cost."""
    notes = Notes()
    print_table(_lines_table(found), title, notes, empty=f"{title}: nothing was counted.")
    print_table(_steps_table(found), notes=notes)
    notes.print()
    if found.flags:
        print_lines(f"Flags: {flag_words(found)}.")


def flag_words(found: "explanations_pb2.CostExplanation | charges_pb2.Charge") -> str:
    """The flags of a cost, in words."""
    return ", ".join(word(charges_pb2.ChargeFlag, flag).replace("_", " ") for flag in found.flags)


def _lines_table(found: explanations_pb2.CostExplanation) -> Table:
    """A row for each line. What is the same in all of them, and is not what the cost is made of, has no column."""
    units = {_unit(each) for each in found.lines}
    amount = min(units) if len(units) == 1 else "amount"
    heads = ("response", "model", "what", "count", "rate", amount, "served", "from")
    rows = [_row(each, with_unit=amount == "amount") for each in found.lines]
    is_shown = {"response": len({each[0] for each in rows}) > 1, "model": len({each[1] for each in rows}) > 1}
    is_shown["served"] = any(each[6] for each in rows)
    kept = [number for number, head in enumerate(heads) if is_shown.get(head, True)]
    right = ("response", "count", "rate", amount)
    shown = table(*(heads[number] for number in kept), ids=("what", "model", "from"), right=right, goes=("model",))
    for before, row in pairwise((*rows[:1], *rows)):
        if before[0] != row[0]:
            shown.add_section()
        shown.add_row(*(row[number] for number in kept))
    return shown


def _row(line: explanations_pb2.CostLine, *, with_unit: bool) -> tuple[str, ...]:
    unit = f" {_unit(line)}" if with_unit else ""
    amount, rate = f"{_digits(line.amount)}{unit}", f"{_digits(line.rate)}{unit}{_PER[line.per]}"
    model, count = line.model or "-", f"{line.count:,}"
    return str(line.response), model, _what(line), count, rate, amount, _served(line), _from(line)


def _unit(line: explanations_pb2.CostLine) -> str:
    return "USD" if line.in_usd else "credits"


def _what(line: explanations_pb2.CostLine) -> str:
    """What was counted, in words: a class of tokens by the name that its rate has in a card."""
    what: str = _RATES.get(line.what) or line.what.removesuffix("_tokens")
    return what.replace("_", " ")


def _served(line: explanations_pb2.CostLine) -> str:
    """In which way the call was served, its factor, and from which length of input on the rate applies."""
    factor = f"x{line.factor}" if line.factor != "1" else ""
    thousands, rest = divmod(line.above_input_tokens, _THOUSAND)
    long = f"over {f'{line.above_input_tokens:,}' if rest else f'{thousands:,}k'}" if line.above_input_tokens else ""
    return " ".join(filter(None, (*line.served, factor, long)))


def _from(line: explanations_pb2.CostLine) -> str:
    return f"{_SOURCES[line.source]}: {line.rule}"


def _steps_table(found: explanations_pb2.CostExplanation) -> Table:
    shown = table("then", "is", right=("is",))
    for name, value in _steps(found):
        shown.add_row(name, value)
    return shown


def _steps(found: explanations_pb2.CostExplanation) -> Iterator[tuple[str, str]]:
    """Each step from the lines to the cost, and what it comes to. A bound that changed nothing is left out."""
    if any(each.in_usd for each in found.lines):
        yield "sum in USD", _digits(found.cost_usd)
        markups = sorted({each.markup for each in found.lines if each.in_usd} - {"1"})
        markup = f", with the markup of {' or '.join(markups)}" if markups else ""
        yield f"in credits, {found.credits_per_usd} a USD{markup}", _digits(found.exact_credits)
    else:
        yield "sum in credits", _digits(found.exact_credits)
    yield (
        f"rounded up to a multiple of {format_credits(found.increment_microcredits)}",
        format_credits(found.rounded_microcredits),
    )
    amount = found.rounded_microcredits
    if 0 < amount < found.minimum_microcredits:
        amount = found.minimum_microcredits
        yield "not below the card's minimum", format_credits(amount)
    if found.HasField("cap_microcredits") and amount > found.cap_microcredits:
        amount = found.cap_microcredits
        yield "not above the card's cap", format_credits(amount)
    if found.cost_microcredits != amount:
        yield "not above what any amount may be", format_credits(found.cost_microcredits)
    yield "cost in credits", format_credits(found.cost_microcredits)


def _digits(number: str) -> str:
    """A decimal number with its thousands apart."""
    return f"{Decimal(number):,f}"
