"""docs/map.md, the glossary and the recipes name files and what is defined in them: all of it is there."""

import re

import pytest

from tests.docs.names import Home, homes
from tests.docs.pages import Page, page, pages

RULES = (
    "Deduction order",
    "Lease deadline",
    "Late commit",
    "Time of day",
    "Clock step",
    "Least time",
    "Replay of a request",
    "Refusal to status",
    "Group commit",
    "Recall order",
    "Local midnight",
    "Rounding",
    "Fallback model",
    "Refund order",
    "Draws on an ended grant",
    "Alert threshold",
    "Daily limit",
    "Plan fit",
    "Fencing",
)

_ROW = re.compile(r"^\| (?P<first>[^|]*?) ?\| (?P<rest>.*) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", [each.name for each in pages()])
def test_what_is_named_is_defined_there(name: str) -> None:
    """In the file before it."""
    assert [each for each in homes(page(name)) if not each.is_there] == []


def test_each_rule_is_decided_by_one_function() -> None:
    """Each row has one file and one function of it."""
    deciding = {rule: homes(row) for rule, row in rows_under("The rules")}
    assert tuple(deciding) == RULES
    for rule, (home,) in deciding.items():
        assert home.is_a_function, rule


def test_further_parts_are_of_these_rules() -> None:
    """Each row names one part; an empty first cell goes on with the rule above it."""
    parts = rows_under("Rules with further parts")
    assert {rule for rule, _ in parts} <= {*RULES, ""}
    assert all(len(homes(row)) == 1 for _, row in parts)


@pytest.mark.parametrize("name", ["docs/glossary.md", "docs/map.md", "docs/recipes.md"])
def test_pages_name_what_they_are_about(name: str) -> None:
    """Else there were nothing to be checked."""
    assert len(homes(page(name))) > len(RULES)


def test_every_word_has_its_place() -> None:
    """A row of the glossary says where its word is defined."""
    rows = [each for each in _ROW.finditer(page("docs/glossary.md").text) if each["first"] not in ("word", "---")]
    assert [each["first"] for each in rows if not homes(Page("row", each["rest"]))] == []
    words = [each["first"] for each in rows]
    assert len(words) == len(set(words))


def test_a_wrong_name_is_found() -> None:
    """A function that is not there, a file that is not, a method of another class; and what is no function."""
    text = (
        "`core/credit/grants.py` (`draw_kee`, `Grant.draw`), `core/grants.py` (`Grant`), `core/credit/grants.py`\n(`Draw.draw`)"
    )
    wrong = [each for each in homes(Page("page.md", text)) if not each.is_there]
    assert wrong == [
        Home("core/credit/grants.py", "draw_kee"),
        Home("core/grants.py", "Grant"),
        Home("core/credit/grants.py", "Draw.draw"),
    ]
    assert Home("core/credit/grants.py", "Grant.draw").is_a_function
    assert not Home("core/credit/grants.py", "Grant").is_a_function


def rows_under(heading: str) -> list[tuple[str, Page]]:
    """The rows of the table under a heading of docs/map.md: the first cell, and the others."""
    section = page("docs/map.md").text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [(each["first"], Page("row", each["rest"])) for each in _ROW.finditer(section)]
    return [each for each in rows if each[0] not in ("rule", "---")]
