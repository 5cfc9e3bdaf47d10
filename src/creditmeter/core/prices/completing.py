"""The complete usage of a call: what its caller said, what its provider reported, and what it was reserved for."""

from collections.abc import Iterator, Mapping

from creditmeter.core.prices.fees import OTHER_NAMES, REQUESTS
from creditmeter.core.prices.rate_card import TEXT
from creditmeter.core.prices.reported.calls import ReportedCall, reported_call
from creditmeter.core.prices.reported.values import UnknownUsageError
from creditmeter.core.prices.requirements import missing_in_usage
from creditmeter.core.prices.tiers import SPEEDS
from creditmeter.core.prices.token_costs import CITATIONS, RARE_COUNTS, VIDEO_INPUT, VIDEO_OUTPUT, input_parts, output_parts
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.values import replace
from creditmeter.core.work import Served, Usage, Work


def call_of(usage: Usage, work: Work, bound_output_tokens: int | None = None) -> ReportedCall | InvalidRequest:
    """The call that a usage describes, with what its provider reported.

    A report without any usage leaves the counts unset. One that cannot be read is refused, and with it every field that neither
    the usage nor the work has.
    """
    if not usage.provider_usage_json:
        return ReportedCall(usage)
    provider, model = usage.provider or work.provider, usage.request_model or work.request_model
    try:
        if (provider, model) == (usage.provider, usage.request_model):
            return reported_call(usage)
        return reported_call(replace(usage, provider=provider, request_model=model))
    except UnknownUsageError as error:
        known, _ = complete_usage(replace(usage, provider_usage_json=""), work, bound_output_tokens)
        wrong = ("provider_usage_json", str(error)), *missing_in_usage(known)
        return InvalidRequest(tuple((f"usage.{name}", why) for name, why in wrong))


def complete_usage(usage: Usage, work: Work, bound_output_tokens: int | None = None) -> tuple[Usage, bool]:
    """The usage with what it leaves unset filled in from the work that it was reserved for, and whether a count of tokens was.

    A missing count of tokens is taken at its bound: for output tokens `bound_output_tokens` (what the reservation pays for), or
    else the work's own. So are then the parts of a missing input, if the usage names none, and units that it does not name. A
    charge of such a usage is to be flagged ESTIMATED.
    """
    if bound_output_tokens is None:
        bound_output_tokens = work.max_output_tokens
    complete = replace(
        usage,
        action=usage.action or work.action,
        provider=usage.provider or work.provider,
        request_model=usage.request_model or work.request_model,
        input_tokens=work.input_tokens if usage.input_tokens is None else usage.input_tokens,
        output_tokens=bound_output_tokens if usage.output_tokens is None else usage.output_tokens,
        quantity=work.quantity if usage.quantity is None else usage.quantity,
        variant=usage.variant or work.variant,
        tool=usage.tool or work.tool,
        served=_served(usage.served, work),
        units=_with_context(usage.units, work),
    )
    if complete.action != TEXT:
        return replace(complete, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens), False
    filled_input = complete.input_tokens != usage.input_tokens
    filled_output = complete.output_tokens != usage.output_tokens
    if filled_input and not input_parts(usage):
        complete = _with_parts_of_input(complete, work)
    if filled_input or filled_output:
        return replace(complete, units=_with_units(complete.units, work)), True
    return complete, False


def of_any_class(usage: Usage) -> Iterator[Usage]:
    """The usage with all of its output that it does not tell the class of as output of each class that may cost more."""
    rest = (usage.output_tokens or 0) - output_parts(usage)
    if rest <= 0:
        return
    yield replace(usage, reasoning_output_tokens=rest + (usage.reasoning_output_tokens or 0))
    yield replace(usage, audio_output_tokens=rest + (usage.audio_output_tokens or 0))
    yield replace(usage, image_output_tokens=rest + (usage.image_output_tokens or 0))
    yield replace(usage, units={**usage.units, VIDEO_OUTPUT: rest + usage.units.get(VIDEO_OUTPUT, 0)})


def _with_parts_of_input(usage: Usage, work: Work) -> Usage:
    """The usage with all that the work says that its input may be."""
    video = {name: count for name, count in work.units.items() if name == VIDEO_INPUT}
    return replace(
        usage,
        cache_creation_input_tokens=work.cache_creation_input_tokens or None,
        cache_creation_1h_input_tokens=work.cache_creation_1h_input_tokens or None,
        audio_input_tokens=work.audio_input_tokens or None,
        image_input_tokens=work.image_input_tokens or None,
        units={**usage.units, **video},
    )


def _with_units(units: Mapping[str, int], work: Work) -> Mapping[str, int]:
    """The units of a usage, and as many of the others as the work says: what has a fee, and citations."""
    known = {OTHER_NAMES.get(name, name) for name in units}
    others = {name: count for name, count in work.units.items() if name == CITATIONS or name not in (*RARE_COUNTS, *REQUESTS)}
    return {**units, **{name: count for name, count in others.items() if OTHER_NAMES.get(name, name) not in known}}


def _with_context(units: Mapping[str, int], work: Work) -> Mapping[str, int]:
    """The units of a usage; if they do not say how much of the web its request searched, as much as was asked for."""
    asked = {name: count for name, count in work.units.items() if name in REQUESTS}
    return {**units, **asked} if asked and units.keys().isdisjoint(REQUESTS) else units


def _served(served: Served, work: Work) -> Served:
    """What served the call; the tier that was asked for if the usage names none, nor the speed that this tier would be."""
    asked = work.service_tier
    is_reported = served.service_tier or (served.speed and asked.lower() in SPEEDS)
    return served if is_reported or not asked else replace(served, service_tier=asked)
