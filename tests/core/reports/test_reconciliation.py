"""A bill beside the charges: what meets, what differs, and what makes up for it.

| bill                        | charges                | tolerance   | result                                                  |
| --------------------------- | ---------------------- | ----------- | ------------------------------------------------------- |
| nothing                     | nothing                | 0           | no rows                                                 |
| gpt-4o-2024-08-06 1.25      | gpt-4o 1.25            | 0           | agrees, under gpt-4o                                    |
| 1.25 in two lines           | 1.00                   | 0.01        | +0.25, 25 credits are charged                           |
| 1.00                        | 1.25                   | 0.01        | -0.25, 25 credits are given back                        |
| 1.00                        | 1.01 / 1.0101          | 0.01        | agrees / differs                                        |
| 100                         | 101 / 101.01           | 1%          | agrees / differs                                        |
| gpt-4o on another day       | gpt-4o                 | 0.01        | on one side each: charged for one day, back for another |
| -                           | claude, on no day of it | 0.01       | differs, and nothing makes up for it                    |
| a fine-tune of gpt-4o       | gpt-4o                 | 0           | on one side each                                        |
| tokens, no money            | other tokens           | 0           | differs, and nothing makes up for it                    |
"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import CostBasis, RateCard, TextRule
from creditmeter.core.reports.reconciliation import (
    Compared,
    Correction,
    Reconciliation,
    Side,
    Sums,
    Tolerance,
    credits_per_usd,
    in_microcredits,
    model_key,
)

DAY, NEXT = "2026-11-21", "2026-11-22"
CENT = Tolerance(usd=Decimal("0.01"))
EXACT = Tolerance()


def usd(amount: str) -> Sums:
    """Sums of money alone."""
    return Sums(Decimal(amount))


def hundred(_: str) -> Decimal:
    """A hundred credits for a dollar of any model."""
    return Decimal(100)


def both(billed: str, charged: str) -> Reconciliation:
    """One day and model on both sides."""
    made = Reconciliation(in_usd=True)
    made.add_billed(DAY, "gpt-4o", usd(billed))
    made.add_charged(DAY, "gpt-4o", usd(charged))
    return made


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o", "GPT-4o", "azure/gpt-4o-2024-11-20"), "gpt-4o"),
        (("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"), "gpt-4-1-mini"),
        (
            (
                "Claude Sonnet 4.5",
                "claude-sonnet-4-5-20250929",
                "claude-sonnet-4-5@20250929",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "anthropic/claude-sonnet-4.5:thinking",
                "anthropic:claude-sonnet-4-5",
                "anthropic/claude-4.5-sonnet-20250929",
            ),
            "claude-sonnet-4-5",
        ),
        (("Claude Sonnet 3.7", "claude-3-7-sonnet-20250219", "claude-3-7-sonnet-latest"), "claude-sonnet-3-7"),
        (("Claude Haiku 3", "claude-3-haiku-20240307"), "claude-haiku-3"),
        (("ft:gpt-4o-2024-08-06:acme::x1",), "ft:gpt-4o-2024-08-06:acme::x1"),
        (("web search tool calls",), "web-search-tool-calls"),
    ],
)
def test_names_of_one_model_meet(names: tuple[str, ...], key: str) -> None:
    """However a bill or a reseller writes it."""
    assert {model_key(each) for each in names} == {key}


def test_nothing_is_compared_with_nothing() -> None:
    """And both sides state nothing."""
    assert Reconciliation(in_usd=True).compared() == []
    assert Reconciliation(in_usd=True).total() == Compared("", "", "", None, None)


def test_lines_of_one_day_and_model_are_added_up() -> None:
    """0.75 + 0.50 = 1.25 of a snapshot; the charges name the model, and so does the row."""
    made = Reconciliation(in_usd=True)
    made.add_billed(DAY, "gpt-4o-2024-08-06", Sums(Decimal("0.75"), 100, None))
    made.add_billed(DAY, "gpt-4o-2024-08-06", Sums(Decimal("0.50"), None, 7))
    made.add_charged(DAY, "gpt-4o", Sums(Decimal("1.25"), 100, 7))
    (found,) = made.compared()
    assert found == Compared(DAY, "gpt-4o", "gpt-4o", Sums(Decimal("1.25"), 100, 7), Sums(Decimal("1.25"), 100, 7))
    assert found.side is Side.BOTH
    assert made.difference(found) == 0
    assert made.agrees(found, EXACT)


@pytest.mark.parametrize(
    ("billed", "charged", "tolerance", "agrees"),
    [
        ("1.00", "1.01", CENT, True),
        ("1.00", "1.0101", CENT, False),
        ("1.01", "1.00", CENT, True),
        ("100", "101", Tolerance(percent=Decimal(1)), True),
        ("100", "101.01", Tolerance(percent=Decimal(1)), False),
        ("-100", "-101", Tolerance(percent=Decimal(1)), True),
        ("0", "0.01", Tolerance(percent=Decimal(100)), False),
        ("0.10", "0.11", Tolerance(Decimal("0.01"), Decimal(1)), True),
        ("1.00", "1.00", EXACT, True),
    ],
)
def test_tolerance(billed: str, charged: str, tolerance: Tolerance, agrees: bool) -> None:
    """Either of the two is enough, and both bounds are included."""
    made = both(billed, charged)
    assert made.agrees(made.compared()[0], tolerance) is agrees


@pytest.mark.parametrize(
    ("billed", "charged", "amount", "is_charge"),
    [("1.25", "1.00", 25_000_000, True), ("1.00", "1.25", 25_000_000, False)],
)
def test_a_difference_is_made_up_for(billed: str, charged: str, amount: int, is_charge: bool) -> None:
    """0.25 USD x 100 credits = 25 credits, charged or given back."""
    made = both(billed, charged)
    (found,) = made.corrections(made.compared(), hundred)
    assert (found.day, found.model, found.amount, found.is_charge) == (DAY, "gpt-4o", amount, is_charge)


def test_days_on_one_side_are_made_up_for() -> None:
    """Billed for one day and charged on the next: 200 credits are charged, and 300 given back."""
    made = Reconciliation(in_usd=True)
    made.add_billed(DAY, "gpt-4o", usd("2"))
    made.add_charged(NEXT, "gpt-4o", usd("3"))
    assert [each.side for each in made.compared()] == [Side.BILL, Side.CHARGES]
    found = [(each.day, each.amount, each.is_charge) for each in made.corrections(made.compared(), hundred)]
    assert found == [(DAY, 200_000_000, True), (NEXT, 300_000_000, False)]
    total = made.total()
    assert made.difference(total) == -1


def test_a_model_that_the_bill_never_names_is_not_given_back() -> None:
    """Another provider may have billed it. It differs all the same."""
    made = both("1", "1")
    made.add_charged(DAY, "claude-opus-4-5", usd("9"))
    differing = [each for each in made.compared() if not made.agrees(each, CENT)]
    assert [each.model for each in differing] == ["claude-opus-4-5"]
    assert made.corrections(differing, hundred) == []


def test_what_is_less_than_a_microcredit_is_no_entry() -> None:
    """0.000000004 USD x 100 x 1,000,000 = 0.4 microcredits."""
    made = both("1.000000004", "1")
    assert not made.agrees(made.compared()[0], EXACT)
    assert made.corrections(made.compared(), hundred) == []


def test_tokens_are_compared_where_the_bill_states_no_money() -> None:
    """101 against 100 is within 1 percent of 101; what is only charged differs; nothing makes up for it."""
    made = Reconciliation(in_usd=False)
    made.add_billed(DAY, "gpt-4o", Sums(None, 101, 50))
    made.add_charged(DAY, "gpt-4o", Sums(Decimal("0.5"), 100, 50))
    made.add_charged(NEXT, "gpt-4o", Sums(Decimal("0.5"), 100, 50))
    first, second = made.compared()
    assert made.agrees(first, Tolerance(percent=Decimal(1)))
    assert not made.agrees(first, CENT)
    assert not made.agrees(second, CENT)
    assert made.difference(first) is None
    assert made.corrections([first, second], hundred) == []


def test_output_tokens_alone_make_a_difference() -> None:
    """The counts of input agree."""
    made = Reconciliation(in_usd=False)
    made.add_billed(DAY, "gpt-4o", Sums(None, 100, 51))
    made.add_charged(DAY, "gpt-4o", Sums(Decimal(0), 100, 50))
    assert not made.agrees(made.compared()[0], EXACT)


def test_credits_for_a_dollar_have_the_markup_of_the_model() -> None:
    """100 credits x 1.5 for a model with a rule of its own, 100 x 1.2 for any other."""
    rules = (TextRule(model="gpt-4.1", markup=Decimal("1.5")), TextRule(model="claude-sonnet-4-5", markup=Decimal("1.5")))
    card = RateCard(version="v", effective_from=Instant(0), text=rules, markup=Decimal("1.2"))
    assert credits_per_usd(card, "gpt-4.1") == 150
    assert credits_per_usd(card, "Claude Sonnet 4.5") == 150
    assert credits_per_usd(card, "web search tool calls") == 120


def test_credits_for_a_dollar_that_is_reported_have_the_markup_on_it() -> None:
    """100 credits x 2: the prices of the rule are its own, and have none."""
    rule = TextRule(model="house", basis=CostBasis.REPORTED, reported_markup=Decimal(2))
    assert credits_per_usd(RateCard(version="v", effective_from=Instant(0), text=(rule,)), "house") == 200


@pytest.mark.parametrize(("amount", "expected"), [("0.000000005", 0), ("0.000000015", 2), ("-0.5", -50_000_000)])
def test_credits_are_rounded_to_the_nearest_microcredit(amount: str, expected: int) -> None:
    """0.5 and 1.5 microcredits are as near to one as to the other: the even one is taken."""
    assert in_microcredits(Decimal(amount), Decimal(100)) == expected


AMOUNTS = st.decimals(-1000, 1000, places=9)
ENTRIES = st.lists(st.tuples(st.sampled_from([DAY, NEXT]), st.sampled_from(["gpt-4o", "gpt-4o-2024-08-06", "o3"]), AMOUNTS))


@given(billed=ENTRIES, charged=ENTRIES, data=st.data())
def test_the_order_of_lines_does_not_matter(
    billed: list[tuple[str, str, Decimal]], charged: list[tuple[str, str, Decimal]], data: st.DataObject
) -> None:
    """The rows are the same, their differences add up to the total, and corrected charges come to what was billed."""
    one, other = Reconciliation(in_usd=True), Reconciliation(in_usd=True)
    for made, bill, charges in (
        (one, billed, charged),
        (other, data.draw(st.permutations(billed)), data.draw(st.permutations(charged))),
    ):
        for day, name, amount in bill:
            made.add_billed(day, name, Sums(amount))
        for day, name, amount in charges:
            made.add_charged(day, name, Sums(amount))
    assert one.compared() == other.compared()
    differences = [one.difference(each) or Decimal(0) for each in one.compared()]
    assert sum(differences) == sum(each[2] for each in billed) - sum(each[2] for each in charged)
    corrected = {(each.day, each.model): _signed(each) for each in one.corrections(one.compared(), hundred)}
    for each, apart in zip(one.compared(), differences, strict=True):
        if one.is_billed(each.model):
            assert abs(corrected.get((each.day, each.model), 0) - apart * 100_000_000) <= Decimal("0.5")


def _signed(each: Correction) -> int:
    return each.amount if each.is_charge else -each.amount
