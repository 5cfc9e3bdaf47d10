"""What only a total says, class by class and provider by provider."""

from typing import Any

import pytest

from tests.core.prices.reports import one

GATEWAY = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 510, "prompt_tokens_details": {"cached_tokens": 400}}

INSIDE = {"input_tokens": 113_415, "cache_read_input_tokens": 112_224, "output_tokens": 990, "total_tokens": 114_405}


@pytest.mark.parametrize(
    ("provider", "model", "document", "counts"),
    [
        pytest.param("anthropic", "", GATEWAY, (500, 10), id="what was cached, exactly: 100 + 400 + 10 = 510"),
        pytest.param("openrouter", "", GATEWAY, (500, 10), id="whoever passes it on"),
        pytest.param("google", "", GATEWAY, (100, 410), id="Google's rest is thoughts"),
        pytest.param("google", "claude-haiku-4-5", GATEWAY, (500, 10), id="but not of Anthropic's models"),
        pytest.param("openai", "", GATEWAY | {"total_tokens": 500}, (100, 400), id="any other rest is output: 500 - 100"),
        pytest.param("aws", "", GATEWAY | {"total_tokens": 500}, (490, 10), id="Bedrock's is input: 500 - 10"),
        pytest.param("openai", "", INSIDE, (113_415, 990), id="cached tokens are inside: 113,415 + 990 = 114,405"),
        pytest.param("anthropic", "", INSIDE, (225_639, 990), id="but not at Anthropic: 113,415 + 112,224"),
        pytest.param("openai", "claude-haiku-4-5", INSIDE, (225_639, 990), id="nor of its models"),
        pytest.param("openai", "", INSIDE | {"total_tokens": 226_629}, (225_639, 990), id="nor if the total has them"),
        pytest.param(
            "openai", "", INSIDE | {"input_tokens": 5, "total_tokens": 995}, (112_229, 990), id="nor if they cannot be"
        ),
        pytest.param("", "", {"prompt_tokens": 8, "total_tokens": 8}, (8, 0), id="no output"),
        pytest.param("", "", {"completion_tokens": 8, "total_tokens": 20}, (12, 8), id="the total tells the input"),
        pytest.param(
            "google",
            "",
            {"promptTokenCount": 100, "candidatesTokenCount": 300, "thoughtsTokenCount": 200, "totalTokenCount": 400},
            (100, 300),
            id="thoughts inside the candidates: 100 + 300 = 400",
        ),
        pytest.param(
            "google",
            "",
            {"promptTokenCount": 100, "candidatesTokenCount": 300, "thoughtsTokenCount": 200, "totalTokenCount": 600},
            (100, 500),
            id="thoughts beside them: 100 + 300 + 200 = 600",
        ),
        pytest.param(
            "google",
            "",
            {
                "promptTokenCount": 100,
                "candidatesTokenCount": 50,
                "totalTokenCount": 1150,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}, {"modality": "AUDIO", "tokenCount": 1000}],
            },
            (1100, 50),
            id="audio outside the prompt: 100 + 1000",
        ),
        pytest.param(
            "google",
            "",
            {
                "promptTokenCount": 100,
                "candidatesTokenCount": 50,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1000}],
            },
            (1100, 50),
            id="where text is not listed, too",
        ),
    ],
)
def test_a_total_gives_the_rest_to_its_class(provider: str, model: str, document: Any, counts: tuple[int, int]) -> None:
    """By the rule of the provider that counts it so."""
    found = one(document, provider, model).counts
    assert (found["input_tokens"], found["output_tokens"]) == counts


@pytest.mark.parametrize(
    ("model", "document", "images"),
    [
        ("", {"created": 1, "data": [{}], "usage": {"input_tokens": 5, "output_tokens": 90}}, 90),
        ("gpt-image-1", {"input_tokens": 5, "output_tokens": 90}, 90),
        ("gpt-image-1", {"input_tokens": 5, "output_tokens": 90, "output_tokens_details": {"text_tokens": 20}}, 70),
        ("gpt-image-1", {"input_tokens": 5, "output_tokens": 90, "output_tokens_details": {"image_tokens": 60}}, 60),
        ("", {"type": "image_generation.completed", "usage": {"input_tokens": 5, "output_tokens": 90}}, 90),
        ("gemini-2.5-flash-image", {"promptTokenCount": 5, "candidatesTokenCount": 80, "thoughtsTokenCount": 10}, 80),
        ("gpt-5", {"input_tokens": 5, "output_tokens": 90}, None),
        ("", {"input_tokens": 5, "output_tokens": 90}, None),
    ],
)
def test_the_output_of_an_image_model_is_images(model: str, document: Any, images: int | None) -> None:
    """Known by the shape of its response or by its name, where the details do not say so."""
    assert one(document, model=model).counts.get("image_output_tokens") == images


@pytest.mark.parametrize(
    ("model", "document"),
    [
        ("text-embedding-3-small", {"prompt_tokens": 8}),
        ("cohere/rerank-v3.5", {"prompt_tokens": 8}),
        ("", {"embeddings": [], "usage": {"prompt_tokens": 8}}),
        ("", {"results": [{"relevance_score": 0.5}], "usage": {"prompt_tokens": 8}}),
    ],
)
def test_embeddings_and_ranks_have_no_output(model: str, document: Any) -> None:
    """So nothing is taken at a bound in its place."""
    assert one(document, model=model).counts == {"input_tokens": 8, "output_tokens": 0}
