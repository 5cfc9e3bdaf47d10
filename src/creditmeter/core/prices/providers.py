"""The names of providers. Callers may use those of OpenTelemetry; price lists use those of genai-prices.

OpenTelemetry's names are the values of `gen_ai.provider.name`
(https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/). A name that is in neither list stays, in lower case.
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
    """The name of a provider in price lists, in lower case."""
    name = provider.lower()
    return PRICE_LIST_NAMES.get(name, name)
