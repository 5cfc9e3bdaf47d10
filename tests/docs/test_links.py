"""What the documents point at is there: files, folders and headings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)")
SOURCE = re.compile(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+\.(?:py|toml|proto))`")
PLACES = (".", "src/creditmeter", "third_party/proto")
"""A file that is named in the text, and where it may be."""


def headings(page: Path) -> Iterator[str]:
    """The anchors of a page's headings."""
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file, and to a heading of it where one is named."""
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sources_that_are_named_are_there(page: Path) -> None:
    """Under the name that the text says."""
    for named in SOURCE.findall(page.read_text(encoding="utf-8")):
        assert any((REPOSITORY / place / named).exists() for place in PLACES), named
