"""The rate card: the versioned price list that turns work and usage into credits.

A card is a TOML document; `default_rate_card.toml` beside this module is the one that ships and explains each section.
It is read once (`rate_card_document`) into frozen rules with their indexes. Pricing then finds a model's rule in a few
dictionary look-ups.

**How a model finds its rule.** A rule has a name (`model`), more names (`also`) and perhaps a `provider`. Names are compared
whole, in upper or lower case.

1. A call that names a provider finds the rule of that model at that provider, or else the rule of that model that names no
   provider.
2. A call that names no provider finds the only rule of that model, whatever its provider. If there are several, it finds none.
3. A model that has no rule is looked up once more without a trailing snapshot date: `gpt-4o-2024-08-06`,
   `claude-sonnet-4-5-20250929` and `claude-sonnet-4-5@20250929` find the rules of `gpt-4o` and `claude-sonnet-4-5`. A snapshot
   with a price of its own has a rule of its own, which is found first.
4. A model that still has no rule is looked up in the card's price list, if it has one. That is slow, so the result is
   remembered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.instants import Instant
from creditmeter.core.prices.model_names import bare_name, undated
from creditmeter.core.prices.near_names import NearNames
from creditmeter.core.prices.price_list import Listed, PriceList
from creditmeter.core.prices.rates import TextPrices

TEXT = "text"
IMAGE = "image"
TOOL = "tool"
SECTION_ACTIONS = frozenset({TEXT, IMAGE, TOOL})
"""The actions that have sections of their own; any other is priced under `actions` or listed as `free`."""

MAX_TOKENS = 10**9
"""The most tokens of a kind that one call may count."""

MAX_REMEMBERED = 10_000
"""Most names of models whose rules from a price list are remembered. When there are more, all are forgotten."""

ONE_CREDIT = Microcredits(MICROCREDITS_PER_CREDIT)
_WHOLE = Decimal(1)


class PriceUnit(Enum):
    """The unit of a text rule's rates."""

    USD = "usd"
    CREDITS = "credits"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRule:
    """The model that a rule is for, by its names, and its provider (empty: any)."""

    model: str
    provider: str = ""
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the model goes by, the rule's own first."""
        return (self.model, *self.also)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule(ModelRule):
    """What a language model costs: prices of the card's own, or those of its price list.

    `listed` is the model in that list. Its prices are in dollars, and are multiplied by `markup`.
    """

    unit: PriceUnit = PriceUnit.USD
    prices: TextPrices | None = None
    listed: Listed | None = None
    markup: Decimal = _WHOLE

    def prices_at(self, at: Instant) -> TextPrices:
        """What its calls cost at a moment."""
        if self.listed is not None:
            return self.listed.model.prices_at(at)
        assert self.prices is not None, "a rule has prices, or names a model that has"
        return self.prices

    def variant_at(self, kind: str, name: str, at: Instant) -> TextPrices | None:
        """What its calls that were served in this way cost at a moment, by the price list; None if that does not know."""
        return self.listed.model.variant_at(kind, name, at) if self.listed is not None else None

    @property
    def at_provider(self) -> str:
        """The provider whose model it is; empty if the rule is for any provider."""
        return self.provider or (self.listed.provider if self.listed is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRule(ModelRule):
    """What an image of a model costs, in credits: the price of its variant, or else `credits`.

    If `credits` is None, only the variants have a price.
    """

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
    """One version of what calls cost. Nothing on it ever changes: other prices are another version.

    What the card has no section for has no price.

    * `version` is the document's and, behind a `+`, `data_version`: the version of the price list that the card uses, if any.
    * `increment`, `minimum` (text only) and `cap` (any call; None: there is none) bound the price of one call, in microcredits.
    * `default_max_output_tokens` is the bound of work that names none.
    * `fallback` is the text model whose rates apply to a model that has no price (empty: such a model is refused).
    * `price_list` has the prices, times `markup`, of text models that no rule names.
    * `tiers` are factors of the rates of tokens for calls that were served in some way whose price the list does not have, by
      provider (empty: any), field of `Served` and its value.
    * `fees` are the dollars for a thousand units, by provider (empty: any), model (empty: any) and unit.
    * `names_by_action` keeps the index of names for each action that a suggestion was made for.
    """

    version: str
    effective_from: Instant
    data_version: str = ""
    credits_per_usd: Decimal = Decimal(100)
    increment: Microcredits = ONE_CREDIT
    minimum: Microcredits = ONE_CREDIT
    cap: Microcredits | None = None
    default_max_output_tokens: int = 4096
    fallback: str = ""
    text: tuple[TextRule, ...] = ()
    price_list: PriceList | None = None
    markup: Decimal = _WHOLE
    images: tuple[ImageRule, ...] = ()
    tools: ToolRules | None = None
    actions: Mapping[str, ActionRule] = field(default_factory=dict)
    higher_cost_models: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    tiers: Mapping[tuple[str, str, str], Decimal] = field(default_factory=dict)
    fees: Mapping[tuple[str, str, str], Decimal] = field(default_factory=dict)
    _text_index: _Index[TextRule] = field(init=False, repr=False, compare=False)
    _image_index: _Index[ImageRule] = field(init=False, repr=False, compare=False)
    _higher_cost: frozenset[str] = field(init=False, repr=False, compare=False)
    _from_list: dict[tuple[str, str], TextRule | None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _is_higher_cost: dict[tuple[str, str], bool] = field(init=False, repr=False, compare=False, default_factory=dict)
    names_by_action: dict[str, NearNames] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Index the rules, so that a price is found without a search."""
        object.__setattr__(self, "_text_index", _index(self.text))
        object.__setattr__(self, "_image_index", _index(self.images))
        higher_cost = frozenset().union(*(self._names("", model) for model in self.higher_cost_models))
        object.__setattr__(self, "_higher_cost", higher_cost)

    @property
    def document_version(self) -> str:
        """The version as the document states it."""
        return self.version.removesuffix(f"+{self.data_version}") if self.data_version else self.version

    def text_rule(self, provider: str, model: str) -> TextRule | None:
        """The rule of a language model, found as this module's docstring says; None if the model has no price."""
        rule = self.own_text_rule(provider, model)
        return rule if rule is not None or self.price_list is None else self._listed_rule(self.price_list, provider, model)

    def own_text_rule(self, provider: str, model: str) -> TextRule | None:
        """The rule of a language model among the card's own rules; None if they have none."""
        return _find(self._text_index, provider, model)

    def _listed_rule(self, price_list: PriceList, provider: str, model: str) -> TextRule | None:
        """The rule that the price list makes for a model, from memory if it was asked for before."""
        key = provider, model
        if key not in self._from_list:
            if len(self._from_list) >= MAX_REMEMBERED:
                self._from_list.clear()
            self._from_list[key] = rule_from(price_list.find(provider, model), self.markup)
        return self._from_list[key]

    def tier_factor(self, provider: str, kind: str, name: str) -> Decimal | None:
        """The factor for calls that were served in some way (`kind` and `name` as in `tiers`); None if the card has none."""
        own = self.tiers.get((provider, kind, name))
        return own if own is not None else self.tiers.get(("", kind, name))

    def image_rule(self, provider: str, model: str) -> ImageRule | None:
        """The rule of an image model, found as this module's docstring says; None if the model has no price."""
        return _find(self._image_index, provider, model)

    def is_higher_cost(self, provider: str, model: str) -> bool:
        """Whether the model, by any of its names and whoever sells it, is one of the card's `higher_cost_models`."""
        if not self._higher_cost or not model:
            return False
        key = provider, model
        if key not in self._is_higher_cost:
            if len(self._is_higher_cost) >= MAX_REMEMBERED:
                self._is_higher_cost.clear()
            self._is_higher_cost[key] = not self._higher_cost.isdisjoint(self._names(provider, model))
        return self._is_higher_cost[key]

    def _names(self, provider: str, model: str) -> frozenset[str]:
        """The bare names of a model: the one given, and those of its rules, at the provider given and at any."""
        name = bare_name(model)
        rules = self.text_rule(provider, model), self.text_rule("", model), self.text_rule("", name)
        found = {bare_name(rule.model) for rule in rules if rule is not None}
        return frozenset({name, *(found or {undated(name)})})


def rule_from(listed: Listed | None, markup: Decimal) -> TextRule | None:
    """The rule of a model of a price list; None if `listed` is None."""
    if listed is None:
        return None
    return TextRule(provider=listed.provider, model=listed.model.model, listed=listed, markup=markup)


def _index(rules: Sequence[_Rule]) -> _Index[_Rule]:
    """Each rule by (provider, name), and by ("", name) if no other rule has the name."""
    index = {(rule.provider, name.lower()): rule for rule in rules for name in rule.names}
    providers: dict[str, set[str]] = {}
    for provider, name in index:
        providers.setdefault(name, set()).add(provider)
    only = {("", name): index[min(of), name] for name, of in providers.items() if len(of) == 1}
    return only | index


def _find(index: _Index[_Rule], provider: str, model: str) -> _Rule | None:
    if not index:
        return None
    name = model.lower()
    rule = _find_exactly(index, provider, name)
    if rule is None and (without_date := undated(name)) != name:
        rule = _find_exactly(index, provider, without_date)
    return rule


def _find_exactly(index: _Index[_Rule], provider: str, name: str) -> _Rule | None:
    rule = index.get((provider, name))
    if rule is None and provider:
        rule = index.get(("", name))
        return None if rule is None or rule.provider else rule
    return rule
