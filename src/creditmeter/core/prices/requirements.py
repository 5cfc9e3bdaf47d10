"""The fields that an action needs to be priced by any rate card: those that the contract calls required for it."""

from collections.abc import Iterator

from creditmeter.core.prices.rate_card import IMAGE, TEXT, TOOL
from creditmeter.core.work import Usage, Work

Missing = tuple[str, str]
"""A field, and what is wrong with it."""


def missing_in_work(work: Work) -> Iterator[Missing]:
    """Each field that this work needs and does not have."""
    if not work.action:
        yield "action", "is missing"
    if work.action in (TEXT, IMAGE) and not work.request_model:
        yield "request_model", f"is needed for {work.action}"
    if work.action == TEXT and work.input_tokens is None:
        yield "input_tokens", "is needed for text"
    if work.action == TOOL and not work.tool:
        yield "tool", "is needed: its name"


def missing_in_usage(usage: Usage) -> Iterator[Missing]:
    """Each field that this usage needs and does not have.

    A provider's own report that was not read yet may have the model and the counts: where there is one, they are not missing.
    """
    is_reported = bool(usage.provider_usage_json)
    if not usage.action:
        yield "action", "is missing"
    if usage.action in (TEXT, IMAGE) and not (usage.request_model or usage.response_model or is_reported):
        yield "request_model", f"is needed for {usage.action}, or response_model"
    if usage.action == TEXT and not is_reported:
        counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        yield from ((name, "is needed for text") for name, count in counts.items() if count is None)
    if usage.action == TOOL and not usage.tool:
        yield "tool", "is needed: its name"
