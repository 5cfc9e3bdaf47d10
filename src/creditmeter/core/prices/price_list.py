"""A price list: what providers charge for language models, and which names mean which model.

`catalog` compiles what the genai-prices package knows into these values, so nothing here depends on the package or its version.
A rate card that was published with a list keeps that list, whatever is installed later. Rates are the package's to the last
digit. Names are matched as the package matches them, with one difference: a model is found by its own name in upper or lower
case.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum

from creditmeter.core.instants import DAY, Instant
from creditmeter.core.prices.rates import TextPrices

_ANY_PROVIDER = "litellm"
"""A gateway to other providers, which it names before the model: `openai/gpt-4o`."""


class Operator(Enum):
    """How a clause compares its text with a name; ANY and ALL combine other clauses."""

    EQUALS = "equals"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    CONTAINS = "contains"
    REGEX = "regex"
    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition on a name. Names and texts are in lower case, but for the text of a REGEX."""

    operator: Operator
    text: str = ""
    clauses: tuple["Clause", ...] = ()

    def matches(self, name: str) -> bool:
        """Whether the name, in lower case, meets the condition."""
        match self.operator:
            case Operator.EQUALS:
                return name == self.text
            case Operator.STARTS_WITH:
                return name.startswith(self.text)
            case Operator.ENDS_WITH:
                return name.endswith(self.text)
            case Operator.CONTAINS:
                return self.text in name
            case Operator.REGEX:
                return re.search(self.text, name) is not None
            case Operator.ANY:
                return any(clause.matches(name) for clause in self.clauses)
            case Operator.ALL:
                return all(clause.matches(name) for clause in self.clauses)

    def texts(self, name: str) -> Iterator[str]:
        """The texts of the conditions that the name, in lower case, meets."""
        if self.clauses:
            for clause in self.clauses:
                yield from clause.texts(name)
        elif self.matches(name):
            yield self.text


@dataclass(frozen=True, slots=True)
class Conditional:
    """Prices that apply for some of the time: from a moment on, or within some hours of each day.

    `daily` is their beginning (inclusive) and end (exclusive) in microseconds since midnight in UTC. The end may be below the
    beginning: then they run over midnight. Where both are given, both must hold.
    """

    prices: TextPrices
    from_instant: Instant | None = None
    daily: tuple[int, int] | None = None

    def is_active(self, at: Instant) -> bool:
        """Whether these prices may apply at a moment."""
        if self.from_instant is not None and at < self.from_instant:
            return False
        if self.daily is None:
            return True
        begin, end = self.daily
        now = at % DAY
        return begin <= now < end if begin <= end else now >= begin or now < end


@dataclass(frozen=True, slots=True)
class Variant:
    """All prices of calls that were served in one way: `kind` is the field of `Served` that says so, `name` its value.

    The last of them that is active applies. If none is, the list does not know what such a call costs.
    """

    kind: str
    name: str
    prices: tuple[Conditional, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a provider. The last of its prices that is active applies, or the first if none is. It may have no prices.

    `variants` have other prices for calls that were not served in the standard way.
    """

    model: str
    match: Clause
    prices: tuple[Conditional, ...]
    variants: tuple[Variant, ...] = ()

    def prices_at(self, at: Instant) -> TextPrices:
        """What its calls cost at a moment."""
        active = (each for each in reversed(self.prices) if each.is_active(at))
        return next(active, self.prices[0]).prices

    @property
    def dearest(self) -> Iterable[Decimal]:
        """The highest of its prices, at any moment and however a call was served (`TextPrices.dearest`)."""
        every = (self.prices, *(variant.prices for variant in self.variants))
        return (price for prices in every for each in prices for price in each.prices.dearest)

    def variant_at(self, kind: str, name: str, at: Instant) -> TextPrices | None:
        """What its calls that were served in this way cost at a moment; None if the list does not know."""
        variant = next((each for each in self.variants if each.kind == kind and each.name == name), None)
        active = (each for each in reversed(variant.prices) if each.is_active(at)) if variant is not None else iter(())
        found = next(active, None)
        return None if found is None else found.prices


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, the names it goes by, and its models.

    `matches_provider` recognises other names of the provider, `matches_model` the names of its models. A model that the
    provider does not have is looked up at the providers that it resells.
    """

    provider: str
    models: tuple[Model, ...]
    matches_provider: Clause | None = None
    matches_model: Clause | None = None
    resells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A model that was found, and its provider."""

    provider: str
    model: Model


@dataclass(frozen=True, slots=True)
class PriceList:
    """The price list. `version` names the package and its release, for example `genai-prices.0.2.3`."""

    version: str
    providers: tuple[Provider, ...]

    def find(self, provider: str, model: str) -> Listed | None:
        """The model of a call, at the provider that it names; if it names none, at the provider whose models have such names.

        None if it is not listed, or has no price that calls of text could be charged by.
        """
        owner, name = self._addressed(provider.lower().strip(), model.lower())
        at = self._provider(owner, name)
        if at is None:
            return None
        found = self._model(at, name)
        if found is None and (dashed := _with_dashed_date(name)) != name:
            found = self._model(at, dashed)
        return Listed(at.provider, found) if found is not None and found.prices else None

    def models(self) -> Iterable[Listed]:
        """Every model that has a price."""
        return (Listed(each.provider, model) for each in self.providers for model in each.models if model.prices)

    def _addressed(self, provider: str, model: str) -> tuple[str, str]:
        """The provider and the model that a call means. A gateway's name of a model may begin with the provider."""
        if provider != _ANY_PROVIDER:
            return provider, model
        before, slash, rest = model.partition("/")
        return (before, rest) if slash and before and self._named(before) else ("", model)

    def _provider(self, name: str, model: str) -> Provider | None:
        if name:
            return self._named(name)
        return next((each for each in self.providers if each.matches_model and each.matches_model.matches(model)), None)

    def _named(self, name: str) -> Provider | None:
        named = (each for each in self.providers if each.provider == name)
        matching = (each for each in self.providers if each.matches_provider and each.matches_provider.matches(name))
        return next(named, None) or next(matching, None)

    def _model(self, at: Provider, name: str) -> Model | None:
        for provider in (at, *self._resold_by(at)):
            named = (each for each in provider.models if each.model.lower() == name)
            matching = (each for each in provider.models if each.match.matches(name))
            found = next(named, None) or next(matching, None)
            if found is not None:
                return found
        return None

    def _resold_by(self, at: Provider) -> Iterable[Provider]:
        by_name = {each.provider: each for each in self.providers}
        return (by_name[name] for name in at.resells if name in by_name)


_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _with_dashed_date(name: str) -> str:
    """A name with a date such as -20251211 written as -2025-12-11."""

    def dashed(found: re.Match[str]) -> str:
        try:
            return f"-{date(*map(int, found.groups()))}"
        except ValueError:
            return found[0]

    return _COMPACT_DATE.sub(dashed, name)
