"""Test modules stand alone: what two of them share lives in a module of its own beside them."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def test_no_test_module_is_imported() -> None:
    """Neither as a whole nor a name of it, by whichever file of the tests."""
    wrong = [
        f"{file.relative_to(TESTS.parent)}: {module}"
        for file in sorted(TESTS.rglob("*.py"))
        for module in imported_modules(file.read_text(encoding="utf-8"))
        if is_test_module(module)
    ]
    assert wrong == []


def test_every_way_to_import_a_test_module_is_seen() -> None:
    """So that the rule is kept, however an import is written."""
    for written in (
        "import tests.cli.test_output",
        "import tests.cli.test_output as output",
        "from tests.cli.test_output import rows",
        "from tests.cli import tables, test_output",
        "from tests import test_image",
        "from .test_output import rows",
        "from . import test_output",
        "def late():\n    from tests.cli.test_output import rows",
    ):
        assert any(map(is_test_module, imported_modules(written))), written
    assert not any(
        map(
            is_test_module,
            imported_modules("import tests.cli.tables\nfrom tests.cli import tables\nfrom tests.cli.tables import rows"),
        )
    )


def imported_modules(source: str) -> Iterator[str]:
    """The names of the modules that a source may import; of `from a import b`, both `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or "tests"
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_test_module(name: str) -> bool:
    """Whether a module of this name is one that pytest collects."""
    *_, last = name.split(".")
    return last.startswith("test_")
