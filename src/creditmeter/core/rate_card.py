"""The rate card: the versioned price list that turns work and usage into credits.

A card is a TOML document; `default_rate_card.toml` beside this module is the one that ships and explains each section.
It is parsed once into frozen rules with their indexes, and pricing then finds a model's rule in a few dictionary
look-ups.

**How a model finds its rule.** A rule has a name (`model`), more names (`also`) and perhaps a `provider`; names are
compared exactly. A call's (provider, model) finds the rule that names both, else the rule of that model that names no
provider. A call that names no provider finds the only rule of that model, whatever its provider; if there are several,
none. What is not found so is looked for once more without a trailing snapshot date: `gpt-4o-2024-08-06`,
`claude-sonnet-4-5-20250929` and `claude-sonnet-4-5@20250929` find the rules of `gpt-4o` and `claude-sonnet-4-5`. A
snapshot with a price of its own is given a rule of its own, which is then found first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.instants import Instant, from_datetime
from creditmeter.core.toml_tables import TomlSyntaxError, TomlTable, read_toml

TEXT = "text"
IMAGE = "image"
TOOL = "tool"
SECTION_ACTIONS = frozenset({TEXT, IMAGE, TOOL})
"""The actions that have sections of their own; any other is priced under `actions` or listed as `free`."""

MAX_TOKENS = 10**9
"""The most tokens of a kind that one call may count."""

_ONE_CREDIT = Microcredits(MICROCREDITS_PER_CREDIT)


class RateCardError(ValueError):
    """A rate card that cannot be used. `problems` holds all that was found, in the order of the lines it names."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class PriceUnit(Enum):
    """What a text rule's rates are written in."""

    USD = "usd"
    CREDITS = "credits"


@dataclass(frozen=True, slots=True)
class TextRates:
    """Prices per million tokens of each class, in the rule's unit. What the card leaves out has its stand-in's."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    reasoning: Decimal
    audio_input: Decimal
    audio_output: Decimal
    image_input: Decimal
    image_output: Decimal

    @property
    def highest_input(self) -> Decimal:
        """What an input token costs at most, whatever it turns out to be."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)

    @property
    def highest_output(self) -> Decimal:
        """What an output token costs at most, whatever it turns out to be."""
        return max(self.output, self.reasoning, self.audio_output, self.image_output)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRule:
    """Whose price it is: the model by its names, at one provider or (empty) at any."""

    model: str
    provider: str = ""
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the model goes by, the rule's own first."""
        return (self.model, *self.also)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule(ModelRule):
    """What a language model costs."""

    unit: PriceUnit
    rates: TextRates


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRule(ModelRule):
    """What an image of a model costs, in credits: by variant, else `credits` (None: only the variants are priced)."""

    credits: Decimal | None
    variants: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class ToolRules:
    """What a call of an external tool costs, in credits."""

    default: Decimal
    by_name: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What an action costs, in credits: at a model of standard cost (or none), and at one of higher cost."""

    standard: Decimal
    higher_cost: Decimal


_Rule = TypeVar("_Rule", bound=ModelRule)
_Index = Mapping[tuple[str, str], _Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """One version of the price list. Nothing on it ever changes: other prices are another version.

    `increment`, `minimum` (text only) and `cap` (any call; None is none) bound the price of one call;
    `default_max_output_tokens` stands for an unknown bound; `fallback` names the text model at whose rates an unlisted
    one is priced (empty: it is refused). What the card has no section for has no price.
    """

    version: str
    effective_from: Instant
    credits_per_usd: Decimal = Decimal(100)
    increment: Microcredits = _ONE_CREDIT
    minimum: Microcredits = _ONE_CREDIT
    cap: Microcredits | None = None
    default_max_output_tokens: int = 4096
    fallback: str = ""
    text: tuple[TextRule, ...] = ()
    images: tuple[ImageRule, ...] = ()
    tools: ToolRules | None = None
    actions: Mapping[str, ActionRule] = field(default_factory=dict)
    higher_cost_models: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    _text_index: _Index[TextRule] = field(init=False, repr=False, compare=False)
    _image_index: _Index[ImageRule] = field(init=False, repr=False, compare=False)
    _higher_cost: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the rules, so that a price is found without a search."""
        object.__setattr__(self, "_text_index", _index(self.text))
        object.__setattr__(self, "_image_index", _index(self.images))
        higher_cost = frozenset(self._canonical("", model) for model in self.higher_cost_models)
        object.__setattr__(self, "_higher_cost", higher_cost)

    def text_rule(self, provider: str, model: str) -> TextRule | None:
        """The rule of a language model, by the rules of this module; None if it has no price."""
        return _find(self._text_index, provider, model)

    def image_rule(self, provider: str, model: str) -> ImageRule | None:
        """The rule of an image model, by the rules of this module; None if it has no price."""
        return _find(self._image_index, provider, model)

    def is_higher_cost(self, provider: str, model: str) -> bool:
        """Whether the model, by any of its names, is one of the card's `higher_cost_models`."""
        return self._canonical(provider, model) in self._higher_cost

    def _canonical(self, provider: str, model: str) -> str:
        rule = self.text_rule(provider, model)
        return _SNAPSHOT_DATE.sub("", model) if rule is None else rule.model


_SNAPSHOT_DATE = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2})$")


def _index(rules: Sequence[_Rule]) -> _Index[_Rule]:
    """Each rule under (provider, name), and under ("", name) if no other rule has the name."""
    index = {(rule.provider, name): rule for rule in rules for name in rule.names}
    providers: dict[str, set[str]] = {}
    for provider, name in index:
        providers.setdefault(name, set()).add(provider)
    only = {("", name): index[min(of), name] for name, of in providers.items() if len(of) == 1}
    return only | index


def _find(index: _Index[_Rule], provider: str, model: str) -> _Rule | None:
    rule = _find_exactly(index, provider, model)
    if rule is None and (snapshot := _SNAPSHOT_DATE.search(model)):
        rule = _find_exactly(index, provider, model[: snapshot.start()])
    return rule


def _find_exactly(index: _Index[_Rule], provider: str, name: str) -> _Rule | None:
    rule = index.get((provider, name))
    if rule is None and provider:
        rule = index.get(("", name))
        return None if rule is None or rule.provider else rule
    return rule


# --- Reading the document ---------------------------------------------------------------------------------------------

_VERSION = re.compile(r"[!-~]{1,128}")
_STAND_INS = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
    "audio_input": "input",
    "audio_output": "output",
    "image_input": "input",
    "image_output": "output",
}


def parse_rate_card(text: str) -> RateCard:
    """Read a card from its TOML document.

    Raises:
        RateCardError: the document is not TOML, or not a usable card; with every problem, not just the first.
    """
    try:
        top = read_toml(text)
    except TomlSyntaxError as error:
        raise RateCardError((str(error),)) from None
    card = _card(top)
    _note_contradictions(top, card)
    if problems := top.problems():
        raise RateCardError(problems)
    return card


def _card(top: TomlTable) -> RateCard:
    """The card that the document describes; where it has problems, whatever keeps the reading going."""
    text, image, actions = top.table(TEXT), top.table(IMAGE), top.table("actions")
    card = RateCard(
        version=_version(top),
        effective_from=_effective_from(top),
        credits_per_usd=top.number("credits_per_usd", Decimal(100), positive=True),
        increment=top.amount("increment", _ONE_CREDIT, positive=True),
        minimum=text.amount("minimum", _ONE_CREDIT),
        cap=top.amount("cap", _ONE_CREDIT, positive=True) if top.has("cap") else None,
        default_max_output_tokens=text.whole("default_max_output_tokens", 4096, at_most=MAX_TOKENS),
        fallback=text.text("fallback", ""),
        text=_unique(text.tables("models"), _text_rule),
        images=_unique(image.tables("models"), _image_rule),
        tools=_tool_rules(top.table("tools")) if top.has("tools") else None,
        actions={action: _action_rule(actions.table(action)) for action in actions.given},
        higher_cost_models=frozenset(top.names("higher_cost_models")),
        free=frozenset(top.names("free")),
    )
    for table in (top, text, image):
        table.end()
    return card


def _note_contradictions(top: TomlTable, card: RateCard) -> None:
    """Note what each value allows, but not all of them together."""
    if card.fallback and card.text_rule("", card.fallback) is None:
        top.table(TEXT).note("fallback", f"must name one model of text.models, and {card.fallback!r} does not")
    if card.cap is not None and card.cap < card.minimum:
        top.note("cap", "must not be below the minimum")
    for action in sorted(card.actions.keys() & SECTION_ACTIONS):
        top.table("actions").note(action, "has a section of its own")
    for action in sorted(card.free & (card.actions.keys() | SECTION_ACTIONS)):
        top.note("free", f"must not list {action!r}, which is priced in a section of its own")


def _version(top: TomlTable) -> str:
    version = top.text("version")
    if version and not _VERSION.fullmatch(version):
        top.note("version", "must be 1 to 128 printable ASCII characters without spaces")
    return version


def _effective_from(top: TomlTable) -> Instant:
    moment = top.value("effective_from")
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return from_datetime(moment)
    wrong = "is missing" if moment is None else "must be a date and time with an offset, such as 2026-11-01T00:00:00Z"
    top.note("effective_from", wrong)
    return Instant(0)


def _unique(tables: Sequence[TomlTable], read: Callable[[TomlTable], _Rule]) -> tuple[_Rule, ...]:
    """The rules of these tables. Two that claim one name at one provider are a problem."""
    rules = tuple(read(table) for table in tables)
    lines: dict[tuple[str, str], int] = {}
    for table, rule in zip(tables, rules, strict=True):
        for name in filter(None, rule.names):
            key = rule.provider, name
            if key in lines:
                of_provider = f" of provider {rule.provider!r}" if rule.provider else ""
                table.note("model", f"{name!r}{of_provider} already has a rule, in line {lines[key]}")
            lines.setdefault(key, table.line("model"))
    return rules


def _text_rule(table: TomlTable) -> TextRule:
    rates = {"input": table.number("input"), "output": table.number("output")}
    for token_class, stand_in in _STAND_INS.items():
        rates[token_class] = table.number(token_class, rates[stand_in])
    rule = TextRule(
        model=table.text("model"),
        provider=table.text("provider", ""),
        also=table.names("also"),
        unit=table.choice("unit", PriceUnit.USD),
        rates=TextRates(**rates),
    )
    table.end()
    return rule


def _image_rule(table: TomlTable) -> ImageRule:
    variants = table.table("variants")
    if not table.has("credits") and not variants.given:
        table.note("credits", "is missing, and so are variants: there is no price")
    rule = ImageRule(
        model=table.text("model"),
        provider=table.text("provider", ""),
        also=table.names("also"),
        credits=table.number("credits") if table.has("credits") else None,
        variants={variant: variants.number(variant) for variant in variants.given},
    )
    table.end()
    return rule


def _tool_rules(table: TomlTable) -> ToolRules:
    by_name = {tool: table.number(tool) for tool in table.given if tool != "default"}
    return ToolRules(default=table.number("default", Decimal(1)), by_name=by_name)


def _action_rule(table: TomlTable) -> ActionRule:
    rule = ActionRule(standard=table.number("standard", Decimal(1)), higher_cost=table.number("higher_cost", Decimal(2)))
    table.end()
    return rule
