"""What a page says is defined where: a file in backticks, and behind it in brackets the names that are defined in it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.docs.pages import REPOSITORY, Page

PLACES = (".", "src/creditmeter")
"""What the paths of the pages are relative to."""

_NAMED = re.compile(r"`(?P<file>[\w./-]+\.py)`\s+\((?P<names>`\w[\w.]*`(?:,\s+`\w[\w.]*`)*)\)")


@dataclass(frozen=True)
class Home:
    """A function, class, method, field or constant by its name, and the file that a page says it is defined in."""

    file: str
    name: str

    @property
    def is_there(self) -> bool:
        """Whether the file is there and defines the name."""
        return any(self.name in _defined_in(path) for path in self._paths())

    @property
    def is_a_function(self) -> bool:
        """Whether it is a function, a method or a property."""
        return any(_defined_in(path).get(self.name, False) for path in self._paths())

    def _paths(self) -> list[Path]:
        return [path for place in PLACES if (path := REPOSITORY / place / self.file).is_file()]


def homes(page: Page) -> list[Home]:
    """All that a page says of where things are defined."""
    return [
        Home(found["file"], name) for found in _NAMED.finditer(page.text) for name in re.findall(r"`([^`]+)`", found["names"])
    ]


@cache
def _defined_in(path: Path) -> dict[str, bool]:
    """The names that a file defines, a class's with the class before them; and of each whether it is a function."""
    return dict(_definitions(ast.parse(path.read_text(encoding="utf-8")).body))


def _definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, bool]]:
    for each in body:
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, True
            case ast.ClassDef(name=name):
                yield prefix + name, False
                yield from _definitions(each.body, f"{prefix}{name}.")
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield prefix + name, False
            case _:
                pass
