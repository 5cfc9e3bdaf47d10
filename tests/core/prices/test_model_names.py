"""The parts of a model's name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.prices.model_names import bare_name, fine_tuned, spellings, telling_words, undated, without_route


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("m-2024-08-06", "m"),
        ("m-20240806", "m"),
        ("m@20240806", "m"),
        ("m_2024_08_06", "m"),
        ("m-2024.08.06", "m"),
        ("m-08-2024", "m"),
        ("m-2024-08", "m"),
        ("m-preview-05-20", "m-preview"),
        ("m-exp-05-20", "m-exp"),
        ("m-05-20", "m-05-20"),
        ("m-0806", "m-0806"),
        ("m-13-2024", "m-13-2024"),
        ("m-2024-08_06", "m-2024-08_06"),
        ("m-2024-08-06-preview", "m-2024-08-06-preview"),
        ("m", "m"),
    ],
)
def test_a_date_comes_off_in_every_spelling(name: str, plain: str) -> None:
    """Four digits alone may be a date or part of the name: they stay."""
    assert undated(name) == plain


@pytest.mark.parametrize(
    ("provider", "model", "whole", "plain"),
    [
        ("p", "m", [], ["p m"]),
        ("P", "M:FREE", ["p m:free"], ["p m"]),
        ("", "x/m", [], [" x/m"]),
        ("", "azure/x/m", [], ["azure x/m"]),
        ("", "openrouter/openai/m:free", ["openrouter openai/m:free"], ["openrouter openai/m", "openrouter m", "openai m"]),
        ("", "us.meta.m-v1:0", [], ["aws us.meta.m-v1:0", "aws regional.meta.m-v1:0", "aws m"]),
        ("openai", "ft:m-2024-08-06:o::i", [], ["openai ft:m-2024-08-06", "openai ft:m"]),
        ("", "llama3:8b", [], [" llama3:8b"]),
    ],
)
def test_the_most_exact_spelling_comes_first(provider: str, model: str, whole: list[str], plain: list[str]) -> None:
    """With the variant, and then without; the rest in this order."""
    found = spellings(provider, model)
    assert [" ".join(each) for each in found.whole][: len(whole)] == whole
    order = [[" ".join(each) for each in found.plain].index(each) for each in plain]
    assert order == sorted(order)


def test_a_name_without_any_part_has_one_spelling() -> None:
    """So a name that is not found costs one more look."""
    assert spellings("p", "m").plain == (("p", "m"),)


def test_a_provider_that_sells_others_is_the_only_one() -> None:
    """Whoever its name's route names."""
    assert {each.provider for each in spellings("together", "openai/m", sells_others=True).plain} == {"together"}
    assert {each.provider for each in spellings("together", "openai/m").plain} == {"together", "openai"}


@given(st.text(max_size=40), st.text(st.sampled_from("/:.-@arnftusmodels012v"), max_size=256))
def test_no_name_has_many_spellings(provider: str, model: str) -> None:
    """However it is made, and none of them is longer than a `regional.` more."""
    found = spellings(provider, model)
    assert 1 <= len(found.plain) <= 400
    assert all(len(each.model) <= len(model.lower()) + len("regional.") for each in (*found.whole, *found.plain))
    assert len(without_route(model)) <= len(model.lower())


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ft:gpt-4o-2024-08-06:org::id", "gpt-4o-2024-08-06"),
        ("openai/ft:gpt-4o:org", "gpt-4o"),
        ("gpt-4o-2024-08-06.ft-0123", "gpt-4o-2024-08-06"),
        ("davinci:ft-org-2023", "davinci"),
        ("gpt-4o", ""),
        ("soft:x", ""),
    ],
)
def test_a_fine_tune_names_the_model_that_it_was_made_from(name: str, base: str) -> None:
    """As OpenAI and Azure write it."""
    assert fine_tuned(name) == base
    assert not base or bare_name(name) == bare_name(base)
    assert ("ft" in telling_words(without_route(name))) == bool(base)
