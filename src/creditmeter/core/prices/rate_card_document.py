"""Reading a rate card from its TOML document.

Every problem is reported with its line and rule, not just the first one. A card that has a problem is not used.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

from creditmeter.core.amounts import MAX_AMOUNT, MICROCREDITS_PER_CREDIT
from creditmeter.core.instants import DAY, Instant, from_datetime
from creditmeter.core.prices.price_list import PriceList
from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.rate_card import (
    IMAGE,
    MAX_TOKENS,
    ONE_CREDIT,
    SECTION_ACTIONS,
    TEXT,
    ActionRule,
    CostBasis,
    ImageRule,
    PriceUnit,
    RateCard,
    TextRule,
    ToolRules,
    rule_from,
)
from creditmeter.core.prices.rates import RARE_STAND_INS, STAND_INS, LongContext, TextPrices, TextRates
from creditmeter.core.prices.resolving import ListedModels, ModelRule
from creditmeter.core.prices.tier_and_fee_tables import note_fees_out_of_bounds, read_fees, read_tiers
from creditmeter.core.prices.toml_tables import TomlSyntaxError, TomlTable, read_toml

GENAI_PRICES = "genai-prices"
"""The one source of prices that a card may name."""

_Rule = TypeVar("_Rule", bound=ModelRule)


class RateCardError(ValueError):
    """A rate card that cannot be used. `problems` has every problem that was found, in the order of lines."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


MAX_VERSION = 128
_VERSION = re.compile(rf"[!-~]{{1,{MAX_VERSION}}}")
_END_OF_TIME = from_datetime(datetime(9999, 12, 31, tzinfo=UTC)) + DAY


def parse_rate_card(text: str, price_list: Callable[[], PriceList] | None = None) -> RateCard:
    """Read a card from its TOML document.

    `price_list` is called only if the document names the list as a source. Then the card's version has the list's version
    behind a `+`.

    Raises:
        RateCardError: the document is not TOML, or not a usable card. It has every problem, not just the first one.
    """
    try:
        top = read_toml(text)
    except TomlSyntaxError as error:
        raise RateCardError((str(error),)) from None
    card = _card(top, _Source(price_list))
    _note_contradictions(top, card)
    _note_prices_out_of_bounds(top.table(TEXT), card)
    markup = max(card.markup, *(rule.markup for rule in card.text), Decimal(1))
    note_fees_out_of_bounds(top.table("fees"), card.credits_per_usd * markup)
    if problems := top.problems():
        raise RateCardError(problems)
    return card


class _Source:
    """The price list of a document. It is fetched when the document first names it."""

    def __init__(self, fetch: Callable[[], PriceList] | None) -> None:
        self._fetch = fetch
        self.used: PriceList | None = None

    @cached_property
    def models(self) -> ListedModels:
        """The models of the price list, once a table has named it."""
        assert self.used is not None, "a table names it first"
        return ListedModels(self.used)

    def named_by(self, table: TomlTable) -> PriceList | None:
        """The price list, if the table names it as its source."""
        source = table.text("source", "")
        if not source:
            return None
        if source != GENAI_PRICES:
            table.note("source", f"must be {GENAI_PRICES!r}, the one there is")
        elif self._fetch is None:
            table.note("source", "is not at hand here: a published card brings its prices along")
        elif self.used is None:
            self.used = self._fetch()
        return self.used


def _card(top: TomlTable, source: _Source) -> RateCard:
    """The card that the document describes. Where a value is wrong, it has a harmless one, so that reading goes on."""
    text, image, actions = top.table(TEXT), top.table(IMAGE), top.table("actions")
    card = RateCard(
        version=_version(top),
        effective_from=_effective_from(top),
        credits_per_usd=top.number("credits_per_usd", Decimal(100), positive=True),
        increment=top.amount("increment", ONE_CREDIT, positive=True),
        minimum=text.amount("minimum", ONE_CREDIT),
        cap=top.amount("cap", ONE_CREDIT, positive=True) if top.has("cap") else None,
        default_max_output_tokens=text.whole("default_max_output_tokens", 4096, at_most=MAX_TOKENS),
        fallback=text.text("fallback", ""),
        text=_unique(text.tables("models"), lambda table: _text_rule(table, source)),
        price_list=source.named_by(text),
        markup=_markup(text),
        basis=_listed_basis(text),
        images=_unique(image.tables("models"), _image_rule),
        tools=_tool_rules(top.table("tools")) if top.has("tools") else None,
        actions={action: _action_rule(actions.table(action)) for action in actions.named()},
        higher_cost_models=frozenset(top.names("higher_cost_models")),
        free=frozenset(top.names("free")),
        tiers=read_tiers(top.table("tiers")),
        fees=read_fees(top.table("fees")),
    )
    for table in (top, text, image):
        table.end()
    if source.used is None:
        return card
    version = f"{card.version}+{source.used.version}"
    if len(version) > MAX_VERSION:
        top.note("version", f"is too long: with {source.used.version!r} behind it it has more than {MAX_VERSION} characters")
    return replace(card, version=version, data_version=source.used.version)


def _note_contradictions(top: TomlTable, card: RateCard) -> None:
    """Note values that contradict each other, though each one is allowed."""
    if card.fallback and card.text_rule("", card.fallback) is None:
        top.table(TEXT).note("fallback", f"must name one model of text.models, and {card.fallback!r} does not")
    if card.cap is not None and card.cap < card.minimum:
        top.note("cap", "must not be below the minimum")
    for action in sorted(card.actions.keys() & SECTION_ACTIONS):
        top.table("actions").note(action, "has a section of its own")
    for action in sorted(card.free & (card.actions.keys() | SECTION_ACTIONS)):
        top.note("free", f"must not list {action!r}, which is priced in a section of its own")


def _note_prices_out_of_bounds(text: TomlTable, card: RateCard) -> None:
    """Note each price that is above the largest amount, for a million tokens or one call, as tables of prices show it."""
    most = Decimal(MAX_AMOUNT) / MICROCREDITS_PER_CREDIT
    for table, rule in zip(text.tables("models"), card.text, strict=False):
        factor = card.credits_per_usd * rule.markup if rule.unit is PriceUnit.USD else Decimal(1)
        wrong = next((key for key, price in _prices_of(rule) if price * factor > most), None)
        if wrong is not None:
            table.note(wrong, f"comes to more than {most:,} credits")
    listed = card.price_list.models() if card.price_list is not None else ()
    dearest = max((price for each in listed for price in each.model.dearest), default=Decimal(0))
    if dearest * card.markup * card.credits_per_usd > most:
        text.note("source", f"has prices that come to more than {most:,} credits, by markup and credits_per_usd")


def _prices_of(rule: TextRule) -> Iterator[tuple[str, Decimal]]:
    """Each price of a rule, with the key that it is written under."""
    if rule.listed is not None:
        yield from (("source", price) for price in rule.listed.model.dearest)
    elif rule.prices is not None:
        yield from ((name, getattr(rule.prices.rates, name)) for name in ("input", "output", *STAND_INS))
        yield from rule.prices.rates.rare.items()
        yield "per_call", rule.prices.per_call
        yield from (("long_context", price) for price in rule.prices.dearest)


def _version(top: TomlTable) -> str:
    version = top.text("version")
    if version and not _VERSION.fullmatch(version):
        top.note("version", "must be 1 to 128 printable ASCII characters without spaces")
    return version


def _effective_from(top: TomlTable) -> Instant:
    moment = top.value("effective_from")
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        instant = from_datetime(moment)
        if not 0 <= instant < _END_OF_TIME:
            top.note("effective_from", "must be from 1970 to 9999, in UTC")
        return instant
    wrong = "is missing" if moment is None else "must be a date and time with an offset, such as 2026-11-01T00:00:00Z"
    top.note("effective_from", wrong)
    return Instant(0)


def _unique(tables: Sequence[TomlTable], read: Callable[[TomlTable], _Rule]) -> tuple[_Rule, ...]:
    """The rules of these tables. Two that claim one name at one provider are a problem."""
    rules = tuple(read(table) for table in tables)
    lines: dict[tuple[str, str], int] = {}
    for table, rule in zip(tables, rules, strict=True):
        for name in filter(None, rule.names):
            key = rule.provider, name.lower()
            if key in lines:
                of_provider = f" of provider {rule.provider!r}" if rule.provider else ""
                table.note("model", f"{name!r}{of_provider} already has a rule, in line {lines[key]}")
            lines.setdefault(key, table.line("model"))
    return rules


def _provider(table: TomlTable) -> str:
    """The provider, as price lists name it. The provider of a call is renamed in the same way."""
    return price_list_name(table.text("provider", ""))


def _text_rule(table: TomlTable, source: _Source) -> TextRule:
    """A rule with rates of its own, or one that names the price list as its source."""
    names = {"model": table.text("model"), "provider": _provider(table), "also": table.names("also")}
    rule = _own_rule(table, **names) if not table.has("source") else _sourced_rule(table, source, **names)
    table.end()
    return rule


def _sourced_rule(table: TomlTable, source: _Source, **names: Any) -> TextRule:
    price_list, markup, basis = source.named_by(table), _markup(table), _basis(table)
    is_named = price_list is not None and names["model"]
    found = source.models.in_any_spelling(names["provider"], names["model"]) if is_named else None
    if price_list is not None and found is None:
        table.note("source", f"has no price for this model in {price_list.version}")
    rule = TextRule(model=names["model"]) if found is None else rule_from(found, price_list, markup, basis)
    return replace(rule, **names)


def _own_rule(table: TomlTable, **names: Any) -> TextRule:
    base = _given_rates(table)
    tiers = [_tier(each, base) for each in table.tables("long_context")]
    if sorted({tier.above_input_tokens for tier in tiers}) != [tier.above_input_tokens for tier in tiers]:
        table.note("long_context", "must begin at ever more input tokens")
    prices = TextPrices(_rates(table, base), tuple(tiers), table.number("per_call", Decimal(0)))
    basis, markup = _basis(table), table.number("markup", Decimal(1), positive=True)
    if basis is CostBasis.LIST and table.has("markup"):
        table.note("markup", "goes with a source or a reported cost: write what you charge into prices of your own")
    return TextRule(**names, unit=table.choice("unit", PriceUnit.USD), prices=prices, basis=basis, reported_markup=markup)


def _tier(table: TomlTable, base: Mapping[str, Decimal]) -> LongContext:
    """The rates of long inputs. A rate that the table leaves out is the model's own, if the model gives it."""
    above = table.whole("above_input_tokens", 0, at_most=MAX_TOKENS)
    if not table.has("above_input_tokens"):
        table.note("above_input_tokens", "is missing")
    tier = LongContext(above, _rates(table, {**base, **_given_rates(table)}))
    table.end()
    return tier


def _given_rates(table: TomlTable) -> dict[str, Decimal]:
    return {name: table.number(name) for name in ("input", "output", *STAND_INS, *RARE_STAND_INS) if table.has(name)}


def _rates(table: TomlTable, given: Mapping[str, Decimal]) -> TextRates:
    """All rates: those that are given, and for each other one that of its stand-in."""
    rates = {name: given[name] if name in given else table.number(name) for name in ("input", "output")}
    for token_class, stand_in in STAND_INS.items():
        rates[token_class] = given.get(token_class, rates[stand_in])
    return TextRates(**rates, rare={name: given[name] for name in RARE_STAND_INS if name in given})


def _basis(table: TomlTable) -> CostBasis:
    """What a rule charges: the key `cost`."""
    return table.choice("cost", CostBasis.LIST)


def _listed_basis(text: TomlTable) -> CostBasis:
    """What models are charged by that have no rule of their own. Without a source there are none."""
    if text.has("cost") and not text.has("source"):
        text.note("cost", "goes with a source: a rule in text.models says it for itself")
    return _basis(text)


def _markup(table: TomlTable) -> Decimal:
    """The factor by which the prices of a source are multiplied."""
    if table.has("markup") and not table.has("source"):
        table.note("markup", "goes with a source: write what you charge into prices of your own")
    return table.number("markup", Decimal(1), positive=True)


def _image_rule(table: TomlTable) -> ImageRule:
    variants = table.table("variants")
    if not table.has("credits") and not variants.given:
        table.note("credits", "is missing, and so are variants: there is no price")
    rule = ImageRule(
        model=table.text("model"),
        provider=_provider(table),
        also=table.names("also"),
        credits=table.number("credits") if table.has("credits") else None,
        variants={variant: variants.number(variant) for variant in variants.named()},
    )
    table.end()
    return rule


def _tool_rules(table: TomlTable) -> ToolRules:
    by_name = {tool: table.number(tool) for tool in table.named() if tool != "default"}
    return ToolRules(default=table.number("default", Decimal(1)), by_name=by_name)


def _action_rule(table: TomlTable) -> ActionRule:
    rule = ActionRule(standard=table.number("standard", Decimal(1)), higher_cost=table.number("higher_cost", Decimal(2)))
    table.end()
    return rule
