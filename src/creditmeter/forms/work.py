"""The stored forms of work and of usage."""

from creditmeter.core.work import Usage, UsageSource, Work
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
