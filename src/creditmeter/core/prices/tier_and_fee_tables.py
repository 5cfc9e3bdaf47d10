"""Reading the sections `tiers` and `fees` of a rate card.

Both begin with what holds for any provider, and have a table for each provider below: `[tiers.openai]`, `[fees.openai]`.
Factors for service tiers stand in the table itself, those for speeds and regions in tables `speed` and `region` below it. A fee
of one model stands in a table of the model below its provider's: `[fees.openai."gpt-4o"]`.
"""

from collections.abc import Iterator
from decimal import Decimal

from creditmeter.core.amounts import MAX_AMOUNT, MICROCREDITS_PER_CREDIT
from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.tiers import STANDARD_NAMES
from creditmeter.core.prices.token_costs import RARE_COUNTS
from creditmeter.core.prices.toml_tables import TomlTable

MAX_FACTOR = 1_000
MAX_FACTOR_PLACES = 4
"""A factor is below MAX_FACTOR and has at most so many decimal places. So exact products have few enough digits."""

_TIER = "service_tier"
_OTHER_KINDS = ("speed", "region")
_Key = tuple[str, str, str]
_Read = Iterator[tuple[TomlTable, str, _Key, Decimal]]


def read_tiers(table: TomlTable) -> dict[_Key, Decimal]:
    """The factors of a card, by provider, field of `Served` and its value."""
    return _unique(_factors(table, ""))


def read_fees(table: TomlTable) -> dict[_Key, Decimal]:
    """The fees of a card, in dollars for a thousand, by provider, model and unit."""
    return _unique(_all_fees(table))


def note_fees_out_of_bounds(table: TomlTable, credits_per_usd: Decimal) -> None:
    """Note each fee that comes to more than the largest amount for one unit. `credits_per_usd` includes the markup."""
    most = Decimal(MAX_AMOUNT) / MICROCREDITS_PER_CREDIT
    for at, key, _, fee in _all_fees(table):
        if fee / 1_000 * credits_per_usd > most:
            at.note(key, f"comes to more than {most:,} credits each")


def _factors(table: TomlTable, provider: str) -> _Read:
    for key in table.named():
        if key in _OTHER_KINDS:
            yield from _factors_of_kind(table.table(key), provider, key)
        elif not provider and _is_table(table, key):
            yield from _factors(table.table(key), price_list_name(key))
        else:
            yield table, key, (provider, _TIER, _usual_refused(table, key, _TIER)), _factor(table, key)


def _factors_of_kind(table: TomlTable, provider: str, kind: str) -> _Read:
    for key in table.named():
        yield table, key, (provider, kind, _usual_refused(table, key, kind)), _factor(table, key)


def _usual_refused(table: TomlTable, key: str, kind: str) -> str:
    """The name in lower case; one that means the standard price is noted as a problem."""
    if key.lower() in STANDARD_NAMES[kind]:
        table.note(key, "means the standard price, which has no factor")
    return key.lower()


def _factor(table: TomlTable, key: str) -> Decimal:
    factor = table.number(key)
    exponent = factor.as_tuple().exponent
    if factor >= MAX_FACTOR or (isinstance(exponent, int) and exponent < -MAX_FACTOR_PLACES):
        table.note(key, f"must be below {MAX_FACTOR:,} and have at most {MAX_FACTOR_PLACES} decimal places")
        return Decimal(1)
    return factor


def _all_fees(table: TomlTable) -> _Read:
    for key in table.named():
        if _is_table(table, key):
            yield from _fees_of_provider(table.table(key), price_list_name(key))
        else:
            yield table, key, ("", "", key), _fee(table, key)


def _fees_of_provider(table: TomlTable, provider: str) -> _Read:
    for key in table.named():
        if _is_table(table, key):
            model = table.table(key)
            yield from ((model, unit, (provider, key.lower(), unit), _fee(model, unit)) for unit in model.named())
        else:
            yield table, key, (provider, "", key), _fee(table, key)


def _fee(table: TomlTable, unit: str) -> Decimal:
    if unit in RARE_COUNTS:
        table.note(unit, "is a class of tokens, with a rate in text.models, and has no fee")
    return table.number(unit)


def _is_table(table: TomlTable, key: str) -> bool:
    return isinstance(table.value(key), dict)


def _unique(read: _Read) -> dict[_Key, Decimal]:
    """Each value once. One that is given again, by another name of its provider or in other letters, is a problem."""
    found: dict[_Key, Decimal] = {}
    for table, key, position, value in read:
        if position in found:
            table.note(key, "is given more than once")
        found[position] = value
    return found
