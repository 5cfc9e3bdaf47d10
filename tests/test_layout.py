"""The limits of the house: files that are read in one go, and functions that are seen at once."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SOURCES = REPOSITORY / "src"
GENERATED = (SOURCES / "creditmeter" / "v1", SOURCES / "creditmeter" / "client" / "sync.py")
MIGRATIONS = SOURCES / "creditmeter" / "central" / "schema" / "migrations"
"""Frozen lists of statements, one after the other: the only functions that may be as long as they are."""

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_OF_NINE_IN_TEN_FUNCTIONS = 20


def test_no_file_of_the_source_is_too_long() -> None:
    """400 lines at most."""
    lengths = {file: len(text(file).splitlines()) for file in files(SOURCES)}
    assert lengths
    assert [f"{shown(file)}: {length}" for file, length in lengths.items() if length > MOST_LINES_OF_A_FILE] == []


def test_no_function_is_too_long() -> None:
    """40 lines at most, from `def` to its last line, in the source and in the tests."""
    tests = files(REPOSITORY / "tests")
    measured = [each for file in (*files(SOURCES), *tests) if MIGRATIONS not in file.parents for each in functions(file)]
    assert [f"{name}: {length}" for name, length in measured if length > MOST_LINES_OF_A_FUNCTION] == []


def test_most_functions_of_the_source_are_short() -> None:
    """Nine in ten have 20 lines at most."""
    lengths = sorted(length for file in files(SOURCES) for _, length in functions(file))
    assert lengths[len(lengths) * 9 // 10] <= MOST_LINES_OF_NINE_IN_TEN_FUNCTIONS


def test_every_function_is_measured(tmp_path: Path) -> None:
    """Those of classes, those in functions and coroutines too, with their decorators left out."""
    file = tmp_path / "sample.py"
    file.write_text("class A:\n    @property\n    def b(self):\n        async def c():\n            pass\n        return c\n")
    assert [(name.rpartition(" ")[2], length) for name, length in functions(file)] == [("b", 4), ("c", 2)]


def files(folder: Path) -> list[Path]:
    """The modules in a folder and below it, without what is generated."""
    return [file for file in sorted(folder.rglob("*.py")) if not {file, *file.parents}.intersection(GENERATED)]


@cache
def functions(file: Path) -> tuple[tuple[str, int], ...]:
    """Each function of a module by its place and name, with its number of lines."""
    return tuple(_functions(file))


def _functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text(file))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{shown(file)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def text(file: Path) -> str:
    """What a module says."""
    return file.read_text(encoding="utf-8")


def shown(file: Path) -> str:
    """A file's path in the repository."""
    return str(file.relative_to(REPOSITORY)) if file.is_relative_to(REPOSITORY) else file.name
