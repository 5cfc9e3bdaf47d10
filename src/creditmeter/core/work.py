"""What a call is about to do (work) and what it did (usage), in the words of OpenTelemetry's GenAI conventions.

A count of 0 is 0, and a count of None is unknown. `input_tokens` includes cached tokens and `output_tokens` includes reasoning,
as https://opentelemetry.io/docs/specs/semconv/gen-ai/ defines them.
"""

from dataclasses import dataclass
from enum import Enum


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


@dataclass(frozen=True, slots=True)
class Work:
    """What a call is about to do: the upper bound that a reservation holds credit for."""

    action: str
    provider: str = ""
    request_model: str = ""
    input_tokens: int | None = None
    max_output_tokens: int | None = None
    quantity: int | None = None
    variant: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call did, as the provider reported it. A field that is empty or None is taken from the reservation's work."""

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
