"""Classes of tokens that few models have a rate for: cached audio and images, video, citations."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Usage
from tests.core.prices.priced import CARD, TEST_CARD, price

RARE_CARD = parse_rate_card(
    """\
    version = "rare"
    effective_from = 1970-01-01T00:00:00Z
    [[text.models]]
    model = "all"
    input = 1000
    output = 10000
    cache_read = 100
    cache_write = 1250
    audio_input = 3000
    image_input = 5000
    cached_audio = 300
    cached_image = 500
    video_input = 7000
    video_output = 70000
    citation = 200
    long_context = [{ above_input_tokens = 1000, input = 2000, cached_audio = 600 }]
    """
)
CONTRADICTION = (ChargeFlag.CONTRADICTORY_USAGE,)


def of(model: str, tokens: tuple[int, int] = (1_000, 0), units: dict[str, int] | None = None, **parts: int) -> Usage:
    """A usage of so many tokens of input and output; the parts by their fields without `_tokens`."""
    counts = {f"{name}_tokens": count for name, count in parts.items()}
    rare = {f"{name}_tokens": count for name, count in (units or {}).items()}
    return Usage("text", "", model, "", *tokens, **counts, units=rare)  # type: ignore[arg-type]  # all are ints


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        # 68 of audio that is not cached, 832 of cached audio, 64 of cached text, and 36 of text.
        (
            of("all", units={"cached_audio_input": 832}, audio_input=900, cache_read_input=896),
            "0.4960",  # 0.068 x 3 is 0.204; 0.832 x 0.3 is 0.2496; 0.064 x 0.1 is 0.0064; 0.036 x 1 is 0.036
        ),
        (of("all", units={"cached_audio_input": 1_000}, audio_input=1_000, cache_read_input=1_000), "0.3"),
        (of("all", units={"cached_image_input": 1_000}, image_input=1_000, cache_read_input=1_000), "0.5"),
        # Where only the cached tokens of a kind are told, they are all that there are: 400 cached, 600 of text.
        (of("all", units={"cached_audio_input": 400}), "0.72"),
        (of("all", units={"cached_image_input": 400}), "0.8"),
        (of("all", units={"cached_audio_input": 200, "cached_image_input": 200}), "0.76"),
        # Told without any cached ones of a kind: the discount goes to text.
        (of("all", units={"cached_audio_input": 0}, audio_input=800, cache_read_input=100), "2.51"),
        (of("all", units={"video_input": 1_000}), "7"),
        (of("all", units={"video_input": 100}, cache_read_input=100), "1.51"),  # 0.7 + 0.01 + 0.8
        (of("all", (0, 1_000), units={"video_output": 1_000}), "70"),
        (of("all", (0, 1_000), units={"video_output": 100}, reasoning_output=100), "16"),  # 7 + 1 + 8
        # Citations are beside the input: 1,000 x 1,000 and 500 x 200, for a million.
        (of("all", units={"citation": 500}), "1.1"),
        # A long input has its own rates, of rare classes too: 1,001 tokens, of which 1,000 are cached audio.
        (of("all", (1_001, 0), units={"cached_audio_input": 1_000}), "0.602"),
    ],
)
def test_each_rare_class_has_its_rate(usage: Usage, usd: str) -> None:
    """A token of two classes at once is priced once."""
    assert (price(RARE_CARD, usage).usd, price(RARE_CARD, usage).flags) == (Decimal(usd), ())


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        # This model has rates of audio and images, and none of cached ones: these cost what audio and images do.
        (of("all-classes", units={"cached_audio_input": 1_000}), "3"),
        (of("all-classes", units={"cached_image_input": 1_000}), "5"),
        (of("all-classes", units={"video_input": 1_000}), "1"),
        (of("all-classes", (0, 1_000), units={"video_output": 1_000}), "10"),
        (of("all-classes", units={"citation": 1_000}), "2"),  # the input, and as much again
        # This one has none of audio either: audio is text, and cached audio cached text.
        (of("claude-sonnet-4-5", units={"cached_audio_input": 1_000}), "0.0003"),
        (of("claude-sonnet-4-5", units={"cached_audio_input": 400}, audio_input=700, cache_read_input=600), "0.00138"),
    ],
)
def test_a_rare_class_without_a_rate_has_that_of_its_stand_in(usage: Usage, usd: str) -> None:
    """As `RARE_STAND_INS` says; the last one is 400 x 3 + 600 x 0.3, for a million."""
    found = price(CARD if usage.request_model == "claude-sonnet-4-5" else TEST_CARD, usage)
    assert (found.usd, found.flags) == (Decimal(usd), ())


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (of("all", units={"cached_audio_input": 101}, audio_input=100, cache_read_input=500), "1"),
        (of("all", units={"cached_audio_input": 101}, audio_input=500, cache_read_input=100), "1"),
        (of("all", units={"cached_image_input": 101}, image_input=100, cache_read_input=500), "1"),
        (of("all", units={"cached_audio_input": 60, "cached_image_input": 60}, cache_read_input=100), "1"),
        # More in parts than in all: 1,001 tokens, at the rates of a long input.
        (of("all", units={"video_input": 501}, audio_input=500), "2.002"),
        (of("all", units={"cached_audio_input": 501}, cache_creation_input=500), "2.002"),
        (of("all", (0, 10), units={"video_output": 11}), "0.11"),
    ],
)
def test_a_contradiction_is_priced_without_the_discount(usage: Usage, usd: str) -> None:
    """And flagged, as those of other classes are."""
    assert (price(RARE_CARD, usage).usd, price(RARE_CARD, usage).flags) == (Decimal(usd), CONTRADICTION)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        # OpenAI's own example of a realtime call (https://platform.openai.com/docs/guides/realtime-costs has the rates):
        # 68 x 32 + 832 x 0.4 + 64 x 0.4 + 36 x 4 + 53 x 16 + 200 x 64, for a million.
        (
            of(
                "gpt-realtime",
                (1_000, 253),
                {"cached_audio_input": 832},
                audio_input=900,
                cache_read_input=896,
                audio_output=200,
            ),
            "0.0163264",
        ),
        # A cached image: 100 x 5 + 900 x 0.5.
        (of("gpt-realtime", units={"cached_image_input": 900}, cache_read_input=900, image_input=1_000), "0.00095"),
        (of("gpt-image-1.5", units={"cached_image_input": 500}), "0.0035"),  # 500 x 2 + 500 x 5
        (of("gemini-3.8-live", units={"video_input": 1_000}), "0.001"),
        (of("gemini-omni-1.1-flash", (0, 1_000), {"video_output": 900}), "0.01665"),  # 900 x 17.5 + 100 x 9
        # Perplexity's (https://docs.perplexity.ai/getting-started/pricing): 33 x 2 + 7,163 x 8 + 73,997 x 3 + 20,016 x 2.
        (of("sonar-deep-research", (33, 81_160), {"citation": 20_016}, reasoning_output=73_997), "0.319393"),
    ],
)
def test_rare_classes_at_list_prices(usage: Usage, usd: str) -> None:
    """Each that the list has a rate for."""
    usage = replace(usage, provider="perplexity" if "sonar" in usage.request_model else "")
    assert (price(CARD, usage).usd, price(CARD, usage).flags) == (Decimal(usd), ())


@given(st.integers(0, 333), st.integers(0, 333), st.integers(0, 333))
def test_each_token_is_priced_once(plain: int, audio: int, cached_audio: int) -> None:
    """However they are divided: text, audio that is not cached, and cached audio."""
    tokens = plain + audio + cached_audio
    usage = of("all", (tokens, 0), {"cached_audio_input": cached_audio}, audio_input=audio + cached_audio)
    usage = replace(usage, cache_read_input_tokens=cached_audio)
    micro_usd = plain * 1_000 + audio * 3_000 + cached_audio * 300
    assert price(RARE_CARD, usage).usd == Decimal(micro_usd) / 1_000_000
