"""The rate card: what its document may say, what is said about one that is wrong, and whose price a model's is."""

from dataclasses import fields
from decimal import Decimal
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import from_credits
from creditmeter.core.instants import Instant
from creditmeter.core.price_list import PriceList
from creditmeter.core.rate_card import (
    ActionRule,
    PriceUnit,
    RateCard,
    TextRule,
    ToolRules,
)
from creditmeter.core.rate_card_document import RateCardError, parse_rate_card
from creditmeter.core.rates import TextPrices, TextRates

NOW = Instant(1_800_000_000_000_000)
HEAD = """\
version = "v1"
effective_from = 2026-11-01T00:00:00Z
"""


def default_card() -> RateCard:
    """The card that ships."""
    document = files("creditmeter.core").joinpath("default_rate_card.toml").read_text(encoding="utf-8")
    return parse_rate_card(document, bundled_price_list)


def problems(document: str) -> list[str]:
    """What is wrong with a document."""
    with pytest.raises(RateCardError) as refused:
        parse_rate_card(document)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return list(refused.value.problems)


def text_rule(*names: str, provider: str = "", price: int = 1) -> TextRule:
    """A rule in which everything has one price."""
    rates = TextRates(**{rate.name: Decimal(price) for rate in fields(TextRates)})
    return TextRule(model=names[0], also=names[1:], provider=provider, prices=TextPrices(rates))


def rates(rule: TextRule, input_tokens: int = 0) -> TextRates:
    """What a rule says tokens cost."""
    return rule.prices_at(NOW).for_input(input_tokens)


def card_of(*rules: TextRule, higher_cost_models: frozenset[str] = frozenset()) -> RateCard:
    """A card with these rules for text."""
    return RateCard(version="v", effective_from=Instant(0), text=rules, higher_cost_models=higher_cost_models)


# --- What a document may say ------------------------------------------------------------------------------------------


def test_a_card_needs_a_version_and_a_date_only() -> None:
    """Everything else has a default or no price."""
    card = parse_rate_card(HEAD)
    assert card == RateCard(version="v1", effective_from=Instant(1_793_491_200_000_000))
    assert card.credits_per_usd == 100
    assert card.increment == card.minimum == from_credits(1)
    assert card.cap is None
    assert card.tools is None
    assert (card.text, card.images, card.actions, card.free) == ((), (), {}, frozenset())


def test_a_whole_card_is_read() -> None:
    """Each section ends up in its field."""
    card = parse_rate_card(
        """\
        version = "2026.1+eu"
        effective_from = 2026-11-01T02:00:00+02:00
        credits_per_usd = "83.5"
        increment = "0.001"
        cap = 10
        free = ["view"]
        higher_cost_models = ["big"]
        [actions.engagement]
        [actions.export]
        standard = "0.5"
        higher_cost = 3
        [tools]
        web_search = "0.4"
        [image]
        models = [{ model = "paint", variants = { "1024x1024/hd" = 20 } }, { model = "draw", credits = 10 }]
        [text]
        minimum = "0.5"
        default_max_output_tokens = 1000
        fallback = "big"
        [[text.models]]
        model = "big"
        input = 3
        output = 15
        """
    )
    assert (card.version, card.effective_from) == ("2026.1+eu", Instant(1_793_491_200_000_000))
    assert card.credits_per_usd == Decimal("83.5")
    assert (card.increment, card.minimum, card.cap) == (1_000, 500_000, 10_000_000)
    assert (card.default_max_output_tokens, card.fallback) == (1000, "big")
    assert card.free == {"view"}
    assert card.actions["engagement"] == ActionRule(Decimal(1), Decimal(2))
    assert card.actions["export"] == ActionRule(Decimal("0.5"), Decimal(3))
    assert card.tools == ToolRules(Decimal(1), {"web_search": Decimal("0.4")})
    assert [(rule.model, rule.credits, dict(rule.variants)) for rule in card.images] == [
        ("paint", None, {"1024x1024/hd": Decimal(20)}),
        ("draw", Decimal(10), {}),
    ]


def test_a_missing_rate_is_its_stand_ins() -> None:
    """A class without a rate costs what the input or the output costs; a long cache write what a cache write costs."""
    bare, cached, full = parse_rate_card(
        HEAD
        + """
        [[text.models]]
        model = "bare"
        input = 2
        output = 8
        [[text.models]]
        model = "cached"
        unit = "credits"
        input = 2
        output = 8
        cache_read = 1
        cache_write = 3
        [[text.models]]
        model = "full"
        input = 1
        output = 2
        cache_read = 3
        cache_write = 4
        cache_write_1h = 5
        reasoning = 6
        audio_input = 7
        audio_output = 8
        image_input = 9
        image_output = 10
        """
    ).text
    assert (bare.unit, cached.unit) == (PriceUnit.USD, PriceUnit.CREDITS)
    assert rates(bare) == TextRates(*map(Decimal, (2, 8, 2, 2, 2, 8, 2, 8, 2, 8)))
    assert rates(cached) == TextRates(*map(Decimal, (2, 8, 1, 3, 3, 8, 2, 8, 2, 8)))
    assert rates(full) == TextRates(*map(Decimal, range(1, 11)))
    assert (rates(full).highest_input, rates(full).highest_output) == (Decimal(9), Decimal(10))


@pytest.mark.parametrize("written", ['"0.1"', "0.1", "1e-1", "0.10", '"0.10"', "+0.1"])
def test_a_price_is_the_decimal_that_it_is_written_as(written: str) -> None:
    """A text or a number without quotes: neither is ever a float."""
    (rule,) = parse_rate_card(f'{HEAD}[[text.models]]\nmodel = "m"\ninput = {written}\noutput = 1').text
    assert rates(rule).input == Decimal("0.1")


@given(st.decimals(0, 999_999_999, places=12) | st.integers(0, 999_999_999))
def test_every_price_is_read_exactly(price: Decimal | int) -> None:
    """To its last decimal place."""
    rates_of_it = f'unit = "credits"\ninput = "{price:f}"\noutput = {price:f}'
    (rule,) = parse_rate_card(f'{HEAD}[[text.models]]\nmodel = "m"\n{rates_of_it}').text
    assert rates(rule).input == rates(rule).output == price


# --- What is said about a wrong one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", ["line 1: effective_from is missing", "line 1: version is missing"]),
        ("version = 1", ["line 1: effective_from is missing", "line 1: version must be a text that is not empty"]),
        (
            'version = "a b"\neffective_from = 2026-11-01',
            [
                "line 1: version must be 1 to 128 printable ASCII characters without spaces",
                "line 2: effective_from must be a date and time with an offset, such as 2026-11-01T00:00:00Z",
            ],
        ),
        (
            'version = "v"\neffective_from = 2026-11-01T00:00:00',
            ["line 2: effective_from must be a date and time with an offset, such as 2026-11-01T00:00:00Z"],
        ),
        (HEAD + "credits_per_usd = 0", ["line 3: credits_per_usd must be above 0"]),
        (HEAD + "increment = 0\ncap = 0", ["line 3: increment must be above 0", "line 4: cap must be above 0"]),
        (HEAD + 'increment = "0.0000001"', ["line 3: increment must have at most six decimal places"]),
        (HEAD + 'cap = "0.5"', ["line 3: cap must not be below the minimum"]),
        (HEAD + "colour = 1", ["line 3: colour is not a key of this table"]),
        (HEAD + "[paint.colours]", ["line 3: paint is not a key of this table"]),
        (HEAD + "[paint.colours]\n[paint]", ["line 4: paint is not a key of this table"]),
        (HEAD + "text = 1\nimage = []", ["line 3: text must be a table", "line 4: image must be a table"]),
        (HEAD + "[text]\nmodels = [1]", ["line 4, text: models must be a list of tables"]),
        (
            HEAD + "[text]\nmodels = 1\nmin = 2",
            ["line 4, text: models must be a list of tables", "line 5, text: min is not a key of this table"],
        ),
        (
            HEAD + "[text]\ndefault_max_output_tokens = 0",
            ["line 4, text: default_max_output_tokens must be a whole number from 1 to 1,000,000,000"],
        ),
        (
            HEAD + '[text]\nfallback = "m"',
            ["line 4, text: fallback must name one model of text.models, and 'm' does not"],
        ),
        (HEAD + 'free = "view"', ["line 3: free must be a list of texts"]),
        (HEAD + 'free = ["view", "view"]', ["line 3: free lists 'view' more than once"]),
        (
            HEAD + 'free = ["text", "export"]\n[actions.export]',
            [
                "line 3: free must not list 'export', which is priced in a section of its own",
                "line 3: free must not list 'text', which is priced in a section of its own",
            ],
        ),
        (HEAD + "[actions.tool]", ["line 3, actions: tool has a section of its own"]),
        (
            HEAD + "[actions.export]\nstandard = -1\nprice = 1",
            [
                "line 4, actions.export: standard must not be negative",
                "line 5, actions.export: price is not a key of this table",
            ],
        ),
        (HEAD + "[tools]\nweb_search = true", ['line 4, tools: web_search must be a number such as "0.25" or 2']),
        (
            HEAD + '[[image.models]]\nmodel = "p"',
            ['line 3, image.models "p": credits is missing, and so are variants: there is no price'],
        ),
        (
            HEAD + '[[image.models]]\nmodel = "p"\n[image.models.variants]\nhd = "x"',
            ['line 6, image.models.variants: hd must be a number such as "0.25" or 2'],
        ),
    ],
)
def test_a_wrong_card_is_refused(document: str, expected: list[str]) -> None:
    """Each problem names its line, its table and its key."""
    assert problems(document) == expected


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("-1", "must not be negative"),
        ('"-0.25"', "must not be negative"),
        ("true", 'must be a number such as "0.25" or 2'),
        ("[1]", 'must be a number such as "0.25" or 2'),
        ("nan", 'must be a number such as "0.25" or 2'),
        ("-inf", 'must be a number such as "0.25" or 2'),
        ("1e99999999999999999999", 'must be a number such as "0.25" or 2'),
        ('""', 'must be a number such as "0.25" or 2'),
        ('"1_000"', 'must be a number such as "0.25" or 2'),
        ('" 1"', 'must be a number such as "0.25" or 2'),
        ('"1e3"', 'must be a number such as "0.25" or 2'),
        ('"१"', 'must be a number such as "0.25" or 2'),
        ("1e999999", "must be below 1,000,000,000 and have at most 12 decimal places"),
        ("1000000000", "must be below 1,000,000,000 and have at most 12 decimal places"),
        ('"0.0000000000001"', "must be below 1,000,000,000 and have at most 12 decimal places"),
    ],
)
def test_a_price_that_is_none_is_refused(written: str, problem: str) -> None:
    """What a price may be is narrow, so that what is charged is what was meant."""
    document = f'{HEAD}\n[[text.models]]\nmodel = "m"\ninput = {written}\noutput = 1'
    assert problems(document) == [f'line 6, text.models "m": input {problem}']


def test_all_problems_are_named_at_once() -> None:
    """In the order of their lines, each at the rule where it stands."""
    document = """\
version = "v1"
effective_from = "soon"

[[text.models]]
model = "first"
input = 1
output = 1

[[text.models]]
model = "second"
unit = "euro"
input = 1
cache_raed = 1

[[text.models]]     # a rule of nobody
input = "cheap"
output = -1

[[image.models]]
model = "paint"
also = [1]
credits = -5
"""
    assert problems(document) == [
        "line 2: effective_from must be a date and time with an offset, such as 2026-11-01T00:00:00Z",
        'line 9, text.models "second": output is missing',
        "line 11, text.models \"second\": unit must be one of 'usd', 'credits'",
        'line 13, text.models "second": cache_raed is not a key of this table',
        "line 15, text.models: model is missing",
        'line 16, text.models: input must be a number such as "0.25" or 2',
        "line 17, text.models: output must not be negative",
        'line 21, image.models "paint": also must be a list of texts',
        'line 22, image.models "paint": credits must not be negative',
    ]


def test_two_rules_for_one_model_are_refused() -> None:
    """By any of their names, at one provider; other providers may have rules of their own."""
    document = """\
version = "v1"
effective_from = 2026-11-01T00:00:00Z
[text]
models = [
  { model = "a", also = ["b"], input = 1, output = 1 },
  { model = "b", input = 1, output = 1 },
  { model = "b", provider = "other", input = 1, output = 1 },
  { model = "c", provider = "other", also = ["b"], input = 1, output = 1 },
]
"""
    assert problems(document) == [
        "line 4, text.models \"b\": model 'b' already has a rule, in line 4",
        "line 4, text.models \"c\": model 'b' of provider 'other' already has a rule, in line 4",
    ]


def test_a_fallback_must_be_one_model() -> None:
    """A name that two providers have says nothing."""
    rules = "".join(
        f'[[text.models]]\nprovider = "{provider}"\nmodel = "m"\ninput = 1\noutput = 1\n' for provider in ("a", "b")
    )
    assert problems(f'{HEAD}[text]\nfallback = "m"\n{rules}') == [
        "line 4, text: fallback must name one model of text.models, and 'm' does not"
    ]


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("version = ", 1),
        ('version = "v"\nversion = "w"', 2),
        ('version = "v"\n\n[text\n', 3),
        ("version = 'v'\ntext = {\n", 2),
        ("x = " + "[" * 100_000, 1),
        ("x = " + "9" * 10_000, 1),
        ("x = 2026-13-01T00:00:00Z", 1),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(document: str, line: int) -> None:
    """Whatever the parser raises, it is one problem of the card."""
    (problem,) = problems(document)
    assert problem.startswith(f"line {line}: not TOML: ")


DEAR = "credits_per_usd = 999999999"
RULE = '[[text.models]]\nmodel = "m"\n'


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ('[actions.""]', 'line 3, actions: "" must be a name that is not empty'),
        ('[tools]\n"" = 1', 'line 4, tools: "" must be a name that is not empty'),
        (
            '[[image.models]]\nmodel = "m"\nvariants = { "" = 1, hd = 2 }',
            'line 5, image.models.variants: "" must be a name that is not empty',
        ),
        (f"{DEAR}\n{RULE}input = 2\noutput = 1", 'line 6, text.models "m": input comes to more than 1,000,000,000 credits'),
        (
            f"{DEAR}\n{RULE}input = 1\noutput = 1\nper_call = 2",
            'line 8, text.models "m": per_call comes to more than 1,000,000,000 credits',
        ),
        (
            f"{DEAR}\n{RULE}input = 1\noutput = 1\nlong_context = [{{ above_input_tokens = 9, output = 2 }}]",
            'line 8, text.models "m": long_context comes to more than 1,000,000,000 credits',
        ),
    ],
)
def test_what_no_table_of_prices_could_show_is_refused(document: str, problem: str) -> None:
    """With its line, before it is published."""
    assert problems(HEAD + document) == [problem]


@pytest.mark.parametrize("number", ["credits_per_usd = 999999999", "credits_per_usd = 100000\n[text]\nmarkup = 100000"])
def test_listed_prices_may_be_too_high_too(number: str) -> None:
    """By what they are multiplied with."""
    everything = number if "[text]" in number else f"{number}\n[text]"
    with pytest.raises(RateCardError, match="source has prices that come to more than 1,000,000,000 credits"):
        listed_card(f"{everything}\n{SOURCE}")
    with pytest.raises(RateCardError, match='"gpt-4o": source comes to more than 1,000,000,000 credits'):
        listed_card(f'credits_per_usd = 999999999\n[[text.models]]\nmodel = "gpt-4o"\n{SOURCE}')


@pytest.mark.parametrize(
    ("moment", "is_right"),
    [
        ("1970-01-01T00:00:00Z", True),
        ("1970-01-01T00:00:00+00:01", False),
        ("0001-01-01T00:00:00+14:00", False),
        ("9999-12-31T23:59:59.999999Z", True),
        ("9999-12-31T23:59:59-00:01", False),
    ],
)
def test_a_card_takes_effect_at_a_moment_that_can_be_told(moment: str, is_right: bool) -> None:
    """Later or earlier ones have no timestamp."""
    document = f'version = "v"\neffective_from = {moment}\n'
    if is_right:
        parse_rate_card(document)
    else:
        assert problems(document) == ["line 2: effective_from must be from 1970 to 9999, in UTC"]


@pytest.mark.parametrize(
    "key",
    [
        "{} = 1",
        "[{}]",
        "[[ {} ]]",
        "x = {{ {} = 1 }}",
        "x = [{{ {} = 1 }}]",
    ],
)
@pytest.mark.parametrize("part", ["a", '"a"', "'a.b'", '"\\"."'])
def test_keys_of_many_parts_are_refused(key: str, part: str) -> None:
    """They would need memory by the square of their length: a document of 1 MB all there is."""
    for parts in (9, 100_000):
        told = problems(f"{HEAD}\n{key.format(' . '.join([part] * parts))}")
        assert told == ["line 4: not TOML: a key must have at most 8 parts"]
    assert "at most 8" not in problems(f"{HEAD}\n{key.format('.'.join([part] * 8))}")[0]


@pytest.mark.parametrize("text", ["# {}", '"{}"', "'{}'", '"""\n{}\n"""', "'''\n{}'''"])
def test_dots_elsewhere_are_no_parts(text: str) -> None:
    """In comments and texts."""
    dotted = "a.b.c.d.e.f.g.h.i.j"
    assert not any("parts" in each for each in problems(f"{HEAD}\nx = {text.format(dotted)}"))


@pytest.mark.parametrize("unclosed", ['"', "'", '"""', "'''", '"a".', "a. "])
def test_what_never_ends_takes_no_time(unclosed: str) -> None:
    """However often it begins."""
    assert len(problems(HEAD + unclosed * 100_000)) == 1


def test_lines_are_found_whatever_the_spelling() -> None:
    """Quoted, dotted and indented names are the same names."""
    document = """\
"version" = "v1"
effective_from = 2026-11-01T00:00:00Z

  [ text ]
    minimum = -1
[actions . "export"]
'standard' = -1
[actions.import]
standard.of = 1
"""
    assert problems(document) == [
        "line 5, text: minimum must not be negative",
        "line 7, actions.export: standard must not be negative",
        'line 9, actions.import: standard must be a number such as "0.25" or 2',
    ]


@given(st.text())
def test_any_text_is_a_card_or_its_problems(document: str) -> None:
    """Nothing else comes out of the reading."""
    assert problems(document)


# --- Whose price a model's is -----------------------------------------------------------------------------------------

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
    assert (card.version, card.document_version) == (f"default-2026-11+{bundled_price_list().version}", "default-2026-11")
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
