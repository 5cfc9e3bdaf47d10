"""Which rule a model has, by its provider and a name in any spelling.

1. The name as it is written, at the provider that the call or else the route names: the card's own rules, the same without the
   date of a snapshot, the name in the price list. So a name that is listed always has its own price: a rule for `gpt-4.1` does
   not price OpenRouter's `openai/gpt-4.1`.
2. The card's own rules by every other spelling (`model_names.spellings`), the most exact first.
3. The price list by its patterns and by every other spelling, the most exact first.

A rule that is named with a route (`azure/gpt-4o`) is one for the model behind it at the provider that the route names.

Before a variant (`:batch`) is left out, own rules and the list are asked for a model that is called so with it. Where the call
names no provider and the name says who sells the model (`openrouter/…`), step 1 does not ask the list, whose patterns would
find the maker's model in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from creditmeter.core.prices.model_names import (
    GATEWAYS,
    Address,
    Spellings,
    bare_name,
    behind_seller,
    dashed,
    names_its_seller,
    spellings,
    telling_words,
    undated,
)
from creditmeter.core.prices.price_list import Listed, PriceList
from creditmeter.core.prices.providers import route_provider

_OPEN_GATEWAY = "openrouter"
"""A provider of other makers' models at the makers' prices. What it does not list is priced at the maker."""

_BEDROCK = "aws"


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

    @property
    def address(self) -> str:
        """The model, behind its provider if the rule names one."""
        return f"{self.provider}/{self.model}" if self.provider else self.model


_Rule = TypeVar("_Rule", bound=ModelRule)


class OwnRules(Generic[_Rule]):
    """The rules that a card has itself, by their names: capitals or not, a dot or a dash."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        named = [(rule.provider, name.lower(), rule) for rule in rules for name in rule.names]
        routed = [(*address, rule) for provider, name, rule in named if (address := behind_seller(provider, name))]
        self._index = _with_routed(_indexed({(provider, name): rule for provider, name, rule in named}), routed)
        self._dashed = _with_routed(
            _indexed({(provider, dashed(name)): rule for provider, name, rule in reversed(named)}),
            [(provider, dashed(name), rule) for provider, name, rule in routed],
        )

    def as_written(self, provider: str, model: str) -> _Rule | None:
        """The rule of a name as it is written, or without the date of a snapshot."""
        if not self._index:
            return None
        name = model.lower()
        rule = _find(self._index, provider, name)
        if rule is None and (without_date := undated(name)) != name:
            rule = _find(self._index, provider, without_date)
        return rule

    def at_any(self, addresses: Iterable[Address]) -> _Rule | None:
        """The rule of the first address that has one."""
        if not self._index:
            return None
        found = (_find(self._index, *each) or _find(self._dashed, each.provider, dashed(each.model)) for each in addresses)
        return next((rule for rule in found if rule is not None), None)

    def rule(self, provider: str, model: str) -> _Rule | None:
        """The rule of a name in any spelling."""
        if (rule := self.as_written(provider, model)) is not None or not self._index:
            return rule
        found = spellings(provider, model)
        return self.at_any((*found.whole, *found.plain))


class ListedModels:
    """The models of a price list, by any spelling of their names."""

    def __init__(self, price_list: PriceList) -> None:
        self._list = price_list

    @cached_property
    def _by_name(self) -> Mapping[Address, Listed]:
        return {Address(each.provider, each.model.model.lower()): each for each in self._list.models()}

    @cached_property
    def _by_bare_name(self) -> Mapping[str, Listed]:
        """The models of Bedrock by what their makers call them, with the date or without, if only one is called so there."""
        called: dict[str, list[Listed]] = {}
        for each in self._list.models():
            if each.provider == _BEDROCK and not each.model.model.startswith("global."):
                name = bare_name(each.model.model)
                for short in {name, undated(name)}:
                    called.setdefault(short, []).append(each)
        return {name: models[0] for name, models in called.items() if len(models) == 1}

    @cached_property
    def _sellers_of_others(self) -> frozenset[str]:
        """The providers whose names of models begin with the maker: they have no others, whoever a route names."""
        return frozenset({each.provider for each in self._list.models() if "/" in each.model.model} - {_OPEN_GATEWAY})

    def as_written(self, provider: str, model: str) -> Listed | None:
        """The model of a name as it is written, unless that says by itself who sells the model and the call does not."""
        if provider in GATEWAYS and names_its_seller(model):
            return None
        return self._found(Address(route_provider(provider), model))

    def named(self, provider: str, model: str) -> Listed | None:
        """The model whose own name is the one that is written, at its provider."""
        found = self.as_written(provider, model)
        return found if found is not None and found.model.model.lower() == model.lower() else None

    def spellings(self, provider: str, model: str) -> Spellings:
        """The addresses to look at for a name that is not found as it is written."""
        return spellings(provider, model, sells_others=provider in self._sellers_of_others)

    def called(self, address: Address) -> Listed | None:
        """The model whose own name this is, to the letter."""
        return self._by_name.get(address)

    def at_any(self, addresses: Iterable[Address]) -> Listed | None:
        """The model of the first address that has one."""
        return next((found for each in addresses if (found := self._found(each)) is not None), None)

    def in_any_spelling(self, provider: str, model: str) -> Listed | None:
        """The model of a name in any spelling."""
        if (found := self.as_written(provider, model)) is not None:
            return found
        whole, plain = self.spellings(provider, model)
        called = (self.called(each) for each in whole)
        return next((each for each in called if each is not None), None) or self.at_any(plain)

    def _found(self, address: Address) -> Listed | None:
        """The model of a name, unless the list's pattern is so wide that it takes another model for it."""
        found = self._list.find(*address)
        if found is None:
            is_bare = address.provider == _BEDROCK and "/" not in address.model
            return self._by_bare_name.get(bare_name(address.model)) if is_bare else None
        return found if _is_meant(found, address.model.lower()) else None


def written(provider: str, model: str) -> tuple[Address, ...]:
    """A name as it is written, at the provider that the call names; if it names none, then at the one that the route names."""
    behind = behind_seller("", model) if provider in GATEWAYS else None
    given = Address(provider, model)
    return (given, behind) if behind is not None and behind.provider else (given,)


def _is_meant(listed: Listed, name: str) -> bool:
    """Whether the list knows each word of a name that tells models apart: by the model's own name or by its pattern."""
    told = telling_words(name) - telling_words(listed.model.model.lower())
    return not told or told <= frozenset().union(*map(telling_words, listed.model.match.texts(name)))


def _indexed(rules: Mapping[tuple[str, str], _Rule]) -> Mapping[tuple[str, str], _Rule]:
    """The rules by (provider, name), and by ("", name) if no other rule has the name."""
    providers: dict[str, set[str]] = {}
    for provider, name in rules:
        providers.setdefault(name, set()).add(provider)
    only = {("", name): rules[min(of), name] for name, of in providers.items() if len(of) == 1}
    return {**only, **rules}


def _with_routed(
    rules: Mapping[tuple[str, str], _Rule], routed: Iterable[tuple[str, str, _Rule]]
) -> Mapping[tuple[str, str], _Rule]:
    """The rules, and those that are named with a route by the name behind it. A rule of just that name counts before these."""
    return {**{(provider, name): rule for provider, name, rule in routed}, **rules}


def _find(rules: Mapping[tuple[str, str], _Rule], provider: str, name: str) -> _Rule | None:
    rule = rules.get((provider, name))
    if rule is None and provider:
        rule = rules.get(("", name))
        return None if rule is None or rule.provider else rule
    return rule
