"""How long it takes to price a call of a model that was seen before, and how long the package takes that prices come from.

The calls are a mix of models, with cached tokens and reasoning, a long input and prices that depend on the hour; the card is
the one that ships. Each call is timed by itself, and the median counts. The ways to price take turns, so that what else the
machine does hits all of them alike; and they must come to the same price, else nothing is measured.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from time import perf_counter_ns
from typing import Any

from genai_prices import Usage as KnownUsage
from genai_prices import calc_price

from creditmeter.core.credit.charges import Cost
from creditmeter.core.credit.reservations import Hold
from creditmeter.core.instants import from_datetime
from creditmeter.core.prices.pricing import Pricing
from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.rate_cards import RateCards
from creditmeter.core.prices.reported.calls import with_provider_usage
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from creditmeter.server.opening import load_rate_card
from tests.catalog.campaign import OUR_NAMES

MIN_RATIO = 5.0
"""How many times as long the package of the price list has to take, at least.

Both are measured in one run, so that the speed of the machine does not matter: 6.3 to 6.6 were measured on two machines, one of
which takes twice as long for everything.
"""

TARGET_MICROSECONDS = 20.0
"""What pricing a call is to take at most at the median, on a machine that nothing else uses. It decides nothing."""

TRIES = 3
"""How often it is measured until the ratio is reached: other programs of the machine may slow down one measurement."""

WARM_UP_ROUNDS = 20
AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOW = from_datetime(AT)

Reported = Mapping[str, Any]


def _chat(prompt: int, cached: int, completion: int, reasoning: int) -> Reported:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def _message(plain: int, written: int, read: int, output: int) -> Reported:
    return {
        "input_tokens": plain,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _gemini(prompt: int, cached: int, candidates: int, thoughts: int) -> Reported:
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": candidates,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + candidates + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }


CALLS: Sequence[tuple[str, str, Reported]] = (
    ("openai", "gpt-4o", _chat(1_000, 900, 97, 0)),
    ("openai", "gpt-4o-mini-2024-07-18", _chat(12_345, 0, 678, 0)),
    ("openai", "o3", _chat(4_000, 2_048, 3_000, 2_500)),
    ("anthropic", "claude-sonnet-4-5", _message(3, 12_304, 0, 550)),
    ("anthropic", "claude-sonnet-4-5-20250929", _message(1_200, 0, 90_000, 2_000)),
    ("anthropic", "claude-haiku-4-5", _message(800, 400, 7_000, 300)),
    ("gcp.gemini", "gemini-2.5-pro", _gemini(250_000, 100_000, 1_000, 3_000)),
    ("gcp.gemini", "gemini-2.5-flash", _gemini(1_000, 400, 100, 300)),
    ("mistral_ai", "mistral-large-latest", _chat(2_000, 0, 500, 0)),
    ("deepseek", "deepseek-chat", _chat(3_000, 2_000, 700, 0)),
    ("x_ai", "grok-4", {**_chat(500, 300, 100, 400), "total_tokens": 1_000}),
)
"""Provider, model, and the usage in the provider's words."""


@dataclass(frozen=True)
class Call:
    """A call in all the forms in which it is priced."""

    raw: Usage
    usage: Usage
    listed: Usage
    work: Work
    known: KnownUsage

    @classmethod
    def of(cls, provider: str, model: str, reported: Reported) -> "Call":
        """A call from what its provider reported."""
        raw = Usage("text", provider, model, provider_usage_json=json.dumps(reported))
        usage = replace(with_provider_usage(raw), provider_usage_json="")
        return cls(
            raw=raw,
            usage=usage,
            listed=replace(usage, provider=price_list_name(provider)),
            work=Work("text", provider, model, usage.input_tokens, 4_096),
            known=KnownUsage(**{theirs: getattr(usage, ours) for theirs, ours in OUR_NAMES.items()}),
        )


Way = Callable[[Call], object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the medians. Returns 1 if the ratio was missed each time."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark-pricing", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=1_000, metavar="N", help="how often each call is priced (1000)")
    rounds = parser.parse_args(arguments).rounds
    calls, ways = [Call.of(*each) for each in CALLS], _ways()
    _check(calls, ways)
    _measure(calls, ways, WARM_UP_ROUNDS)
    return 0 if any(_report(_measure(calls, ways, rounds), rounds * len(calls)) for _ in range(TRIES)) else 1


OURS, THEIRS = "price_usage", "genai_prices.calc_price"
COST, COST_OF_REPORT, HOLD = "Pricing.cost", "Pricing.cost, of provider_usage_json", "Pricing.hold"


def _ways() -> Mapping[str, Way]:
    """The ways to price a call, by their names."""
    card = load_rate_card(None).card
    pricing = Pricing(RateCards(card))
    return {
        OURS: lambda call: price_usage(card, call.listed, NOW),
        COST: lambda call: pricing.cost(call.usage, None, NOW),
        COST_OF_REPORT: lambda call: pricing.cost(call.raw, None, NOW),
        HOLD: lambda call: pricing.hold(call.work, None, NOW),
        THEIRS: lambda call: (
            calc_price(
                call.known, call.listed.request_model, provider_id=call.listed.provider, genai_request_timestamp=AT
            ).total_price
        ),
    }


def _check(calls: Sequence[Call], ways: Mapping[str, Way]) -> None:
    """Every way comes to the same price."""
    for call in calls:
        price, hold = ways[OURS](call), ways[HOLD](call)
        assert isinstance(price, Cost), price
        assert isinstance(hold, Hold), hold
        assert price.usd > 0, call
        assert price.usd == ways[THEIRS](call), call
        for way in (COST, COST_OF_REPORT):
            cost = ways[way](call)
            assert isinstance(cost, Cost), cost
            assert (cost.amount, cost.usd) == (price.amount, price.usd), call


def _measure(calls: Sequence[Call], ways: Mapping[str, Way], rounds: int) -> Mapping[str, float]:
    """The median of each way, in microseconds."""
    taken: dict[str, list[int]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            for call in calls:
                begun = perf_counter_ns()
                way(call)
                taken[name].append(perf_counter_ns() - begun)
    return {name: median(each) / 1_000 for name, each in taken.items()}


def _report(medians: Mapping[str, float], calls: int) -> bool:
    """Print the medians and their ratio. Returns whether the ratio is reached."""
    ratio = medians[THEIRS] / medians[OURS]
    say(f"median of {calls} calls of {len(CALLS)} models, in microseconds:")
    for name, microseconds in medians.items():
        say(f"{microseconds:8.1f}  {name}")
    is_reached = ratio >= MIN_RATIO
    verdict = "reached" if is_reached else "MISSED"
    say(f"{ratio:8.1f}  times as long takes {THEIRS} as {OURS}: at least {MIN_RATIO:.0f} {verdict}")
    is_met = medians[OURS] < TARGET_MICROSECONDS
    say(f"on this machine, the target of {TARGET_MICROSECONDS:.0f} microseconds for {OURS} is {'met' if is_met else 'not met'}")
    return is_reached


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
