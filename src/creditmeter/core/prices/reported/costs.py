"""What a provider or gateway itself says that a call costs, in dollars.

* OpenRouter: `cost`, and for a key of one's own (`is_byok`) what its provider charges, `cost_details.upstream_inference_cost`
  (https://openrouter.ai/docs/use-cases/usage-accounting). Without that the cost is not known: `cost` is then a fee, or 0.
* xAI: `cost_in_usd_ticks`, 10^10 a dollar (https://docs.x.ai/developers/cost-tracking).
  Its record of a generation has `total_cost` and `upstream_inference_cost` beside the counts.
* Perplexity: `cost.total_cost`.
* LiteLLM: `response_cost`, also in `_hidden_params`.
* Vercel's AI Gateway: `cost` as a text (https://vercel.com/docs/ai-gateway/capabilities/usage).
* Claude Code and its SDK: `total_cost_usd`, and `costUSD` of each model.
* OpenRouter and xAI in the AI SDK: the same in camel case (`costDetails`, `isByok`, `costInUsdTicks`).

Each is a report of the same cost: they are never added up.
"""

import re
from decimal import Decimal
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

_MOST = 10**19
"""A number above this (in ticks 10^9 dollars) is taken for no cost, as is a negative one."""

_WRITTEN = re.compile(r"\d{1,20}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_TICKS = ("cost_in_usd_ticks", "costInUsdTicks")
_UPSTREAM = ("upstream_inference_cost", "upstreamInferenceCost")
_TOTAL = ("total_cost", "totalCost")
_WHOLE = ("response_cost", "total_cost", "total_cost_usd", "costUSD", "cost_usd", "costUsd", "gen_ai.usage.cost")


def cost_in(document: Raw) -> Decimal | None:
    """The cost that an object reports, in dollars; None if it has none that can be read."""
    ticks = _first(document, _TICKS)
    if ticks is not None:
        return ticks.scaleb(-10)
    if document.get("is_byok", document.get("isByok")) is True:
        details = document.get("cost_details", document.get("costDetails"))
        return _first(details if isinstance(details, dict) else document, _UPSTREAM)
    cost, hidden = document.get("cost"), document.get("_hidden_params")
    reports = (
        _first(cost, _TOTAL) if isinstance(cost, dict) else _dollars(cost),
        _first(document, _WHOLE),
        _first(hidden, _WHOLE) if isinstance(hidden, dict) else None,
    )
    return next((each for each in reports if each is not None), None)


def _first(document: Raw, names: tuple[str, ...]) -> Decimal | None:
    """The first of these that is an amount."""
    return next((found for name in names if (found := _dollars(document.get(name))) is not None), None)


def _dollars(found: Any) -> Decimal | None:
    if isinstance(found, str) and _WRITTEN.fullmatch(found):
        found = Decimal(found)
    if isinstance(found, bool) or not isinstance(found, int | Decimal):
        return None
    number = Decimal(found)
    return number if number.is_finite() and 0 <= number <= _MOST else None
