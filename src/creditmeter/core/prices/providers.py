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

_OTHER_NAMES: Mapping[str, str] = {
    "amazon-bedrock": "aws",
    "aws_bedrock": "aws",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "google-gla": "google",
    "google-vertex": "google",
    "google_anthropic_vertex": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "text-completion-openai": "openai",
    "together-ai": "together",
    "together_ai": "together",
    "vertex": "google",
    "vertex-ai": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "z-ai": "zai",
}
"""Names that gateways write before a model's: those of LiteLLM, the AI SDK, pydantic-ai, LangChain and OpenRouter's makers."""

_PRICE_LISTS = """
    anthropic arcee avian aws azure baseten cerebras cloudflare cohere cursor databricks deepseek doubleword elevenlabs
    fireworks github-copilot google groq huggingface_cerebras huggingface_fireworks-ai huggingface_groq huggingface_hyperbolic
    huggingface_nebius huggingface_novita huggingface_nscale huggingface_ovhcloud huggingface_publicai huggingface_sambanova
    huggingface_together meta minimax mistral modal moonshotai novita openai openai-decisions openrouter ovhcloud perplexity
    quicksilverpro together typesafe voyageai x-ai zai zhipuai
"""

ROUTES: Mapping[str, str] = {
    **{name: name for name in _PRICE_LISTS.split()},
    **PRICE_LIST_NAMES,
    **_OTHER_NAMES,
    "litellm": "",
    "litellm_proxy": "",
}
"""The provider that each part of a route means, as price lists name it: nothing for a gateway that does not sell."""


OPEN_GATEWAY = "openrouter"
"""A provider of other makers' models at the makers' prices. What it does not list is priced at the maker."""


def price_list_name(provider: str) -> str:
    """The name of a provider in price lists, in lower case."""
    name = provider.lower()
    return PRICE_LIST_NAMES.get(name, name)


def route_provider(provider: str) -> str:
    """The name in price lists of a provider as gateways write it, in lower case; one that they do not know stays."""
    return ROUTES.get(provider, "") or provider
