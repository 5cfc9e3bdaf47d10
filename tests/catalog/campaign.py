"""Compares the price list with the package that it was compiled from: `python -m tests.catalog.campaign --usages 1000`.

Every model that the package knows is priced for random usages at random moments, half of them at the edges of what its prices
depend on: the length at which a long input begins, the moment at which other prices begin or end. Half of the calls of a model
that has other prices for them were served at another tier or the like, and some have counts of searches. The cost must be the
package's to the last digit. And names, as callers may write them, must mean the same model to both.
"""

import argparse
import random
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from genai_prices import Usage as KnownUsage
from genai_prices import types
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.credit.charges import Cost
from creditmeter.core.instants import Instant, from_datetime
from creditmeter.core.prices.price_list import Listed, Model, PriceList
from creditmeter.core.prices.rate_card import RateCard, rule_from
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.values import replace
from creditmeter.core.work import Served, Usage

OUR_NAMES: Mapping[str, str] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
    "cache_write_1h_tokens": "cache_creation_1h_input_tokens",
    "output_reasoning_tokens": "reasoning_output_tokens",
    "input_audio_tokens": "audio_input_tokens",
    "output_audio_tokens": "audio_output_tokens",
    "input_image_tokens": "image_input_tokens",
    "output_image_tokens": "image_output_tokens",
}
"""The package's names of the counts, and ours."""

OUR_UNITS: Mapping[str, str] = {
    "cache_audio_read_tokens": "cached_audio_input_tokens",
    "cache_image_read_tokens": "cached_image_input_tokens",
    "input_video_tokens": "video_input_tokens",
    "output_video_tokens": "video_output_tokens",
    "output_citation_tokens": "citation_tokens",
    "web_searches": "web_searches",
    "storage_searches": "storage_searches",
    "code_executions": "code_executions",
}
"""The same of the counts that are among the units of a usage."""

OUR_CONDITIONS: Mapping[str, str] = {
    "service_tier": "service_tier",
    "processing": "service_tier",
    "speed": "speed",
    "route": "region",
    "search_type": "search_type",
}
"""The package's names of what served a call, and ours."""

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
LAST_DAY = datetime(2028, 1, 1, tzinfo=UTC)
MOST_TOKENS = 2_000_000
NAMES = 20
"""Names that are tried for each model, unless told."""

_PROGRESS_SECONDS = 10.0
_DASHED_DATE = re.compile(r"(20\d\d)-(\d\d)-(\d\d)")
_MICROSECOND = timedelta(microseconds=1)
_PARTS = {
    "input_tokens": (
        "cache_read_tokens",
        "cache_write_tokens",
        "input_audio_tokens",
        "input_image_tokens",
        "input_video_tokens",
    ),
    "output_tokens": ("output_reasoning_tokens", "output_audio_tokens", "output_image_tokens", "output_video_tokens"),
}
_CACHED = {"cache_audio_read_tokens": "input_audio_tokens", "cache_image_read_tokens": "input_image_tokens"}
_FEES = ("web_searches", "storage_searches", "code_executions")


@dataclass(frozen=True)
class Known:
    """A model of the package, and what it was compiled into."""

    provider: types.Provider
    model: types.ModelInfo
    compiled: Model

    @property
    def prices(self) -> list[types.ConditionalPrice]:
        """Its prices with their conditions."""
        prices = self.model.prices
        return prices if isinstance(prices, list) else [types.ConditionalPrice(prices=prices)]

    @property
    def keys(self) -> set[str]:
        """What it has a price for, as the package names its prices."""
        return {key for each in self.prices for key, price in vars(each.prices).items() if price is not None}

    @property
    def is_priced(self) -> bool:
        """Whether it has a price for tokens of some kind, or for calls."""
        return any(key.endswith("_mtok") for key in self.keys) or "requests_kcount" in self.keys

    @property
    def ways(self) -> list[dict[str, str]]:
        """What may serve its calls, as the package names it, once each."""
        return [dict(each) for each in dict.fromkeys(tuple(one.when.items()) for one in self.model.price_variants or ())]

    def __str__(self) -> str:
        return f"{self.provider.id} {self.model.id}"


@dataclass(frozen=True)
class Compared:
    """What came of comparing a model. The package refuses to price some usages; those say nothing."""

    known: Known
    usages: int
    refused: int
    differences: tuple[str, ...]


def known_models(price_list: PriceList) -> Iterator[Known]:
    """Every model that the package knows."""
    for provider, compiled in zip(providers, price_list.providers, strict=True):
        for model, compiled_model in zip(provider.models, compiled.models, strict=True):
            yield Known(provider, model, compiled_model)


# --- Prices -----------------------------------------------------------------------------------------------------------


def compare_prices(price_list: PriceList, usages: int, seed: int = 1) -> Iterator[Compared]:
    """Compare so many usages of each model that has a price."""
    for known in known_models(price_list):
        if known.is_priced:
            yield _compare(known, usages, random.Random(f"{seed} {known}"))  # noqa: S311 - the same usages each time


def _compare(known: Known, usages: int, draw: random.Random) -> Compared:
    listed = Listed(known.provider.id, known.compiled)
    rule = rule_from(listed, None, Decimal(1)) if known.compiled.prices else None
    card = RateCard(version="v", effective_from=Instant(0), text=(rule,) if rule is not None else ())
    model_of_card = Usage("text", known.provider.id, known.compiled.model)
    refused, differences = 0, []
    for _ in range(usages):
        counts, at, way = _counts(known, draw), _moment(known, draw), draw.choice([{}, draw.choice(known.ways or [{}])])
        try:
            theirs = known.model.calc_price(
                KnownUsage(**counts), known.provider, genai_request_timestamp=at, price_context=way
            ).total_price
        except ValueError:
            refused += 1
            continue
        ours = price_usage(card, replace(model_of_card, **_by_our_names(counts), served=served(way)), from_datetime(at))
        if not isinstance(ours, Cost) or ours.usd != theirs:
            differences.append(f"{known}: {counts} {way or ''} at {at} costs ${theirs} and not {ours}")
    return Compared(known, usages - refused, refused, tuple(differences))


def served(way: Mapping[str, str]) -> Served:
    """What served a call, by our names."""
    return Served(**{OUR_CONDITIONS[name]: value for name, value in way.items()})


def _by_our_names(counts: Mapping[str, int]) -> dict[str, Any]:
    ours: dict[str, Any] = {OUR_NAMES[name]: count for name, count in counts.items() if name in OUR_NAMES}
    ours["output_tokens"] -= counts.get("output_citation_tokens", 0)
    return ours | {"units": {OUR_UNITS[name]: count for name, count in counts.items() if name in OUR_UNITS}}


def _counts(known: Known, draw: random.Random) -> dict[str, int]:
    """A usage: tokens, those of rare classes, and what has fees beside them."""
    counts = _tokens(known, draw)
    left = counts.get("cache_read_tokens", 0)
    for cached, kind in _CACHED.items():
        if cached.replace("_tokens", "_mtok") in known.keys and kind in counts and "cache_read_tokens" in counts:
            counts[cached] = draw.randint(0, min(left, counts[kind]))
            left -= counts[cached]
    if "output_citation_mtok" in known.keys:
        counts["output_citation_tokens"] = draw.randrange(50_000)
        counts["output_tokens"] += counts["output_citation_tokens"]
    return counts | {name: draw.randrange(20) for name in _FEES if draw.random() < 0.3}


def _tokens(known: Known, draw: random.Random) -> dict[str, int]:
    """A usage: totals, and some of their parts, which are no more than their total together."""
    counts = {"input_tokens": _input_tokens(known, draw), "output_tokens": draw.choice((0, draw.randrange(100_000)))}
    for total, parts in _PARTS.items():
        left = counts[total]
        for part in draw.sample(parts, draw.randrange(len(parts) + 1)):
            counts[part] = draw.randint(0, left)
            left -= counts[part]
    if counts.get("cache_write_tokens") and draw.random() < 0.5:
        counts["cache_write_1h_tokens"] = draw.randint(0, counts["cache_write_tokens"])
    return counts


def _input_tokens(known: Known, draw: random.Random) -> int:
    prices = (price for each in known.prices for price in vars(each.prices).values())
    edges = sorted({tier.start for price in prices if isinstance(price, types.TieredPrices) for tier in price.tiers})
    if edges and draw.random() < 0.5:
        return draw.choice(edges) + draw.choice((-1, 0, 1))
    return draw.choice((0, draw.randrange(3_000), draw.randrange(MOST_TOKENS)))


def _moment(known: Known, draw: random.Random) -> datetime:
    some = FIRST_DAY + timedelta(microseconds=draw.randrange((LAST_DAY - FIRST_DAY) // _MICROSECOND))
    constraints = [each.constraint for each in (*known.prices, *(known.model.price_variants or ()))]
    edges = [edge for each in constraints for edge in edges_of(each, some.date())]
    return draw.choice(edges) + draw.choice((-1, 0, 1)) * _MICROSECOND if edges and draw.random() < 0.5 else some


def edges_of(constraint: types.StartDateConstraint | types.TimeOfDateConstraint | None, day: date) -> Iterator[datetime]:
    """The moments, on a day if they come every day, at which a condition begins or ends to hold."""
    match constraint:
        case types.StartDateConstraint(start_date):
            yield datetime.combine(start_date, datetime.min.time(), UTC)
        case types.TimeOfDateConstraint(start_time, end_time):
            for each in (start_time, end_time):
                yield datetime.combine(day, each, each.tzinfo or UTC).astimezone(UTC)


# --- Names ------------------------------------------------------------------------------------------------------------


def compare_names(price_list: PriceList, names: int, seed: int = 1) -> Iterator[Compared]:
    """Compare what so many names for each model mean, priced or not; a `usage` is a name here."""
    snapshot = DataSnapshot(providers=providers, from_auto_update=False)
    known_by_model = {id(known.model): known for known in known_models(price_list)}
    for known in known_by_model.values():
        draw = random.Random(f"{seed} {known}")  # noqa: S311 - the same names each time
        differences = []
        for provider, name in islice(_names(known, draw), names):
            theirs = _found(snapshot, known_by_model, provider, name)
            ours = price_list.find(provider, name)
            if theirs is None and ours is not None and _is_own_name(name, ours):
                continue
            if ours != theirs or (ours and theirs and ours.model is not theirs.model):
                differences.append(f"{name!r} of {provider!r} is {_told(theirs)} and not {_told(ours)}")
        yield Compared(known, names, 0, tuple(differences))


def _found(snapshot: DataSnapshot, known_by_model: Mapping[int, Known], provider: str, name: str) -> Listed | None:
    """What the package finds, if it has a price."""
    try:
        at, model = snapshot.find_provider_model(name, None, provider or None, None)
    except LookupError:
        return None
    known = known_by_model[id(model)]
    return Listed(at.id, known.compiled) if known.is_priced else None


def _is_own_name(name: str, listed: Listed) -> bool:
    """Whether a model goes by its own name here, maybe behind its provider's: the package does not find each of them so."""
    return name.lower() == listed.model.model.lower() or name.lower().endswith(f"/{listed.model.model.lower()}")


def _told(listed: Listed | None) -> str:
    return "none" if listed is None else f"{listed.provider} {listed.model.model}"


def _names(known: Known, draw: random.Random) -> Iterator[tuple[str, str]]:
    """A provider and a name of a model, as someone may write them: the plain ones first."""
    own = known.provider.id
    resellers = [each.id for each in providers if own in (each.fallback_model_providers or ())]
    called = [own, own.upper(), f" {own} ", *resellers, *_texts(known.provider.provider_match)]
    also = [known.model.id, *_texts(known.model.match)]
    yield own, known.model.id
    yield "", known.model.id
    while True:
        name, provider = _written(draw.choice(also), draw), draw.choice(called)
        yield draw.choice(
            (
                (provider, name),
                ("", name),
                (own, f"{provider.strip()}/{name}"),
                ("litellm", name),
                ("LiteLLM", f"{provider.strip()}/{name}"),
                (f"{provider}-eu", name),
                ("nobody", name),
            )
        )


def _written(name: str, draw: random.Random) -> str:
    """A name as it is or in capitals, for a snapshot of some date, with something before, behind or left out."""
    day = FIRST_DAY.date() + timedelta(days=draw.randrange(1_461))
    return draw.choice(
        (
            name,
            name.upper(),
            name.title(),
            f"{name}-20251211",
            f"{name}-2025-12-11",
            f"{name}-{day:%Y%m%d}",
            f"{name}-{day}",
            f"{name}-20250230",
            f"{name}-20251211:free",
            f"{name}-latest",
            f"us.{name}",
            _DASHED_DATE.sub(r"\1\2\3", name),
            _DASHED_DATE.sub(r"\1\2\3", name) + ":free",
            name[:-1],
            f"{name}x",
        )
    )


def _texts(clause: types.MatchLogic | None) -> Iterator[str]:
    """The texts that a condition compares names with, but for regular expressions."""
    for name, value in vars(clause).items() if clause is not None else ():
        if isinstance(value, list):
            for each in value:
                yield from _texts(each)
        elif name != "regex":
            yield value


# --- The program ------------------------------------------------------------------------------------------------------


def main(price_list: PriceList, arguments: Sequence[str] | None = None) -> int:
    """Compare, and print what differs. Returns 1 if anything does."""
    parser = argparse.ArgumentParser(prog="scripts/compare-prices", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--usages", type=int, default=1_000, metavar="N", help="usages of each model (1000)")
    parser.add_argument("--names", type=int, default=NAMES, metavar="N", help=f"names of each model ({NAMES})")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what the random choices begin with (1)")
    asked = parser.parse_args(arguments)
    say(price_list.version)
    differ = _run("usages", compare_prices(price_list, asked.usages, asked.seed))
    differ += _run("names", compare_names(price_list, asked.names, asked.seed))
    return 1 if differ else 0


def _run(what: str, comparison: Iterator[Compared]) -> int:
    """Compare all models and tell of the progress now and then. Returns how much differs."""
    models = compared = refused = differ = 0
    told_at = started = time.monotonic()
    for each in comparison:
        models, compared, refused = models + 1, compared + each.usages, refused + each.refused
        differ += len(each.differences)
        for difference in each.differences:
            say(f"DIFFERS: {difference}")
        if time.monotonic() - told_at > _PROGRESS_SECONDS:
            told_at = time.monotonic()
            say(f"… {models} models, {compared} {what}, {differ} differ, {told_at - started:.0f} s")
    beside = f" ({refused} more that the package refuses to price)" if refused else ""
    say(f"{models} models, {compared} {what}, {differ} differ{beside}, {time.monotonic() - started:.0f} s")
    return differ


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201 - this is a program


if __name__ == "__main__":
    sys.exit(main(bundled_price_list()))
