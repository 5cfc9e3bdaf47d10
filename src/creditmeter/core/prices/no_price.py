"""Why there is no price: the refusals of work and of usage, with all that the caller needs to put them right."""

from typing import TypeAlias

from creditmeter.core.amounts import MAX_AMOUNT, format_credits
from creditmeter.core.prices.fallback import priced_model
from creditmeter.core.prices.model_names import fine_tuned
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.requirements import missing_in_usage, missing_in_work
from creditmeter.core.prices.suggestions import near_names
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work

NoPrice: TypeAlias = UnpricedWork | InvalidRequest
"""The card has no price for the call; or a field that a price needs is missing or out of range."""


def invalid(call: Work | Usage, field: str, why: str) -> InvalidRequest:
    """A refusal of one field of the call; of the call as a whole if the field is empty."""
    return InvalidRequest(((_path(call, field), why),))


def out_of_range(call: Work | Usage, field: str, count: int, limit: int) -> InvalidRequest:
    """A refusal of a count that is negative or above its limit."""
    return invalid(call, field, "must not be negative" if count < 0 else f"must not be above {limit:,}")


def too_dear(call: Work | Usage, amount: int) -> InvalidRequest:
    """A refusal of a call that costs more than any amount may be, in microcredits."""
    message = f"costs {format_credits(amount)} credits, above the limit of {format_credits(MAX_AMOUNT)}"
    return invalid(call, "", message)


def unpriced_model(call: Work | Usage) -> NoPrice:
    """A refusal of a call whose model has no price, or that names no model."""
    provider, model = priced_model(call)
    if not model:
        return invalid(call, "request_model", "is needed to find a price")
    of_provider = f" of provider {provider!r}" if provider else ""
    message = f"the rate card has no price for {call.action} by the model {model!r}{of_provider}"
    if base := fine_tuned(model):
        message += f", a fine-tune of {base!r}, which has a price of its own: give it a rule in the card"
    return UnpricedWork(message)


def explained(card: RateCard, call: Work | Usage, refusal: NoPrice) -> NoPrice:
    """The refusal as the caller gets it: with every field that the call lacks, or with the names of what has a price and is
    called nearly the same.
    """
    match refusal:
        case UnpricedWork(message):
            return UnpricedWork(message + _hint(near_names(card, call)))
        case InvalidRequest(violations):
            return InvalidRequest(tuple((_missing(call) | dict(violations)).items()))


def _missing(call: Work | Usage) -> dict[str, str]:
    """What is wrong with each field that the call lacks. What a provider reported of a usage was filled in before."""
    missing = missing_in_work(call) if isinstance(call, Work) else missing_in_usage(replace(call, provider_usage_json=""))
    return {_path(call, field): why for field, why in missing}


def _path(call: Work | Usage, field: str) -> str:
    of = "work" if isinstance(call, Work) else "usage"
    return f"{of}.{field}" if field else of


def _hint(names: tuple[str, ...]) -> str:
    """A question at the end of a message: nothing if there is nothing near."""
    *others, last = map(repr, names) if names else ("",)
    return f"; did you mean {' or '.join(filter(None, (', '.join(others), last)))}?" if last else ""
