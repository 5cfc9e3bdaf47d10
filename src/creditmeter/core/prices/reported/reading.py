"""What a provider reported of a call, read from the text in which a worker hands it over.

The text may be the usage object as it came, the whole response around it, the events of a stream, or several of these. The
names in it say whose words they are (`shapes`); where they do not, the name of the provider does.
"""

from collections.abc import Iterable
from dataclasses import replace

from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.reported.documents import documents_in
from creditmeter.core.prices.reported.envelopes import events_in
from creditmeter.core.prices.reported.images import images_in
from creditmeter.core.prices.reported.responses import gathered, read_responses
from creditmeter.core.prices.reported.values import Reported, ReportedResponse
from creditmeter.core.work import Usage

_TOTALS = ("input_tokens", "output_tokens")
_INSTEAD_OF_TOKENS = ("rerank_searches",)
"""The units by which a call is priced that has no price by tokens."""


def read(text: str, provider: str = "", model: str = "") -> Reported:
    """The responses that a text reports. Without any usage in it they have no counts.

    `provider` says whose rules apply, by its name in OpenTelemetry or in the price list; `model` is the one that was asked for.

    Raises:
        UnknownUsageError: the text is no document, or something that should be a count is none.
    """
    documents = documents_in(text)
    all_gathered = gathered(event for each in documents.found for event in events_in(each))
    responses = [each for one in all_gathered for each in read_responses(one, price_list_name(provider), model)]
    if documents.is_cut and responses:
        responses[-1] = _cut_off(responses[-1])
    return Reported(tuple(responses), images_in(documents.found))


def with_provider_usage(usage: Usage) -> Usage:
    """The usage with the counts that its provider reported. A count that the usage gives itself stays as it is.

    The counts of several responses are added up; input and output are known only if they are of each response. Where nothing is
    reported but searches, which have a price of their own, they stay unknown, too.

    Raises:
        UnknownUsageError: the report cannot be read. The message says what to send.
    """
    if not usage.provider_usage_json:
        return usage
    reported = read(usage.provider_usage_json, usage.provider, usage.response_model or usage.request_model)
    counts = sum_of(reported.responses)
    if reported.images is not None:
        counts["quantity"] = reported.images
    missing = {name: count for name, count in counts.items() if getattr(usage, name) is None}
    served = usage.response_model or next((each.model for each in reported.responses if each.model), "")
    return replace(usage, **missing, response_model=served)  # type: ignore[arg-type]  # counts


def sum_of(responses: Iterable[ReportedResponse]) -> dict[str, int]:
    """The sum of the counts of responses, without those of a total that one of them leaves unknown."""
    counts: dict[str, int] = {}
    unknown: set[str] = set()
    for each in responses:
        has_other_price = any(each.units.get(name) for name in _INSTEAD_OF_TOKENS)
        unknown.update(name for name in _TOTALS if name not in each.counts or has_other_price)
        for name, count in each.counts.items():
            counts[name] = counts.get(name, 0) + count
    return {name: count for name, count in counts.items() if name not in unknown}


def _cut_off(response: ReportedResponse) -> ReportedResponse:
    """A response whose report broke off: how much output it had in the end is not known."""
    counts = {name: count for name, count in response.counts.items() if name != "output_tokens"}
    return replace(response, counts=counts)
