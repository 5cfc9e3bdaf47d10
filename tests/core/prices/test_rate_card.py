"""The rate card: what its document may say, and what is said about one that is wrong."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import from_credits
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import ActionRule, PriceUnit, RateCard, ToolRules
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rates import TextRates
from tests.core.prices.documents import HEAD, problems, rates

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


WHOLE_CARD = """\
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


def test_a_whole_card_is_read() -> None:
    """Each section ends up in its field."""
    card = parse_rate_card(WHOLE_CARD)
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
