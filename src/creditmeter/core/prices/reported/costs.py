"""What a provider or gateway itself says that a call costs, in dollars.

* OpenRouter: `cost`, and for a key of one's own (`is_byok`) what its provider charges, `cost_details.upstream_inference_cost`
  (https://openrouter.ai/docs/use-cases/usage-accounting). Without that the cost is not known: `cost` is then a fee, or 0.
* xAI: `cost_in_usd_ticks`, 10^10 a dollar (https://docs.x.ai/developers/cost-tracking).
  Its record of a generation has `total_cost` and `upstream_inference_cost` beside the counts.
* Perplexity: `cost.total_cost`.
* LiteLLM: `response_cost`, also in `_hidden_params`.

Each is a report of the same cost: they are never added up.
"""

from decimal import Decimal
from typing import Any

from creditmeter.core.prices.reported.counting import Raw

_MOST = 10**19
"""A number above this (in ticks 10^9 dollars) is taken for no cost, as is a negative one."""


def cost_in(document: Raw) -> Decimal | None:
    """The cost that an object reports, in dollars; None if it has none that can be read."""
    ticks = _dollars(document.get("cost_in_usd_ticks"))
    if ticks is not None:
        return ticks.scaleb(-10)
    details, cost = document.get("cost_details"), document.get("cost")
    if document.get("is_byok") is True:
        within = details if isinstance(details, dict) else document
        return _dollars(within.get("upstream_inference_cost"))
    hidden = document.get("_hidden_params")
    reports = (
        cost.get("total_cost") if isinstance(cost, dict) else cost,
        document.get("response_cost"),
        document.get("total_cost"),
        hidden.get("response_cost") if isinstance(hidden, dict) else None,
    )
    return next((found for each in reports if (found := _dollars(each)) is not None), None)


def _dollars(found: Any) -> Decimal | None:
    if isinstance(found, bool) or not isinstance(found, int | Decimal):
        return None
    number = Decimal(found)
    return number if number.is_finite() and 0 <= number <= _MOST else None
