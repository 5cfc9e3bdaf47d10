"""Which model a name means, however it is written: by the card's own rules and by the price list.

How names are written: https://docs.litellm.ai/docs/providers (routes), https://openrouter.ai/docs/guides/routing/model-variants/overview,
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html (regions, ARNs),
https://platform.openai.com/docs/guides/fine-tuning (`ft:`).
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from creditmeter.core.instants import Instant
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider
from creditmeter.core.prices.providers import ROUTES
from creditmeter.core.prices.rate_card import MAX_REMEMBERED, ImageRule, RateCard
from creditmeter.core.prices.work_bounds import price_bound
from creditmeter.core.refusals import UnpricedWork
from creditmeter.core.work import Work
from tests.core.prices.documents import NOW, card_of, default_card, rates, text_rule
from tests.core.prices.priced import CARD

SONNET = "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "regional.anthropic.claude-haiku-4-5-20251001-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:"


def found(provider: str, model: str, card: RateCard = CARD) -> str:
    """The provider and the model whose price counts; empty if there is none."""
    rule = card.text_rule(provider, model)
    return "" if rule is None else f"{rule.provider} {rule.model}"


def input_rate(card: RateCard, provider: str, model: str) -> Decimal | None:
    """What an input token of a model costs, times a million; None if it has no price."""
    rule = card.text_rule(provider, model)
    return None if rule is None else rates(rule).input


# --- The price list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "meant"),
    [
        # A route comes off, at the provider that is named.
        ("google", "models/gemini-2.5-pro", "google gemini-2.5-pro"),
        ("google", "publishers/google/models/gemini-2.5-pro", "google gemini-2.5-pro"),
        ("openai", "azure/gpt-4o", "openai gpt-4o"),
        ("openai", "openai/responses/gpt-5", "openai gpt-5"),
        ("azure", "deployments/gpt-4o", "azure gpt-4o"),
        ("bedrock", "bedrock/converse/eu.amazon.nova-pro-v1:0", "aws amazon.nova-pro-v1:0"),
        # Or names the provider, where the call does not.
        ("", "models/gemini-2.5-pro", "google gemini-2.5-pro"),
        ("", "publishers/google/models/gemini-2.5-flash", "google gemini-2.5-flash"),
        ("", "projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929", "google claude-sonnet-4-5"),
        ("", "azure/gpt-4o", "azure gpt-4o"),
        ("", "azure/eu/gpt-4o-2024-08-06", "azure gpt-4o"),
        ("", "vertex_ai/claude-sonnet-4-5@20250929", "google claude-sonnet-4-5"),
        ("", "gemini/gemini-2.5-pro", "google gemini-2.5-pro"),
        ("", "openrouter/anthropic/claude-sonnet-4.5", "openrouter anthropic/claude-sonnet-4.5"),
        ("", "anthropic/claude-sonnet-4.5", "anthropic claude-sonnet-4-5"),
        ("", "xai/grok-4", "x-ai grok-4-0709"),
        ("litellm", "azure/gpt-4o", "azure gpt-4o"),
        ("litellm", "gpt-4o", "openai gpt-4o"),
        ("", "litellm/azure/gpt-4o", "azure gpt-4o"),
        # Or names it better than a provider that does not sell the model itself.
        ("my-gateway", "openai/gpt-4o", "openai gpt-4o"),
        ("openai", "anthropic/claude-sonnet-4-5", "anthropic claude-sonnet-4-5"),
        # A host that lists others' models under their makers' names has its own prices only.
        ("together", "deepseek/deepseek-chat", ""),
        # Region, maker and version of Bedrock.
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", f"aws {SONNET}"),
        ("", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", f"aws {SONNET}"),
        ("aws", "anthropic.claude-sonnet-4-5-20250929-v1:0", f"aws {SONNET}"),
        ("aws", "anthropic.claude-sonnet-4-5", f"aws {SONNET}"),
        ("aws", "claude-sonnet-4-5", f"aws {SONNET}"),
        ("aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", f"aws {SONNET.replace('regional', 'global')}"),
        ("aws", "au.anthropic.claude-haiku-4-5-20251001-v1:0", f"aws {HAIKU}"),
        ("aws", "apac.amazon.nova-2-lite-v1:0", "aws regional.amazon.nova-2-lite-v1:0"),
        ("anthropic", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic claude-sonnet-4-5"),
        ("", "bedrock/us-east-1/anthropic.claude-haiku-4-5-20251001-v1:0", f"aws {HAIKU}"),
        ("aws", f"{ARN}inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0", f"aws {SONNET}"),
        ("", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0", f"aws {HAIKU}"),
        # What a commitment or a profile of one's own costs, no name says.
        ("", "bedrock/us-east-1/1-month-commitment/anthropic.claude-haiku-4-5-20251001-v1:0", ""),
        ("aws", f"{ARN}application-inference-profile/abc123", ""),
        # Dates in every spelling, and what says that a model is the newest.
        ("openai", "gpt-4.1-2026-01-31", "openai gpt-4.1"),
        ("openai", "gpt-4.1-20260131", "openai gpt-4.1"),
        ("openai", "gpt-4.1@20260131", "openai gpt-4.1"),
        ("openai", "gpt-4.1_2026_01_31", "openai gpt-4.1"),
        ("openai", "gpt-4.1-01-2026", "openai gpt-4.1"),
        ("openai", "gpt-4.1-latest", "openai gpt-4.1"),
        ("openai", "gpt-4.1@latest", "openai gpt-4.1"),
        ("openai", "gpt-4o-2024-05-13", "openai gpt-4o-2024-05-13"),
        # Variants lead to the model, unless the list has them as models of their own.
        ("openrouter", "anthropic/claude-sonnet-4.5:thinking", "openrouter anthropic/claude-sonnet-4.5"),
        ("openrouter", "qwen/qwen3-8b:nitro", "openrouter qwen/qwen3-8b"),
        ("openrouter", "openai/gpt-4o-mini:batch", "openrouter openai/gpt-4o-mini:batch"),
        ("", "openrouter/openai/gpt-4o-mini:batch", "openrouter openai/gpt-4o-mini:batch"),
        ("openai", "gpt-5-mini:batch", "openai gpt-5-mini"),
        ("openrouter", "openai/gpt-4o:extended", "openrouter openai/gpt-4o:extended"),
        ("openrouter", "openai/gpt-4.1:extended", ""),
        ("openrouter", "anthropic/claude-opus-4.6-fast", "openrouter anthropic/claude-opus-4.6-fast"),
        # A pattern that takes another model for this one does not count.
        ("anthropic", "claude-opus-4-6-fast", ""),
        ("", "anthropic/claude-opus-4.6-fast", ""),
        ("google", "gemini-2.0-flash-exp-image-generation", ""),
        ("", "acme/claude-sonnet-4-5-tuned", ""),
        # Fine-tunes have the list's prices of fine-tunes, or none.
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "openai ft:gpt-4o-mini"),
        ("", "ft:gpt-4o-mini-2024-07-18:org::id", "openai ft:gpt-4o-mini"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:fast-org:mini:id", "openai ft:gpt-4o-mini"),
        ("openai", "ft:gpt-4o-2024-08-06:org::id", "openai ft:gpt-4o"),
        ("openai", "openai/ft:gpt-3.5-turbo-0125:org::id", "openai ft:gpt-3.5-turbo-"),
        ("openai", "gpt-4o-mini-2024-07-18.ft-0123", "openai gpt-4o-mini-2024-07-18.ft-"),
        ("openai", "ft:gpt-4.1-2025-04-14:org::id", ""),
        ("azure", "gpt-5-nano-2025-08-07.ft-0123", ""),
        ("google", "tunedModels/abc", ""),
        # What has no price of text has none under any name.
        ("", "azure/whisper-1", ""),
        ("", "openai/tts-1", ""),
        ("", "meta-llama/llama-3.3-70b-instruct", ""),
        ("", "", ""),
        ("", "/", ""),
        ("openai", "openai/", ""),
    ],
)
def test_a_name_leads_to_the_model_that_it_names(provider: str, model: str, meant: str) -> None:
    """In capitals too, and again when it is remembered."""
    assert found(provider, model) == meant
    assert found(provider, model.upper()) == meant
    assert found(provider, model) == meant


def routes_to(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """The provider and the name of a call, for each way in which one may write a listed model."""
    yield from ((named, f"{provider}/{model}") for named in (provider, "", "litellm", "my-gateway"))
    yield "", f"litellm/{provider}/{model}"
    yield provider, model.upper()
    for alias, of in ROUTES.items():
        if of == provider:
            yield from (("", f"{alias}/{model}"), (alias, model))
    if provider == "google":
        yield from ((named, f"models/{model}") for named in ("google", "vertex_ai"))
        yield "", f"publishers/google/models/{model}"
        yield "", f"projects/p/locations/us-central1/publishers/google/models/{model}"
    if provider == "aws":
        routes = ("bedrock/converse/", "bedrock/us-gov-west-1/", f"{ARN}inference-profile/", f"bedrock/{ARN}foundation-model/")
        yield from (("", route + model) for route in routes)
    if provider == "azure":
        yield from (("", f"azure/{part}/{model}") for part in ("eu", "global-standard", "deployments"))
    if provider == "openrouter" and ":" not in model:
        yield from ((provider, f"{model}:{variant}") for variant in ("nitro", "floor", "online"))


@pytest.mark.long
def test_every_listed_model_is_found_under_every_route_and_no_other_is() -> None:
    """More than 2,000 models under a dozen spellings each. One spelling may be the very name of another listed model."""
    card = default_card()
    assert card.price_list is not None
    names = {(each.provider, each.model.model) for each in card.price_list.models()}
    wrong = [
        (called, rule)
        for provider, model in sorted(names)
        for called in routes_to(provider, model)
        if called not in names
        if (rule := card.text_rule(*called)) is None or (rule.provider, rule.model) != (provider, model)
    ]
    assert wrong == []
    assert len(names) > 2_000
    assert {each.provider for each in card.price_list.providers} <= set(ROUTES)


def listed(name: str, price: int, *, starts: bool = False) -> Model:
    """A model of a list in which everything has one price."""
    prices = text_rule("m", price=price).prices
    assert prices is not None
    return Model(name, Clause(Operator.STARTS_WITH if starts else Operator.EQUALS, name), (Conditional(prices),))


FREE = PriceList("v", (Provider("openrouter", (listed("a/x", 7), listed("a/x:free", 0), listed("a/y", 9))),))


@pytest.mark.parametrize(("model", "price"), [("a/x", 7), ("a/x:free", 0), ("a/y:free", 9), ("a/x:thinking", 7)])
def test_what_is_called_free_costs_nothing_only_where_the_list_says_so(model: str, price: int) -> None:
    """Else it costs what the model does."""
    card = RateCard(version="v", effective_from=Instant(0), price_list=FREE)
    assert input_rate(card, "openrouter", model) == price


def test_a_wide_pattern_prices_no_other_member_of_a_family() -> None:
    """But a date, a number or an unknown word behind it."""
    models = (listed("big", 1, starts=True), listed("big-mini", 2))
    card = RateCard(version="v", effective_from=Instant(0), price_list=PriceList("v", (Provider("p", models),)))
    meant = {name: found("p", name, card) for name in ("big-2", "big-20250131", "big-fast", "big-mini", "big-nano", "big-new")}
    assert meant == {
        "big-2": "p big",
        "big-20250131": "p big",
        "big-fast": "",
        "big-mini": "p big-mini",
        "big-nano": "",
        "big-new": "p big",
    }


# --- The card's own rules ---------------------------------------------------------------------------------------------

ANYWHERE = text_rule("claude-opus-4-5", price=3)
AZURES = text_rule("gpt-4o", provider="azure", price=4)
BATCH = text_rule("gpt-4o:batch", provider="openrouter", price=5)
TUNED = text_rule("ft:gpt-4.1", price=6)


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("openrouter", "anthropic/claude-opus-4.5:thinking", 3),
        ("", "anthropic/claude-opus-4.5", 3),
        ("", "us.anthropic.claude-opus-4-5-20251101-v1:0", 3),
        ("", "vertex_ai/claude-opus-4-5@20251101", 3),
        ("", "azure/gpt-4o", 4),
        ("azure_openai", "gpt-4o-2024-08-06", 4),
        ("", "openai/gpt-4o", None),
        ("openrouter", "openai/gpt-4o:batch", 5),
        ("openrouter", "openai/gpt-4o:nitro", None),
        ("openai", "ft:gpt-4.1-2025-04-14:org::id", 6),
        ("", "ft:gpt-4.1-2025-04-14:org:other:id", 6),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:org::id", None),
        ("openai", "gpt-4.1", None),
    ],
)
def test_own_rules_are_found_in_the_same_way(provider: str, model: str, price: int | None) -> None:
    """Without a list, for text and for images."""
    rules = (ANYWHERE, AZURES, BATCH, TUNED)
    assert input_rate(card_of(*rules), provider, model) == price
    images = tuple(
        ImageRule(model=each.model, provider=each.provider, credits=rates(each).input, variants={}) for each in rules
    )
    image = RateCard(version="v", effective_from=Instant(0), images=images).image_rule(provider, model)
    assert (None if image is None else image.credits) == price


def test_an_own_rule_comes_before_the_list_and_a_listed_variant_before_a_shorter_name() -> None:
    """What the list has by the very name that was written keeps its price, too."""
    card = replace(CARD, text=(text_rule("gpt-4o", price=9), text_rule("claude-sonnet-4-5", price=8)))
    assert input_rate(card, "", "azure/gpt-4o") == 9
    assert input_rate(card, "openai", "gpt-4o-2024-05-13") == 9
    assert input_rate(card, "", "anthropic/claude-sonnet-4.5:thinking") == 8
    assert found("", "openrouter/openai/gpt-4o:batch", card) == "openrouter openai/gpt-4o:batch"
    assert input_rate(card, "openrouter", "openai/gpt-4o:batch") == Decimal("1.25")


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        # OpenRouter lists openai/gpt-4.1 at 2 dollars, however the call says that it goes there; the rule names another model.
        ("openrouter", "openai/gpt-4.1", 2),
        ("", "openrouter/openai/gpt-4.1", 2),
        ("litellm", "openrouter/openai/gpt-4.1", 2),
        ("openai", "gpt-4.1", 9),
        ("", "openai/gpt-4.1", 9),
        ("azure", "gpt-4.1", 9),
        ("", "azure/gpt-4.1", 9),
        ("openai", "gpt-4.1-2025-04-14", 9),
        # A spelling that the list has no name for: the rule before the list.
        ("openrouter", "openai/gpt-4.1:nitro", 9),
        ("openai", "openai/responses/gpt-4.1", 9),
        # A name that only a pattern of the list takes for the model is another spelling, too.
        ("anthropic", "claude-sonnet-4.5", 8),
        ("", "anthropic/claude-sonnet-4.5", 8),
        ("openrouter", "anthropic/claude-sonnet-4.5", 3),
        ("openrouter", "qwen/qwen3-8b", 7),
        ("", "openrouter/qwen/qwen3-8b", 7),
    ],
)
def test_the_most_exact_name_wins_and_then_the_rule_before_the_list(provider: str, model: str, price: int) -> None:
    """Rules of 9, 8 and 7 dollars beside the list."""
    rules = (text_rule("gpt-4.1", price=9), text_rule("claude-sonnet-4-5", price=8))
    card = replace(CARD, text=(*rules, text_rule("qwen/qwen3-8b", provider="openrouter", price=7)))
    assert input_rate(card, provider, model) == price


@pytest.mark.parametrize(
    ("named", "provider", "model", "price"),
    [
        ("azure/gpt-4o", "azure", "gpt-4o", 6),
        ("azure/gpt-4o", "azure", "GPT-4o-2024-08-06", 6),
        ("Azure/GPT-4o", "azure_openai", "deployments/gpt-4o", 6),
        ("azure/gpt-4o", "", "azure/gpt-4o", 6),
        ("azure/gpt-4o", "openai", "gpt-4o", 5),
        ("azure/gpt-4o", "", "gpt-4o", 5),
        ("azure/eu/gpt-4o", "azure", "eu/gpt-4o", 6),
        ("azure/eu/gpt-4o", "azure", "gpt-4o", 5),
        ("models/gemini-9", "google", "gemini-9", 6),
        ("anthropic/claude-9.1", "anthropic", "claude-9-1", 6),
        ("openrouter/a/x", "openrouter", "a/x", 6),
        ("openrouter/a/x", "a", "x", None),
    ],
)
def test_a_rule_that_is_named_with_a_route_is_one_for_the_model_behind_it(
    named: str, provider: str, model: str, price: int | None
) -> None:
    """Of 6 dollars, beside one for `gpt-4o` anywhere of 5."""
    card = card_of(text_rule(named, price=6), text_rule("gpt-4o", price=5))
    assert input_rate(card, provider, model) == price


def test_a_rule_of_just_the_name_comes_before_one_with_a_route() -> None:
    """In either order; a rule with a provider does not leave it for that of its route."""
    rules = text_rule("azure/gpt-4o", price=6), text_rule("gpt-4o", provider="azure", price=4)
    assert {input_rate(card_of(*each), "azure", "gpt-4o") for each in (rules, rules[::-1])} == {Decimal(4)}
    assert input_rate(card_of(*rules), "azure", "azure/gpt-4o") == 6
    assert input_rate(card_of(text_rule("openai/gpt-4o", provider="openrouter", price=6)), "openai", "gpt-4o") is None


def test_a_fine_tune_without_a_price_says_what_to_do() -> None:
    """It is not priced by the model that it was made from."""
    refused = price_bound(CARD, Work("text", "openai", "ft:gpt-4.1-2025-04-14:org::id", 1), NOW)
    assert isinstance(refused, UnpricedWork)
    message = "a fine-tune of 'gpt-4.1-2025-04-14', which has a price of its own: give it a rule in the card"
    assert message in refused.message


def test_no_more_is_remembered_than_stated() -> None:
    """Then all is forgotten, and found anew."""
    card = card_of(text_rule("m"))
    for number in range(MAX_REMEMBERED + 2):
        card.text_rule("", f"m{number}")
        card.image_rule("", f"m{number}")
    assert len(card._text_rules) == len(card._image_rules) == 2
    assert card.text_rule("", "m") is not None
