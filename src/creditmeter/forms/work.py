"""The stored forms of work and of usage."""

import msgspec

from creditmeter.core.work import Served, Usage, UsageSource, Work
from creditmeter.forms.body import Stored, form_of


@form_of(Work)
class WorkForm(Stored):
    """What a call is about to do."""

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
    units: dict[str, int] = msgspec.field(default_factory=dict)
    audio_input_tokens: int = 0
    image_input_tokens: int = 0


@form_of(Served)
class ServedForm(Stored, omit_defaults=True):
    """What served a call. Of most calls it is standard, and nothing is stored of it."""

    service_tier: str = ""
    speed: str = ""
    region: str = ""
    search_type: str = ""


@form_of(Usage)
class UsageForm(Stored):
    """What a call did."""

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
    units: dict[str, int] = msgspec.field(default_factory=dict)
    served: ServedForm = msgspec.field(default_factory=ServedForm)
