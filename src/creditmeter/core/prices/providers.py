"""The names of providers: callers may use OpenTelemetry's, price lists use genai-prices'.

OpenTelemetry's are the values of `gen_ai.provider.name`
(https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/); a name in neither list stays as it is.
"""

from collections.abc import Mapping

PRICE_LIST_NAMES: Mapping[str, str] = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}


def price_list_name(provider: str) -> str:
    """The name under which a price list knows a provider."""
    name = provider.lower()
    return PRICE_LIST_NAMES.get(name, name)
