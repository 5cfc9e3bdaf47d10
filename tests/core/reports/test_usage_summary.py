"""Summing up usage: whatever it is grouped by, the groups add up to the total, and a page has the groups that belong on it.

| charges                        | by          | groups                                                                      |
| ------------------------------ | ----------- | --------------------------------------------------------------------------- |
| none                           | action      | none; the total is 0                                                        |
| any                            | nothing     | none; the total has them all                                                |
| of an amount, without usage    | action      | "" with their cost                                                          |
| of two models asked for one    | model       | by the one that served                                                      |
| with responses of other models | model       | these have the tokens and dollars of their responses, the first all else    |
| at 23:59 and 00:00 local time  | day         | two                                                                         |
| paid by two kinds              | kind        | each has what it paid; the first drawn has everything else                  |
| refunded in part               | kind        | each has what was undone of its own draws                                   |
| without any draw               | kind        | GRANT_KIND_UNSPECIFIED                                                      |
| some without the label         | label       | "" for these                                                                |
| of text, with a quantity       | -           | counts no images, tool calls and actions                                    |
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.calendar import Calendar, day_of
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.instants import HOUR, Instant, from_datetime
from creditmeter.core.reports.usage_summary import (
    Dimension,
    Grouping,
    Keys,
    LabelKey,
    Paid,
    PaidBy,
    Spent,
    SpentPart,
    Totals,
    UsageSummary,
    UsedCharge,
)

BERLIN = Calendar("Europe/Berlin", 1)
MIDNIGHT = from_datetime(datetime(2026, 3, 28, 23, tzinfo=UTC))
"""Midnight in Berlin, at the start of a day of 23 hours."""

NUMBERS = (
    "charges",
    "cost",
    "covered",
    "debt",
    "uncovered",
    "refunded",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "quantity",
)


def charge(
    cost: int = 10,
    *draws: tuple[GrantKind, int],
    refunded: int = 0,
    usage: Spent | None = None,
    at: int = 0,
    usd: str = "0.1",
    debt: int = 0,
    **labels: str,
) -> UsedCharge:
    """A charge so long after midnight, of which so much was refunded, last drawn first."""
    left, undone = refunded, []
    for kind, amount in reversed(draws):
        returned = min(left, amount)
        left -= returned
        undone.append(PaidBy(kind, Microcredits(amount), Microcredits(returned)))
    paid_by = tuple(reversed(undone))
    covered = sum(each.amount for each in paid_by)
    rest = Microcredits(cost - covered - debt)
    paid = Paid(Microcredits(covered), Microcredits(debt), rest, Microcredits(refunded), paid_by)
    return UsedCharge(Microcredits(cost), Decimal(usd), Instant(MIDNIGHT + at), paid, usage, labels)


def summed(charges: Sequence[UsedCharge], group_by: Sequence[Grouping], limit: int = 1_000) -> UsageSummary:
    """The summary of some charges."""
    summary = UsageSummary(BERLIN, group_by, limit)
    for each in charges:
        summary.add(each)
    return summary


def costs(charges: Sequence[UsedCharge], *group_by: Grouping) -> dict[Keys, int]:
    """What each group cost."""
    return {keys: totals.cost for keys, totals in summed(charges, group_by).page()}


def test_without_charges_there_are_no_groups() -> None:
    """And the total is nothing."""
    summary = summed([], [Dimension.ACTION])
    assert (summary.page(), summary.total) == ([], Totals())


def test_without_groupings_there_is_the_total_only() -> None:
    """The whole of it is there."""
    summary = summed([charge(3), charge(4)], [])
    assert (summary.page(), summary.total.cost, summary.total.charges) == ([], 7, 2)


def test_each_property_groups() -> None:
    """A charge of an amount has none of them."""
    text = Spent("text", "asked", "served", input_tokens=7, output_tokens=2)
    charges = [
        charge(1, usage=text),
        charge(2, usage=Spent("tool", tool="search")),
        charge(4),
        charge(8, usage=Spent("text", "asked")),
    ]
    assert costs(charges, Dimension.ACTION) == {("",): 4, ("text",): 9, ("tool",): 2}
    assert costs(charges, Dimension.MODEL) == {("",): 6, ("asked",): 8, ("served",): 1}
    assert costs(charges, Dimension.TOOL) == {("",): 13, ("search",): 2}
    assert costs(charges, Dimension.TOOL, Dimension.ACTION)["search", "tool"] == 2


def test_days_are_the_accounts_own() -> None:
    """Also one of 23 hours."""
    charges = [charge(1, at=-1), charge(2), charge(4, at=23 * HOUR - 1), charge(8, at=23 * HOUR), charge(16, at=-1)]
    assert costs(charges, Dimension.DAY) == {("2026-03-28",): 17, ("2026-03-29",): 6, ("2026-03-30",): 8}


def test_labels_group_by_their_value() -> None:
    """Charges without the label are together."""
    assert costs([charge(1, job="a"), charge(2, job="b"), charge(4, other="a"), charge(8, job="a")], LabelKey("job")) == {
        ("",): 4,
        ("a",): 9,
        ("b",): 2,
    }


def test_what_kinds_paid_is_split() -> None:
    """Everything else is where the first draw is."""
    split = charge(10, (GrantKind.DAILY, 2), (GrantKind.PERMANENT, 3), (GrantKind.DAILY, 1), debt=1, usage=Spent("image"))
    found = dict(summed([split, charge(5)], [Dimension.KIND]).page())
    assert {keys[0]: (each.covered, each.cost, each.charges, each.debt) for keys, each in found.items()} == {
        "GRANT_KIND_DAILY": (3, 10, 1, 1),
        "GRANT_KIND_PERMANENT": (3, 0, 0, 0),
        "GRANT_KIND_UNSPECIFIED": (0, 5, 1, 0),
    }
    assert found["GRANT_KIND_DAILY",].quantity == 1


@pytest.mark.parametrize(("refunded", "daily", "permanent"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (4, 1, 3), (5, 2, 3), (6, 3, 3)])
def test_a_refund_is_where_its_own_draws_were(refunded: int, daily: int, permanent: int) -> None:
    """The last drawn are undone first, so it is not all where the first draw is."""
    draws = (GrantKind.DAILY, 2), (GrantKind.PERMANENT, 3), (GrantKind.DAILY, 1)
    found = dict(summed([charge(6, *draws, refunded=refunded)], [Dimension.KIND]).page())
    assert {keys[0]: each.refunded for keys, each in found.items()} == {
        "GRANT_KIND_DAILY": daily,
        "GRANT_KIND_PERMANENT": permanent,
    }


@pytest.mark.parametrize(
    ("usage", "quantity"),
    [
        (None, 0),
        (Spent("text"), 0),
        (Spent("text", quantity=3), 0),
        (Spent("image"), 1),
        (Spent("tool", quantity=0), 0),
        (Spent("engagement", quantity=5), 5),
    ],
)
def test_images_tool_calls_and_actions_are_counted(usage: Spent | None, quantity: int) -> None:
    """Calls for text are not."""
    assert summed([charge(usage=usage)], []).total.quantity == quantity


def test_dollars_are_added_exactly() -> None:
    """However small and however many digits."""
    usd = ["0.0000000000000000000000000000001", "12345678901234567890", "0.1", "0.2"]
    total = summed([charge(usd=each) for each in usd], []).total.cost_usd
    assert f"{total:f}" == "12345678901234567890.3000000000000000000000000000001"


# Properties.

WORDS = st.sampled_from(["", "a", "b", "c", "text"])
DRAWS = st.lists(st.tuples(st.sampled_from(GrantKind), st.integers(1, 10**15)), max_size=4)
SPENT = st.none() | st.builds(
    Spent,
    *(WORDS, WORDS, WORDS, WORDS),
    *[st.none() | st.integers(0, 10**9)] * 3,
)
PARTS = st.builds(
    SpentPart,
    WORDS,
    st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]), st.integers(0, 10**9)),
    st.decimals(0, 10**6, places=12),
)
CHARGES = st.lists(
    st.builds(
        lambda draws, back, rest, debt, usage, at, usd, labels, parts: replace(
            charge(
                sum(amount for _, amount in draws) + rest + debt,
                *draws,
                refunded=back * sum(amount for _, amount in draws) // 4,
                usage=usage,
                at=at,
                usd=usd,
                debt=debt,
                **labels,
            ),
            priced_parts=tuple(parts),
        ),
        DRAWS,
        st.integers(0, 4),
        st.integers(0, 10**15),
        st.integers(0, 10**15),
        SPENT,
        st.integers(-60 * HOUR, 60 * HOUR),
        st.decimals(0, 10**6, places=12).map(str),
        st.dictionaries(st.sampled_from(["job", "team"]), WORDS, max_size=2),
        st.lists(PARTS, max_size=3),
    ),
    max_size=25,
)
GROUPINGS = st.lists(st.sampled_from([*Dimension, LabelKey("job"), LabelKey("team")]), min_size=1, max_size=4, unique=True)


def naive(charges: Sequence[UsedCharge], group_by: Sequence[Grouping]) -> dict[Keys, Totals]:
    """The groups as one would write them down: each charge is cut into one piece a kind, and each piece is filed."""
    found: dict[Keys, Totals] = defaultdict(Totals)
    for each in charges:
        usage = each.usage or Spent()
        kinds = list(dict.fromkeys(draw.kind for draw in each.posting.draws)) if Dimension.KIND in group_by else [None]
        for number, kind in enumerate(kinds or [None]):
            named = {
                Dimension.DAY: day_of(BERLIN, each.committed_at).key,
                Dimension.ACTION: usage.action,
                Dimension.MODEL: usage.response_model or usage.request_model,
                Dimension.TOOL: usage.tool,
                Dimension.KIND: f"GRANT_KIND_{kind.value if kind else 'UNSPECIFIED'}",
            }
            keys = tuple(each.labels.get(by.key, "") if isinstance(by, LabelKey) else named[by] for by in group_by)
            group = found[keys]
            group.covered += sum(draw.amount for draw in each.posting.draws if kind in (None, draw.kind))
            group.refunded += sum(draw.returned for draw in each.posting.draws if kind in (None, draw.kind))
            if number == 0:
                group.charges += 1
                group.cost += each.cost
                group.debt += each.posting.debt
                group.uncovered += each.posting.uncovered
                group.cost_usd += each.cost_usd
                group.input_tokens += usage.input_tokens or 0
                group.output_tokens += usage.output_tokens or 0
                one_by_one = usage.quantity if usage.quantity is not None else 1
                group.quantity += one_by_one if each.usage and usage.action != "text" else 0
                for part in each.priced_parts if Dimension.MODEL in group_by else ():
                    other = tuple(part.model if by is Dimension.MODEL else key for by, key in zip(group_by, keys, strict=True))
                    for key, sign in ((keys, -1), (other, 1)):
                        found[key].cost_usd += sign * part.cost_usd
                        found[key].input_tokens += sign * part.counts.get("input_tokens", 0)
                        found[key].output_tokens += sign * part.counts.get("output_tokens", 0)
    return dict(found)


def test_each_model_has_the_tokens_and_dollars_of_its_own_responses() -> None:
    """By the bill of a run: 0.0123 - 0.001 of the model that answered, 0.001 of the one that helped it."""
    run = Spent("text", "large", "large", input_tokens=1_100, output_tokens=110)
    parts = (
        SpentPart("large", {"input_tokens": 1_000, "output_tokens": 100}, Decimal("0.0113")),
        SpentPart("small", {"input_tokens": 100, "output_tokens": 10}, Decimal("0.001")),
    )
    whole = replace(charge(2, (GrantKind.DAILY, 2), usage=run, usd="0.0123"), priced_parts=parts)
    found = dict(summed([whole], [Dimension.MODEL]).page())
    assert found["large",] == Totals(1, 2, 2, cost_usd=Decimal("0.0113"), input_tokens=1_000, output_tokens=100)
    assert found["small",] == Totals(cost_usd=Decimal("0.001"), input_tokens=100, output_tokens=10)
    assert dict(summed([whole], [Dimension.ACTION]).page())["text",].cost_usd == Decimal("0.0123")


@given(CHARGES, GROUPINGS)
def test_groups_add_up_to_the_total_and_are_what_a_naive_sum_says(charges: list[UsedCharge], group_by: list[Grouping]) -> None:
    """To the microcredit and the last digit of a dollar, in the order of their keys."""
    summary = summed(charges, group_by)
    page = summary.page()
    assert [keys for keys, _ in page] == sorted(keys for keys, _ in page)
    assert dict(page) == naive(charges, group_by)
    for name in NUMBERS:
        assert sum(getattr(totals, name) for _, totals in page) == getattr(summary.total, name), name
    assert summary.total == summed(charges, []).total


@given(CHARGES, GROUPINGS, st.integers(1, 4))
def test_pages_have_each_group_once(charges: list[UsedCharge], group_by: list[Grouping], limit: int) -> None:
    """However small they are, and with no more kept than twice a page."""
    found: list[tuple[Keys, Totals]] = []
    after: Keys | None = None
    while True:
        summary = UsageSummary(BERLIN, group_by, limit, after)
        for each in charges:
            summary.add(each)
            assert len(summary._groups) <= 2 * limit
        page = summary.page()
        found += page
        if not page:
            break
        after = page[-1][0]
    assert found == summed(charges, group_by).page()
