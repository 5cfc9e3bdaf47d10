"""The table of fields in the documentation."""

import re
from pathlib import Path

from creditmeter.core.prices.reported.reference import markdown_table
from creditmeter.core.prices.reported.shapes import SHAPES

PAGE = Path(__file__).parents[4] / "docs" / "prices.md"


def test_the_table_in_the_documentation() -> None:
    """It is what scripts/generate-usage-reference writes."""
    found = re.search(r"<!-- usage: [^\n]*-->\n(.*)\n<!-- end of usage -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert found[1] == markdown_table()


def test_every_place_is_in_the_table() -> None:
    """None is left out."""
    table = markdown_table()
    steps = {each for shape in SHAPES for places in shape.places.values() for place in places for each in place.split(" & ")}
    assert [each for each in steps if f"`{each}`" not in table and "5m" not in each] == []
