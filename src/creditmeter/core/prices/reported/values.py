"""What was read of a provider's report: a value for each response, with nothing lost that may have a price."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


class UnknownUsageError(ValueError):
    """The text is no report of usage, or a count in it is no count. The message says what is wrong and what to send."""


@dataclass(frozen=True, slots=True)
class ReportedResponse:
    """One response of a model, as its provider reported it.

    `counts` are the counts of tokens by the names of the fields of `work.Usage`; what is missing is unknown. Of what is counted
    in no field of it, `units` has the count: rarer classes of tokens (`cached_audio_input_tokens`, `cached_image_input_tokens`,
    `video_input_tokens`, `video_output_tokens`, which are parts of the counts, and `citation_tokens`, which are beside them),
    and what has a fee, by the names of the price list (`web_searches`).

    `service_tier`, `speed` and `region` are the provider's words for what served the call, in lower case; empty if it says
    nothing. `reported_cost_usd` is what the provider or gateway itself says that the call costs, in dollars. `unread` are the
    paths of numbers that look like counts of tokens and that no rule reads.
    """

    response_id: str = ""
    model: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    service_tier: str = ""
    speed: str = ""
    region: str = ""
    reported_cost_usd: Decimal | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """All responses of a report, in the order in which they began, how many images came back (None: it has none), and of which
    size and quality.
    """

    responses: tuple[ReportedResponse, ...] = ()
    images: int | None = None
    variant: str = ""
