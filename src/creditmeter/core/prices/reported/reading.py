"""What a provider reported of a call, read from the text in which a worker hands it over.

The text may be the usage object as it came, the whole response around it, the events of a stream, or several of these. The
names in it say whose words they are (`shapes`); where they do not, the name of the provider does.
"""

from collections.abc import Sequence
from dataclasses import replace

from creditmeter.core.prices.providers import price_list_name
from creditmeter.core.prices.reported.documents import documents_in
from creditmeter.core.prices.reported.envelopes import events_in
from creditmeter.core.prices.reported.images import images_in
from creditmeter.core.prices.reported.responses import Gathered, gathered, read_responses
from creditmeter.core.prices.reported.rollouts import without_rollouts
from creditmeter.core.prices.reported.sessions import with_session_models
from creditmeter.core.prices.reported.steps import Group, settled
from creditmeter.core.prices.reported.values import Reported, ReportedResponse


def read(text: str, provider: str = "", model: str = "") -> Reported:
    """The responses that a text reports. Without any usage in it they have no counts.

    `provider` says whose rules apply, by its name in OpenTelemetry or in the price list; `model` is the one that was asked for.

    Raises:
        UnknownUsageError: the text is no document, or something that should be a count is none.
    """
    documents = documents_in(text)
    parts = with_session_models(without_rollouts(documents.found))
    all_gathered = gathered(event for each in parts for event in events_in(each))
    _count_containers_once(all_gathered)
    rules_of = price_list_name(provider)
    groups = [Group(tuple(read_responses(one, rules_of, model)), one.is_step, one.is_total) for one in all_gathered]
    responses = settled(groups)
    if documents.is_cut and responses:
        responses[-1] = _cut_off(responses[-1])
    return Reported(tuple(responses), images_in(documents.found))


def _count_containers_once(all_gathered: Sequence[Gathered]) -> None:
    """Leave each container to the first response that shows it: it has one fee, however many responses used it."""
    seen: frozenset[str] = frozenset()
    for each in all_gathered:
        tools = each.facts.tools
        if tools.containers:
            each.facts = replace(each.facts, tools=tools._replace(containers=tools.containers - seen))
            seen |= tools.containers


def _cut_off(response: ReportedResponse) -> ReportedResponse:
    """A response whose report broke off: how much output it had in the end is not known."""
    counts = {name: count for name, count in response.counts.items() if name != "output_tokens"}
    return replace(response, counts=counts)
