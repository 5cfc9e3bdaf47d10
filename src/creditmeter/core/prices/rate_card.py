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
4. A model that still has no rule is looked up in the card's price list, if it has one.
5. A name that is not found so is taken apart (`resolving`): route, region, maker, version, date and variant come off.

That may be slow, so the result is remembered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from creditmeter.core.amounts import MICROCREDITS_PER_CREDIT, Microcredits
from creditmeter.core.credit.cost_lines import Origin, PriceSource
from creditmeter.core.instants import Instant
from creditmeter.core.prices.model_names import bare_name, behind_seller, undated
from creditmeter.core.prices.near_names import NearNames
from creditmeter.core.prices.price_list import Listed, PriceList
from creditmeter.core.prices.rates import TextPrices
from creditmeter.core.prices.resolving import ListedModels, ModelRule, OwnRules, written

TEXT = "text"
IMAGE = "image"
TOOL = "tool"
SECTION_ACTIONS = frozenset({TEXT, IMAGE, TOOL})
"""The actions that have sections of their own; any other is priced under `actions` or listed as `free`."""

MAX_TOKENS = 10**9
"""The most tokens of a kind that one call may count."""

MAX_REMEMBERED = 10_000
"""Most names of models whose rules are remembered. When there are more, all are forgotten."""

ONE_CREDIT = Microcredits(MICROCREDITS_PER_CREDIT)
_WHOLE = Decimal(1)


class PriceUnit(Enum):
    """The unit of a text rule's rates."""

    USD = "usd"
    CREDITS = "credits"


class CostBasis(Enum):
    """What a text rule charges for a call: its list price, the cost that its provider or gateway reports, or the higher one."""

    LIST = "list"
    REPORTED = "reported"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule(ModelRule):
    """What a language model costs: prices of the card's own, or those of its price list.

    `listed` is the model in that list. Its prices are in dollars, and are multiplied by `markup`. A cost that is reported is
    multiplied by `reported_markup`: of a rule with prices of its own these two may differ.
    """

    unit: PriceUnit = PriceUnit.USD
    prices: TextPrices | None = None
    listed: Listed | None = None
    markup: Decimal = _WHOLE
    basis: CostBasis = CostBasis.LIST
    reported_markup: Decimal = _WHOLE

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
        """The provider whose model it is, also if only the route in its name says so; empty if the rule is for any provider."""
        if self.provider:
            return self.provider
        if self.listed is not None:
            return self.listed.provider
        behind = behind_seller("", self.model)
        return "" if behind is None else behind.provider


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


_Found = TypeVar("_Found")
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """One version of what calls cost. Nothing on it ever changes: other prices are another version.

    What the card has no section for has no price.

    * `version` is the document's and, behind a `+`, `data_version`: the version of the price list that the card uses, if any.
    * `increment`, `minimum` (text only) and `cap` (any call; None: there is none) bound the price of one call, in microcredits.
    * `default_max_output_tokens` is the bound of work that names none.
    * `fallback` is the text model whose rates apply to a model that has no price (empty: such a model is refused).
    * `price_list` has the prices, times `markup`, of text models that no rule names. `basis` is what these are charged by.
    * `tiers` are factors of the rates of tokens for calls that were served in some way whose price the list does not have, by
      provider (empty: any), field of `Served` and its value.
    * `fees` are the dollars for a thousand units, by provider (empty: any), model (empty: any) and unit.
    * `may_charge_reported` says whether any rule, or `basis`, charges by a cost that is reported.
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
    basis: CostBasis = CostBasis.LIST
    images: tuple[ImageRule, ...] = ()
    tools: ToolRules | None = None
    actions: Mapping[str, ActionRule] = field(default_factory=dict)
    higher_cost_models: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    tiers: Mapping[tuple[str, str, str], Decimal] = field(default_factory=dict)
    fees: Mapping[tuple[str, str, str], Decimal] = field(default_factory=dict)
    may_charge_reported: bool = field(init=False, repr=False, compare=False)
    _own_text: OwnRules[TextRule] = field(init=False, repr=False, compare=False)
    _own_images: OwnRules[ImageRule] = field(init=False, repr=False, compare=False)
    _listed: ListedModels | None = field(init=False, repr=False, compare=False)
    _higher_cost: frozenset[str] = field(init=False, repr=False, compare=False)
    _text_rules: dict[_Key, TextRule | None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _image_rules: dict[_Key, ImageRule | None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _is_higher_cost: dict[_Key, bool] = field(init=False, repr=False, compare=False, default_factory=dict)
    names_by_action: dict[str, NearNames] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Index the rules, so that a price is found without a search."""
        bases = {self.basis, *(rule.basis for rule in self.text)}
        object.__setattr__(self, "may_charge_reported", bases != {CostBasis.LIST})
        object.__setattr__(self, "_own_text", OwnRules(self.text))
        object.__setattr__(self, "_own_images", OwnRules(self.images))
        object.__setattr__(self, "_listed", None if self.price_list is None else ListedModels(self.price_list))
        higher_cost = frozenset().union(*(self._names("", model) for model in self.higher_cost_models))
        object.__setattr__(self, "_higher_cost", higher_cost)

    @property
    def document_version(self) -> str:
        """The version as the document states it."""
        return self.version.removesuffix(f"+{self.data_version}") if self.data_version else self.version

    def text_rule(self, provider: str, model: str) -> TextRule | None:
        """The rule of a language model, found as this module's docstring says; None if the model has no price."""
        return _remembered(self._text_rules, (provider, model), self._find_text_rule)

    def own_text_rule(self, provider: str, model: str) -> TextRule | None:
        """The rule that the card's own rules have for a language model by its name as it is written; None if they have none."""
        return self._own_text.as_written(provider, model)

    def _find_text_rule(self, provider: str, model: str) -> TextRule | None:
        own, listed = self._own_text, self._listed
        if listed is None:
            return own.rule(provider, model)
        for address in written(provider, model):
            rule = own.as_written(*address) or self.listed_rule(listed.named(*address))
            if rule is not None:
                return rule
        whole, plain = listed.spellings(provider, model)
        for address in whole:
            rule = own.at_any((address,)) or self.listed_rule(listed.called(address))
            if rule is not None:
                return rule
        return own.at_any(plain) or self.listed_rule(listed.as_written(provider, model) or listed.at_any(plain))

    def listed_rule(self, listed: Listed | None) -> TextRule | None:
        """The rule of a model of the card's price list that no rule names; None if `listed` is None."""
        return rule_from(listed, self.markup, self.basis)

    def tier_factor(self, provider: str, kind: str, name: str) -> Decimal | None:
        """The factor for calls that were served in some way (`kind` and `name` as in `tiers`); None if the card has none."""
        own = self.tiers.get((provider, kind, name))
        return own if own is not None else self.tiers.get(("", kind, name))

    def image_rule(self, provider: str, model: str) -> ImageRule | None:
        """The rule of an image model, found as this module's docstring says; None if the model has no price."""
        return _remembered(self._image_rules, (provider, model), self._own_images.rule)

    def is_higher_cost(self, provider: str, model: str) -> bool:
        """Whether the model, by any of its names and whoever sells it, is one of the card's `higher_cost_models`."""
        if not self._higher_cost or not model:
            return False
        return _remembered(self._is_higher_cost, (provider, model), self._has_higher_cost)

    def _has_higher_cost(self, provider: str, model: str) -> bool:
        return not self._higher_cost.isdisjoint(self._names(provider, model))

    def _names(self, provider: str, model: str) -> frozenset[str]:
        """The bare names of a model: the one given, and those of its rules, at the provider given and at any."""
        name = bare_name(model)
        rules = self.text_rule(provider, model), self.text_rule("", model), self.text_rule("", name)
        found = {bare_name(rule.model) for rule in rules if rule is not None}
        return frozenset({name, *(found or {undated(name)})})


def rule_from(listed: Listed | None, markup: Decimal, basis: CostBasis = CostBasis.LIST) -> TextRule | None:
    """The rule of a model of a price list; None if `listed` is None."""
    if listed is None:
        return None
    return TextRule(
        provider=listed.provider,
        model=listed.model.model,
        listed=listed,
        markup=markup,
        basis=basis,
        reported_markup=markup,
    )


def rule_origin(rule: TextRule) -> Origin:
    """Where the prices of a rule are from."""
    if rule.listed is None:
        return Origin(PriceSource.CARD, rule.address)
    return Origin(PriceSource.PRICE_LIST, f"{rule.listed.provider}/{rule.listed.model.model}")


def _remembered(memory: dict[_Key, _Found], key: _Key, find: Callable[[str, str], _Found]) -> _Found:
    """What was found for a provider and a model, from memory if it was asked for before."""
    try:
        return memory[key]
    except KeyError:
        if len(memory) >= MAX_REMEMBERED:
            memory.clear()
        found = memory[key] = find(*key)
        return found
