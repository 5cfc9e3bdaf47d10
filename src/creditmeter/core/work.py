"""What a call is about to do (work) and what it did (usage), in the words of OpenTelemetry's GenAI conventions.

A count of 0 is 0, and a count of None is unknown. `input_tokens` includes cached tokens and `output_tokens` includes reasoning,
as https://opentelemetry.io/docs/specs/semconv/gen-ai/ defines them.
"""

from collections.abc import Mapping
from enum import Enum

from creditmeter.core.values import Value, field


class UsageSource(Enum):
    """Where the counts of a usage come from."""

    PROVIDER = "PROVIDER"
    PARTIAL_STREAM = "PARTIAL_STREAM"
    ESTIMATED = "ESTIMATED"


class ChargeFlag(Enum):
    """What a reader of a charge should know about how its cost was computed."""

    FALLBACK_PRICE = "FALLBACK_PRICE"
    CONTRADICTORY_USAGE = "CONTRADICTORY_USAGE"
    MINIMUM = "MINIMUM"
    CAPPED = "CAPPED"
    ESTIMATED = "ESTIMATED"
    DUPLICATE = "DUPLICATE"
    UNKNOWN_TIER = "UNKNOWN_TIER"
    UNREAD_USAGE = "UNREAD_USAGE"
    LIST_PRICE = "LIST_PRICE"


class Served(Value, frozen=True):
    """What served a call, in the provider's words: its price may depend on each. Empty is what is standard, or not known.

    `service_tier` is `flex`, `batch`, `priority` or the like, `speed` such as `fast`, `region` the place of inference or a
    gateway's route, `search_type` the kind of search of a research model.
    """

    service_tier: str = ""
    speed: str = ""
    region: str = ""
    search_type: str = ""


STANDARD = Served()
"""A call of which nothing says that it was served in another way than usual."""


class Work(Value, frozen=True):
    """What a call is about to do: the upper bound that a reservation holds credit for.

    `service_tier` is the one that is asked for; empty is the provider's standard. Tokens that may be written to caches, audio
    and images are parts of `input_tokens`, at most so many. Those to be kept for an hour are part of
    `cache_creation_input_tokens`, or all of them if that is 0. `units` are how many things with a fee may be used at most,
    named as those of a usage.
    """

    action: str
    provider: str = ""
    request_model: str = ""
    input_tokens: int | None = None
    max_output_tokens: int | None = None
    quantity: int | None = None
    variant: str = ""
    tool: str = ""
    service_tier: str = ""
    cache_creation_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0
    units: Mapping[str, int] = field(default_factory=dict)
    audio_input_tokens: int = 0
    image_input_tokens: int = 0


class Usage(Value, frozen=True):
    """What a call did, as the provider reported it. What is left empty or None comes from the reservation's work.

    `units` are counts without a field of their own, by name: rarer classes of tokens (`token_costs.RARE_COUNTS`), and things
    with a fee, such as `web_searches` (`fees`).
    """

    action: str = ""
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_1h_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    quantity: int | None = None
    variant: str = ""
    tool: str = ""
    response_id: str = ""
    source: UsageSource = UsageSource.PROVIDER
    provider_usage_json: str = ""
    units: Mapping[str, int] = field(default_factory=dict)
    served: Served = STANDARD
