"""What providers report, and how it is read."""

import json
from typing import Any

import pytest

from creditmeter.core.prices.reported.calls import with_provider_usage
from creditmeter.core.prices.reported.reading import read as read_report
from creditmeter.core.prices.reported.values import ReportedResponse, UnknownUsageError
from creditmeter.core.values import replace
from creditmeter.core.work import Usage

_SHORT = {
    "in": "input_tokens",
    "out": "output_tokens",
    "read": "cache_read_input_tokens",
    "written": "cache_creation_input_tokens",
    "hour": "cache_creation_1h_input_tokens",
    "thought": "reasoning_output_tokens",
    "audio_in": "audio_input_tokens",
    "audio_out": "audio_output_tokens",
    "image_in": "image_input_tokens",
    "image_out": "image_output_tokens",
}


def counted(**counts: int) -> dict[str, int]:
    """Counts by their short names."""
    return {_SHORT[name]: count for name, count in counts.items()}


CHAT = {"prompt_tokens": 1000, "completion_tokens": 97, "total_tokens": 1097}
MESSAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 12304,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 12300, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 550,
    "service_tier": "standard",
}
GEMINI = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 400,
    "candidatesTokenCount": 100,
    "thoughtsTokenCount": 300,
    "toolUsePromptTokenCount": 50,
    "totalTokenCount": 1450,
}
GROK = {"prompt_tokens": 37, "completion_tokens": 530, "completion_tokens_details": {"reasoning_tokens": 233}}
IMAGES = {
    "created": 1_713_833_628,
    "data": [{"b64_json": "aGk="}],
    "usage": {
        "input_tokens": 50,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
        "output_tokens": 4160,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 4160},
        "total_tokens": 4210,
    },
}


CACHED_AUDIO = {
    "input_tokens": 1000,
    "output_tokens": 253,
    "input_token_details": {
        "text_tokens": 100,
        "audio_tokens": 850,
        "image_tokens": 50,
        "cached_tokens": 900,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 800, "image_tokens": 40},
    },
    "output_token_details": {"text_tokens": 53, "audio_tokens": 200},
}


def one(document: Any, provider: str = "", model: str = "") -> ReportedResponse:
    """The only response in a document."""
    (found,) = all_of(document, provider, model)
    return found


def all_of(document: Any, provider: str = "", model: str = "") -> tuple[ReportedResponse, ...]:
    """The responses in a document."""
    return read_report(text_of(document), provider, model).responses


def text_of(document: Any) -> str:
    """A document as a worker hands it over."""
    return json.dumps(document)


def read(document: Any, provider: str = "", **beside: Any) -> Usage:
    """The counts that were read, and what was given beside them; not what they were read from."""
    return read_text(json.dumps(document), provider, **beside)


def read_text(text: str, provider: str = "", **beside: Any) -> Usage:
    """The same of a text as it came."""
    usage = with_provider_usage(Usage(provider=provider, provider_usage_json=text, **beside))
    return replace(usage, provider="", provider_usage_json="")


def refusal(text: str) -> str:
    """Why a text is no usage."""
    with pytest.raises(UnknownUsageError) as refused:
        with_provider_usage(Usage(provider_usage_json=text))
    return str(refused.value)
