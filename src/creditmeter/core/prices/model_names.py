"""The parts of a model's name: what gateways, resellers and makers write around and behind the name that a price is listed by.

| part | written by | example |
| --- | --- | --- |
| route | gateways, URLs of Vertex, Gemini and Azure, ARNs | `openrouter/anthropic/…`, `publishers/google/models/…` |
| region and maker | Bedrock | `us.anthropic.claude-…` |
| version | Bedrock | `…-v1:0` |
| date | makers, for a snapshot | `-20250929`, `@20250929`, `-2024-08-06` |
| variant | OpenRouter | `:thinking`, `:free`, `:nitro`, `:batch` |
| fine-tune | OpenAI, Azure | `ft:gpt-4o-2024-08-06:org::id`, `gpt-4o-2024-08-06.ft-id` |

Sources: https://docs.litellm.ai/docs/providers (routes),
https://openrouter.ai/docs/guides/routing/model-variants/overview (variants; those of its catalogue have prices of their own),
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html (regions, ARNs),
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models (Vertex).

A fine-tune is a model of its own, and so is what a word such as `fast` or `mini` tells apart: such a word is never left out.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from creditmeter.core.prices.providers import ROUTES, route_provider

GATEWAYS = frozenset({"", "litellm", "litellm_proxy"})
"""Providers that do not say who sells the model: none, and a gateway that writes it before the name."""

_MAX_ROUTE = 8
"""Most parts of a route that are left out."""

_YEAR, _MONTH, _DAY = r"20\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_SNAPSHOT_DATE = re.compile(rf"[-@_.](?:\d{{8}}|\d{{4}}([-_.])\d{{2}}\1\d{{2}}|{_MONTH}-{_YEAR}|{_YEAR}-{_MONTH})$")
_PREVIEW_DATE = re.compile(rf"(-(?:preview|exp))-{_MONTH}-{_DAY}$")
_LATEST = re.compile(r"(?:[-@]latest|@default|[-@]00\d)$")
_VARIANT = re.compile(r":(?:batch|beta|exacto|floor|free|nitro|online|thinking)$")
_FINE_TUNE = re.compile(r"^ft:([^:]+)|^(.+?)[.:]ft-")

_ARN = re.compile(r"^arn:aws[a-z-]*:bedrock:[^:/]*:\d*:(?:foundation-model|inference-profile)/")
_PUBLISHER = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/")
_NO_PROVIDER = re.compile(
    r"^(?:models|deployments|converse|invoke|responses|eu|us|global|global-standard|[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d)$"
)
_BEDROCK = re.compile(
    r"^(?:(apac|au|ca|eu|global|jp|regional|sa|us|us-gov)\.)?"
    r"(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|stability"
    r"|twelvelabs|writer|zai)\.(?=[a-z])(.+)$"
)
_BEDROCK_VERSION = re.compile(r"(?:-v\d+)?(?::\d+)?(?::\d+k)?$")

_MAKER = re.compile(r"^(?:[a-z-]+\.)?[a-z]+[0-9]*\.(?=[a-z])")
_BEHIND = re.compile(r"(?:-v\d+)?(?::[a-z0-9.]+)*$|@[a-z]+$")

TELLING_WORDS = frozenset(
    {
        *("audio", "distill", "embedding", "fast", "flash", "ft", "image", "lite", "live", "max", "mini", "nano", "pro"),
        *("realtime", "search", "transcribe", "tts", "ultra"),
    }
)
"""Words that tell models of one family apart: `claude-opus-4-6-fast` costs six times as much as `claude-opus-4-6`."""


class Address(NamedTuple):
    """A provider, which may be empty, and a name that a model may have there."""

    provider: str
    model: str


class Spellings(NamedTuple):
    """The addresses that a name stands for, the most exact first: `whole` with the variant that the name has, `plain` without
    it. A name without a variant has only plain ones.
    """

    whole: tuple[Address, ...]
    plain: tuple[Address, ...]


def spellings(provider: str, model: str, *, sells_others: bool = False) -> Spellings:
    """The addresses that a provider and a name, in any case, stand for.

    The route comes off first, then the region, the maker and the version, then the date: all at the provider that is named,
    then at each provider that the route names, from the left. One that sells models of others under their makers' names
    (`sells_others`) is the only one that counts.
    """
    name = model.lower().strip()
    plain = _VARIANT.sub("", name)
    at = list(_addresses(provider.lower().strip(), plain, sells_others=sells_others))
    whole = () if plain == name else tuple(Address(each.provider, each.model + name[len(plain) :]) for each in at)
    steps = [[Address(each.provider, form) for form in _forms(each.model)] for each in at]
    dated = dict.fromkeys(address for forms in steps for address in forms)
    undated_too = dict.fromkeys(Address(each.provider, bare) for each in dated for bare in _undated_forms(each.model))
    return Spellings(whole, tuple(dated | undated_too))


def names_its_seller(model: str) -> bool:
    """Whether a name by itself says who sells the model, by a route or a form of name that one provider has."""
    return any(seller for seller, _ in _routed(model.lower().strip()))


def behind_seller(provider: str, model: str) -> Address | None:
    """What a rule's name means without its route, at the provider that the route names; None if it has none, or if the rule is
    for another provider.
    """
    name = model.lower().strip()
    found = None
    for seller, rest in _routed(name):
        if seller:
            is_same = provider in ("", seller) and rest != name
            return Address(seller, rest) if is_same else None
        found = Address(provider, rest)
    return found


def without_route(model: str) -> str:
    """A name without its route, in lower case."""
    name = model.lower().strip()
    return [name, *(rest for _, rest in _routed(name))][-1]


def fine_tuned(model: str) -> str:
    """The model that a fine-tune was made from; empty if the name is not that of a fine-tune."""
    found = _FINE_TUNE.match(without_route(model))
    return (found[1] or found[2]) if found else ""


def telling_words(name: str) -> frozenset[str]:
    """The words of a name that tell it apart from others of its family. What a fine-tune's owner chose is none of its name."""
    if found := _FINE_TUNE.match(name):
        name = found[0]
    return TELLING_WORDS.intersection(re.split(r"[^a-z0-9]+", name))


def undated(name: str) -> str:
    """A name without the date of a snapshot: `gpt-4o` for `gpt-4o-2024-08-06`."""
    return _PREVIEW_DATE.sub(r"\1", _SNAPSHOT_DATE.sub("", name))


def dashed(name: str) -> str:
    """A name with a dash for each dot and @: `claude-opus-4.5` and `claude-opus-4-5` are one name then."""
    return name.replace(".", "-").replace("@", "-")


def bare_name(name: str) -> str:
    """A name without what resellers write around it, in lower case, with a dash for each dot and @. A date stays."""
    base = fine_tuned(name) or name
    plain = _BEHIND.sub("", base.lower().strip().rpartition("/")[2])
    return dashed(_MAKER.sub("", plain))


def _addresses(provider: str, name: str, *, sells_others: bool) -> Iterator[Address]:
    routed = list(_routed(name))
    rests = [name, *(rest for _, rest in routed)]
    if provider not in GATEWAYS:
        for named in dict.fromkeys((route_provider(provider), provider)):
            yield from (Address(named, rest) for rest in rests)
        if sells_others:
            return
    for position, (seller, _) in enumerate(routed, 1):
        if seller:
            yield from (Address(seller, rest) for rest in rests[position:])
    if provider in GATEWAYS and not any(seller for seller, _ in routed):
        yield from (Address("", rest) for rest in rests)


def _routed(name: str) -> Iterator[tuple[str, str]]:
    """Each part of the route, from the left: the provider that it names, or nothing, and the name behind it."""
    is_named = False
    for _ in range(_MAX_ROUTE):
        part = _first_part(name)
        if part is None:
            break
        seller, name = part
        is_named |= bool(seller)
        yield part
    if not is_named and _BEDROCK.match(name):
        yield "aws", name
    elif not is_named and name.startswith("ft:"):
        yield "openai", name


def _first_part(name: str) -> tuple[str, str] | None:
    """The provider that the first part of a route names, or nothing, and the name behind it; None if there is no route."""
    for pattern, seller in ((_ARN, "aws"), (_PUBLISHER, "google")):
        if found := pattern.match(name):
            return seller, name[found.end() :]
    first, slash, rest = name.partition("/")
    is_part = slash and (first in ROUTES or _NO_PROVIDER.match(first))
    return (ROUTES.get(first, ""), rest) if is_part else None


def _forms(name: str) -> Iterator[str]:
    """The name, then without region, maker and version as Bedrock writes them."""
    yield name
    found = _BEDROCK.match(name)
    if found is None:
        return
    region, maker, model = found.groups()
    of_maker = f"{maker}.{model}"
    by_region = () if region == "global" else (f"regional.{of_maker}",)
    shorter = (*by_region, of_maker, model)
    yield from shorter
    yield from (_BEDROCK_VERSION.sub("", each) for each in (name, *shorter))


def _undated_forms(name: str) -> Iterator[str]:
    """The name without a date, and without what says that it is the newest. Of a fine-tune: as one of all of its model."""
    if found := _FINE_TUNE.match(name):
        if found[1]:
            yield from (f"ft:{found[1]}", f"ft:{undated(found[1])}")
        return
    bare = undated(name)
    yield bare
    yield undated(_LATEST.sub("", bare))
