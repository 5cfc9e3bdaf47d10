"""README.md, CONTRIBUTING.md and docs/*.md as a reader uses them: blocks of shell to paste, what they are said to print, and
commands named.

A block that no test can run has the comment ``<!-- not run: REASON -->`` before it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SHELL = "sh"
OUTPUT = "text"

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the heading above it, and why it is not run, if it is not."""

    language: str
    text: str
    heading: str
    reason: str | None


@dataclass(frozen=True)
class Pasted:
    """A block of shell, and the lines that are shown under it as its output."""

    text: str
    heading: str
    output: Sequence[str]


@dataclass(frozen=True)
class Page:
    """One Markdown file, by its path within the repository."""

    name: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        """All fenced blocks, in order."""
        return [
            Block(found["language"], found["text"], self._heading_at(found.start()), found["reason"])
            for found in _BLOCK.finditer(self.text)
        ]

    @property
    def pasted(self) -> list[Pasted]:
        """What a reader pastes, in order. Where the next block is of `text`, it shows the output."""
        return list(self._pasted())

    @property
    def not_run(self) -> list[str]:
        """Why blocks of shell are not run."""
        return [each.reason for each in self.blocks if each.language == SHELL and each.reason is not None]

    @property
    def inline(self) -> list[str]:
        """What stands in backticks outside of blocks."""
        return _INLINE.findall(_BLOCK.sub("", self.text))

    def _pasted(self) -> Iterator[Pasted]:
        for block, following in zip_longest(self.blocks, self.blocks[1:]):
            if block.language == SHELL and block.reason is None:
                shows = following is not None and following.language == OUTPUT
                yield Pasted(block.text, block.heading, following.text.splitlines() if following and shows else [])

    def _heading_at(self, position: int) -> str:
        above = [found["title"] for found in _HEADING.finditer(self.text, 0, position)]
        return above[-1] if above else ""


def page(name: str) -> Page:
    """A page by its path within the repository."""
    return Page(name, (REPOSITORY / name).read_text(encoding="utf-8"))


def pages() -> list[Page]:
    """README.md, CONTRIBUTING.md and all of docs/."""
    return [
        page("README.md"),
        page("CONTRIBUTING.md"),
        *(page(f"docs/{path.name}") for path in sorted((REPOSITORY / "docs").glob("*.md"))),
    ]
