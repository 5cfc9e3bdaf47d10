"""Whose price a model's is: by rules of the card's own and by a price list, with the models of higher cost."""

from decimal import Decimal

import pytest

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import from_credits
from creditmeter.core.prices.price_list import PriceList
from creditmeter.core.prices.rate_card import ActionRule, CostBasis, PriceUnit, RateCard, TextRule
from creditmeter.core.prices.rate_card_document import RateCardError, parse_rate_card
from tests.core.prices.documents import HEAD, NOW, card_of, default_card, problems, rates, text_rule

OPENAI = text_rule("gpt-4o", "gpt-4o-latest", provider="openai", price=1)
AZURE = text_rule("gpt-4o", provider="azure", price=2)
ANYWHERE = text_rule("gpt-4o", price=3)
SNAPSHOT = text_rule("gpt-4o-2024-05-13", provider="openai", price=4)


@pytest.mark.parametrize(
    ("rules", "provider", "model", "expected"),
    [
        ([OPENAI], "openai", "gpt-4o", OPENAI),
        ([OPENAI], "openai", "gpt-4o-latest", OPENAI),
        ([OPENAI], "", "gpt-4o", OPENAI),
        ([OPENAI], "azure", "gpt-4o", None),
        ([OPENAI], "openai", "gpt-4", None),
        ([OPENAI], "openai", "gpt-4o-mini", None),
        ([OPENAI], "openai", "GPT-4o", OPENAI),
        ([text_rule("Llama", provider="openai")], "openai", "llama", text_rule("Llama", provider="openai")),
        ([OPENAI], "openai", "", None),
        ([OPENAI, AZURE], "openai", "gpt-4o", OPENAI),
        ([OPENAI, AZURE], "azure", "gpt-4o", AZURE),
        ([OPENAI, AZURE], "", "gpt-4o", None),
        ([OPENAI, AZURE], "", "gpt-4o-latest", OPENAI),
        ([OPENAI, ANYWHERE], "openai", "gpt-4o", OPENAI),
        ([OPENAI, ANYWHERE], "azure", "gpt-4o", ANYWHERE),
        ([OPENAI, ANYWHERE], "", "gpt-4o", ANYWHERE),
        ([OPENAI], "openai", "gpt-4o-2024-08-06", OPENAI),
        ([OPENAI], "openai", "gpt-4o-20240806", OPENAI),
        ([OPENAI], "openai", "gpt-4o@20240806", OPENAI),
        ([OPENAI], "", "gpt-4o-2024-08-06", OPENAI),
        ([OPENAI], "azure", "gpt-4o-2024-08-06", None),
        ([OPENAI], "openai", "gpt-4o-0806", None),
        ([OPENAI], "openai", "gpt-4o-2024-08-06-preview", None),
        ([OPENAI, SNAPSHOT], "openai", "gpt-4o-2024-05-13", SNAPSHOT),
        ([OPENAI, SNAPSHOT], "openai", "gpt-4o-2024-08-06", OPENAI),
        ([OPENAI, SNAPSHOT, ANYWHERE], "azure", "gpt-4o-2024-05-13", ANYWHERE),
    ],
)
def test_a_model_finds_its_rule(rules: list[TextRule], provider: str, model: str, expected: TextRule | None) -> None:
    """By provider and name, then by name alone, then without the date of its snapshot."""
    assert card_of(*rules).text_rule(provider, model) == expected
    assert card_of(*reversed(rules)).text_rule(provider, model) == expected


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", True),
        ("openai", "gpt-4o-latest", True),
        ("", "gpt-4o-2024-08-06", True),
        ("openai", "gpt-4o-2024-05-13", False),
        ("someone", "unlisted", True),
        ("", "unlisted-20260101", True),
        ("", "other", False),
        ("", "", False),
    ],
)
def test_a_higher_cost_model_is_one_by_any_of_its_names(provider: str, model: str, expected: bool) -> None:
    """The list may name it by an alias, and it need not have a rule for text."""
    for name in ("gpt-4o", "gpt-4o-latest"):
        card = card_of(OPENAI, SNAPSHOT, higher_cost_models=frozenset({name, "unlisted"}))
        assert card.is_higher_cost(provider, model) is expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-opus-4-5-20251101"),
        ("openrouter", "anthropic/claude-opus-4.5"),
        ("openrouter", "anthropic/claude-opus-4.5:thinking"),
        ("openrouter", "openai/o1"),
        ("openrouter", "openai/gpt-5.5"),
        ("azure", "o1-2024-12-17"),
        ("aws", "anthropic.claude-opus-4-5-20251101-v1:0"),
        ("aws", "us.anthropic.claude-opus-4-1-20250805-v1:0"),
        ("aws", "us-gov.anthropic.claude-opus-4-20250514-v1:0"),
        ("google", "claude-opus-4-1@20250805"),
        ("google", "publishers/anthropic/models/claude-opus-4-5@20251101"),
        ("litellm", "anthropic/claude-opus-4-5"),
        ("a-proxy", "Claude-Opus-4.5"),
        ("", "claude-opus-4-20250514"),
    ],
)
def test_a_reseller_makes_no_model_cheaper(provider: str, model: str) -> None:
    """What is of higher cost is so under the names that others sell it by."""
    card = default_card()
    assert card.is_higher_cost(provider, model)
    assert card.is_higher_cost(provider, model), "as remembered"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openrouter", "anthropic/claude-sonnet-4.5"),
        ("openrouter", "openai/o1-mini"),
        ("openai", "o1-mini"),
        ("openai", "gpt-5"),
        ("aws", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("google", "gemini-2.5-pro"),
        ("", "o"),
        ("", "/"),
        ("", "-v1:0"),
    ],
)
def test_other_models_stay_standard(provider: str, model: str) -> None:
    """However alike their names are."""
    assert not default_card().is_higher_cost(provider, model)


def test_a_snapshot_with_rules_at_two_providers_is_of_higher_cost_at_both() -> None:
    """Though its name alone finds neither."""
    name = "claude-opus-4-5-20251101"
    card = card_of(*(text_rule(name, provider=each) for each in ("anthropic", "google")), higher_cost_models=frozenset({name}))
    assert all(card.is_higher_cost(each, name) for each in ("anthropic", "google", "aws"))


def test_a_rules_provider_goes_by_either_name() -> None:
    """OpenTelemetry's and the price list's, capitals or not; for text and for images, and where two rules clash."""
    rule = '[[{}.models]]\nprovider = "{}"\nmodel = "m"\n{}\n'
    text, image = "input = 1\noutput = 1", "credits = 1"
    card = parse_rate_card(HEAD + rule.format("text", "aws.bedrock", text) + rule.format("image", "GCP.Vertex_AI", image))
    assert card.text_rule("aws", "m") is not None
    assert card.image_rule("google", "M") is not None
    clash = rule.format("text", "aws", text) + rule.format("text", "AWS.Bedrock", text).replace('"m"', '"M"')
    assert problems(HEAD + clash) == ["line 10, text.models \"M\": model 'M' of provider 'aws' already has a rule, in line 5"]


# --- The card that ships ----------------------------------------------------------------------------------------------


def test_the_default_card_is_a_card() -> None:
    """It is in effect from the start, and its bounds are the usual ones."""
    card = default_card()
    assert (card.version, card.document_version) == (f"default-2026-12+{bundled_price_list().version}", "default-2026-12")
    assert card.effective_from == 0
    assert card.credits_per_usd == 100
    assert card.increment == card.minimum == from_credits(1)
    assert card.cap is None
    assert card.fallback == ""
    assert card.free == {"view", "edit"}


@pytest.mark.parametrize(
    ("provider", "model", "input_rate", "output_rate", "cache_read", "cache_write"),
    [
        ("openai", "gpt-4o", "2.5", "10", "1.25", "2.5"),
        ("openai", "gpt-4o-2024-11-20", "2.5", "10", "1.25", "2.5"),
        ("openai", "gpt-4o-2024-05-13", "5", "15", "5", "5"),
        ("openai", "gpt-4o-mini-2024-07-18", "0.15", "0.6", "0.075", "0.15"),
        ("openai", "gpt-4.1", "2", "8", "0.5", "2"),
        ("anthropic", "claude-sonnet-4-5-20250929", "3", "15", "0.3", "3.75"),
        ("anthropic", "claude-haiku-4-5", "1", "5", "0.1", "1.25"),
        ("anthropic", "claude-opus-4-20250514", "15", "75", "1.5", "18.75"),
        ("anthropic", "claude-opus-4-6", "5", "25", "0.5", "6.25"),
        ("google", "gemini-2.5-pro", "1.25", "10", "0.125", "1.25"),
        ("google", "gemini-2.5-flash", "0.3", "2.5", "0.03", "0.3"),
    ],
)
def test_the_default_card_has_list_prices(
    provider: str, model: str, input_rate: str, output_rate: str, cache_read: str, cache_write: str
) -> None:
    """What the providers publish, in US dollars per million tokens."""
    for named in (provider, ""):
        rule = default_card().text_rule(named, model)
        assert rule is not None
        assert rule.unit is PriceUnit.USD
        found = rates(rule)
        assert (found.input, found.output, found.cache_read, found.cache_write) == tuple(
            map(Decimal, (input_rate, output_rate, cache_read, cache_write))
        )


def test_the_default_card_keeps_to_the_usual_prices() -> None:
    """Images cost 10 to 20 credits, tools 1, other actions 1 or 2."""
    card = default_card()
    prices = [price for rule in card.images for price in (rule.credits, *rule.variants.values()) if price is not None]
    assert prices
    assert all(10 <= price <= 20 for price in prices)
    assert card.tools is not None
    assert card.tools.by_name.keys() == {"web_search", "tweet_search", "seo_search"}
    assert {card.tools.default, *card.tools.by_name.values()} == {1}
    one_or_two = ActionRule(Decimal(1), Decimal(2))
    assert card.actions == {"engagement": one_or_two, "directory_submission": one_or_two}


def test_every_higher_cost_model_of_the_default_card_has_a_price() -> None:
    """A name that nothing else knows would be a slip of the pen."""
    card = default_card()
    assert card.higher_cost_models
    assert all(card.text_rule("", model) for model in card.higher_cost_models)


# --- Prices from a list, and of long inputs ---------------------------------------------------------------------------

SOURCE = 'source = "genai-prices"'


def listed_card(document: str) -> RateCard:
    """A card of a document that may name the price list."""
    return parse_rate_card(HEAD + document, bundled_price_list)


def wrong(document: str) -> list[str]:
    """What is wrong with such a document."""
    with pytest.raises(RateCardError) as refused:
        listed_card(document)
    return list(refused.value.problems)


def test_a_card_without_a_source_fetches_no_list() -> None:
    """To compile one takes a while, and its version is not the card's."""

    def fetch() -> PriceList:
        pytest.fail("nobody asked for it")

    assert parse_rate_card(f'{HEAD}[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1', fetch).version == "v1"


@pytest.mark.parametrize(
    "name",
    ["azure/gpt-4o", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "vertex_ai/gemini-2.5-pro", "models/gemini-2.5-pro"],
)
def test_a_rule_finds_its_source_by_any_spelling(name: str) -> None:
    """As a call of that name finds its price."""
    by_rule = listed_card(f'[[text.models]]\nmodel = "{name}"\n{SOURCE}\nmarkup = 2').text_rule("", name)
    by_list = listed_card(f"[text]\n{SOURCE}").text_rule("", name)
    assert by_rule is not None
    assert by_list is not None
    assert by_rule.markup == 2
    assert by_rule.listed == by_list.listed


def test_the_list_prices_what_no_rule_names() -> None:
    """Times the markup; the card's version says whose prices they are."""
    card = listed_card(f'[text]\n{SOURCE}\nmarkup = "1.5"\n[[text.models]]\nmodel = "gpt-4o"\ninput = 1\noutput = 1')
    own, listed = card.text_rule("openai", "gpt-4o-2024-11-20"), card.text_rule("", "claude-sonnet-4-5-20250929")
    assert own is not None
    assert listed is not None
    assert own.listed is None
    assert (rates(own).input, own.markup) == (Decimal(1), Decimal(1))
    assert (listed.provider, listed.model, rates(listed).input, listed.markup) == (
        "anthropic",
        "claude-sonnet-4-5",
        Decimal(3),
        Decimal("1.5"),
    )
    assert card.text_rule("acme", "claude-sonnet-4-5") is None
    assert card.text_rule("", "unheard-of") is None
    assert (card.version, card.data_version, card.document_version) == (
        f"v1+{bundled_price_list().version}",
        bundled_price_list().version,
        "v1",
    )


def test_one_model_may_be_priced_by_the_list() -> None:
    """Under the names that its rule gives it, with a markup of its own; others stay without a price."""
    card = listed_card(f'[[text.models]]\nmodel = "gpt-4o"\nalso = ["house"]\n{SOURCE}\nmarkup = 2')
    for name in ("gpt-4o", "house"):
        rule = card.text_rule("", name)
        assert rule is not None
        assert (rates(rule).input, rule.markup) == (Decimal("2.5"), Decimal(2))
    assert card.text_rule("", "gpt-4o-mini") is None


def test_models_of_the_list_may_be_of_higher_cost() -> None:
    """By the name that the card gives, whichever of its names is called."""
    card = listed_card(f'higher_cost_models = ["claude-opus-4-5"]\n[text]\n{SOURCE}')
    assert card.is_higher_cost("anthropic", "claude-opus-4-5-20251101")
    assert card.is_higher_cost("", "claude-opus-4-5")
    assert not card.is_higher_cost("", "claude-sonnet-4-5")


def test_long_inputs_have_rates_of_their_own() -> None:
    """What a tier leaves out is as the model's, if that gives it, else as what stands in for it."""
    card = parse_rate_card(
        HEAD
        + """
        [[text.models]]
        model = "m"
        input = 1
        output = 4
        cache_read = "0.5"
        per_call = "0.005"
        [[text.models.long_context]]
        above_input_tokens = 100
        input = 2
        [[text.models.long_context]]
        above_input_tokens = 200
        input = 3
        output = 9
        cache_read = 2
        """
    )
    (rule,) = card.text
    found = [rates(rule, tokens) for tokens in (0, 100, 101, 200, 201)]
    assert [(each.input, each.output, each.cache_read, each.cache_write, each.reasoning) for each in found] == [
        tuple(map(Decimal, expected))
        for expected in (
            ("1", "4", "0.5", "1", "4"),
            ("1", "4", "0.5", "1", "4"),
            ("2", "4", "0.5", "2", "4"),
            ("2", "4", "0.5", "2", "4"),
            ("3", "9", "2", "3", "9"),
        )
    ]
    assert rule.prices_at(NOW).per_call == Decimal("0.005")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('[text]\nsource = "elsewhere"', "line 4, text: source must be 'genai-prices', the one there is"),
        ("[text]\nmarkup = 2", "line 4, text: markup goes with a source: write what you charge into prices of your own"),
        (f"[text]\n{SOURCE}\nmarkup = 0", "line 5, text: markup must be above 0"),
        (
            f'[text]\n{SOURCE}\ncost = "lower"',
            "line 5, text: cost must be one of 'list', 'reported', 'higher'",
        ),
        ('[text]\ncost = "reported"', "line 4, text: cost goes with a source: a rule in text.models says it for itself"),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\ncost = true',
            "line 7, text.models \"m\": cost must be one of 'list', 'reported', 'higher'",
        ),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\nmarkup = 2',
            'line 7, text.models "m": markup goes with a source or a reported cost: write what you charge into prices',
        ),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\ncost = "higher"\nmarkup = 0',
            'line 8, text.models "m": markup must be above 0',
        ),
        (
            f'[[text.models]]\nmodel = "no-such-model"\n{SOURCE}',
            f'line 5, text.models "no-such-model": source has no price for this model in {bundled_price_list().version}',
        ),
        (f'[[text.models]]\nmodel = "gpt-4o"\n{SOURCE}\ninput = 1', 'text.models "gpt-4o": input is not a key of this table'),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\n[[text.models.long_context]]\ninput = 2',
            "above_input_tokens is missing",
        ),
        (
            '[[text.models]]\nmodel = "m"\ninput = 1\noutput = 1\nlong_context = [{ above_input_tokens = 9 }, TWICE]',
            "long_context must begin at ever more input tokens",
        ),
        (
            f'[text]\n{SOURCE}\n[tools]\nversion = 1\ncolour = "red"',
            'line 7, tools: colour must be a number such as "0.25" or 2',
        ),
    ],
)
def test_what_is_said_about_a_wrong_source_or_tier(document: str, expected: str) -> None:
    """With the line and the rule."""
    document = document.replace("TWICE", "{ above_input_tokens = 9 }")
    assert any(expected in problem for problem in wrong(document)), wrong(document)


def test_a_version_has_room_for_the_lists() -> None:
    """Charges carry both."""
    text = f'version = "{"v" * 128}"\neffective_from = 2026-11-01T00:00:00Z\n'
    assert parse_rate_card(text).version == "v" * 128
    with pytest.raises(RateCardError, match="version is too long"):
        parse_rate_card(f"{text}[text]\n{SOURCE}", bundled_price_list)


def test_without_a_list_at_hand_a_source_is_a_problem() -> None:
    """A published card brings its prices along."""
    with pytest.raises(RateCardError, match="is not at hand here"):
        parse_rate_card(f"{HEAD}[text]\n{SOURCE}")


@pytest.mark.parametrize("number", ["credits_per_usd = 999999999", "credits_per_usd = 100000\n[text]\nmarkup = 100000"])
def test_listed_prices_may_be_too_high_too(number: str) -> None:
    """By what they are multiplied with."""
    everything = number if "[text]" in number else f"{number}\n[text]"
    with pytest.raises(RateCardError, match="source has prices that come to more than 1,000,000,000 credits"):
        listed_card(f"{everything}\n{SOURCE}")
    with pytest.raises(RateCardError, match='"gpt-4o": source comes to more than 1,000,000,000 credits'):
        listed_card(f'credits_per_usd = 999999999\n[[text.models]]\nmodel = "gpt-4o"\n{SOURCE}')


def test_what_a_rule_charges() -> None:
    """Its list price, unless it says so; the card says it for the models of its list that have no rule."""
    card = parse_rate_card(
        f"""{HEAD}
        [text]
        {SOURCE}
        markup = "1.2"
        cost = "higher"
        [[text.models]]
        model = "gpt-4o"
        {SOURCE}
        markup = 3
        cost = "reported"
        [[text.models]]
        model = "gpt-4.1"
        {SOURCE}
        [[text.models]]
        model = "house"
        input = 1
        output = 1
        cost = "reported"
        markup = 2
        """,
        bundled_price_list,
    )
    names = (("", "gpt-4o"), ("", "gpt-4.1"), ("", "house"), ("anthropic", "claude-sonnet-4-5"))
    rules = [card.text_rule(*name) for name in names]
    assert [(rule.basis, rule.markup, rule.reported_markup) for rule in rules if rule is not None] == [
        (CostBasis.REPORTED, 3, 3),
        (CostBasis.LIST, 1, 1),
        (CostBasis.REPORTED, 1, 2),
        (CostBasis.HIGHER, Decimal("1.2"), Decimal("1.2")),
    ]
    assert parse_rate_card(f"{HEAD}[text]\n{SOURCE}", bundled_price_list).basis is CostBasis.LIST
