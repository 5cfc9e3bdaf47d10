"""The commands and options that README and docs name are there, and docs/cli.md leaves no command out."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import typer.main

from creditmeter.cli.all_commands import app
from tests.docs.pages import SHELL, Page, page, pages

PROGRAM = "creditmeter"
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_CALLED = re.compile(rf"(?:^|[|&;(]\s*|\.venv/bin/){PROGRAM} ([^|&;#)>]*)")
_WORDS = re.compile(r"[a-z][a-z|-]*")  # a command's, or several that share what is before them
_ROW = re.compile(r"^\| `([a-z][^`]*)` \|", re.MULTILINE)


@dataclass(frozen=True)
class Named:
    """A command as it stands in a text: its words, and the options that are given to it."""

    command: str
    options: frozenset[str]


@pytest.mark.parametrize("name", [each.name for each in pages()])
def test_what_is_named_is_there(name: str) -> None:
    """In blocks of shell and in backticks."""
    for named in commands_named(page(name)):
        assert_there(named)


def test_options_named_alone_are_there() -> None:
    """Whichever command they belong to."""
    alone = [each for each in page("docs/cli.md").inline if each.startswith("--")]
    known = frozenset(itertools.chain.from_iterable(commands().values()))
    assert {option for each in alone for option in _OPTION.findall(each)} <= known


def test_every_command_has_its_line() -> None:
    """In the table of docs/cli.md, with options that it has."""
    rows = list(commands_in_table(page("docs/cli.md")))
    groups = {command.partition(" ")[0] for command in commands() if " " in command}
    assert {each.command for each in rows} == {command for command in commands() if command and command not in groups}
    for named in rows:
        assert_there(named)


def test_a_wrong_name_is_found() -> None:
    """A command that is not there, and an option of another one."""
    text = "`creditmeter balnce alice`\n\n```sh\nx=$(creditmeter balance alice --seed 1 | head)\n```\n"
    wrong = list(commands_named(Page("page.md", text)))
    assert wrong == [Named("balance", frozenset({"--seed"})), Named("balnce", frozenset())]
    for named in wrong:
        with pytest.raises(AssertionError):
            assert_there(named)


def assert_there(named: Named) -> None:
    """Whether the program has the command, and the command the options."""
    assert named.command in commands(), f"there is no command {PROGRAM} {named.command}"
    assert not named.options - commands()[named.command], f"{PROGRAM} {named.command} has no such option"


@cache
def commands() -> Mapping[str, frozenset[str]]:
    """Every command by its words, with its options. A group stands for itself; the program is the empty name."""
    root = typer.main.get_command(app)
    with typer.Context(root) as context:
        found = {"": _options(root, context)}
        for name, command in root.commands.items():  # type: ignore[attr-defined]  # it is a group
            found[name] = _options(command, context)
            found |= {f"{name} {word}": _options(leaf, context) for word, leaf in getattr(command, "commands", {}).items()}
    return found


def commands_named(source: Page) -> Iterator[Named]:
    """What stands behind the program's name in blocks of shell and in backticks, up to the end of the command."""
    shell = [block.text.replace("\\\n", " ") for block in source.blocks if block.language == SHELL]
    lines = [line.strip() for text in shell for line in text.splitlines()]
    for line in [*lines, *source.inline]:
        for called in _CALLED.findall(line):
            yield _named(called.split())


def commands_in_table(source: Page) -> Iterator[Named]:
    """The commands that stand first in the rows of a table, where a bar stands between alternatives."""
    for cell in _ROW.findall(source.text):
        words = itertools.takewhile(_WORDS.fullmatch, cell.replace("\\|", "|").split())
        for each in itertools.product(*(word.split("|") for word in words)):
            yield Named(" ".join(each), frozenset(_OPTION.findall(cell)))


def _named(words: list[str]) -> Named:
    """The longest command that the words begin with, or the first of them, and the options among them. A word in capitals
    stands for any, so there only the options of the program itself are known.
    """
    plain = list(itertools.takewhile(_WORDS.fullmatch, words))
    command = " ".join(plain[:2])
    if command not in commands():
        command = "".join(plain[:1])
    return Named(command, frozenset(_OPTION.findall(" ".join(words))))


def _options(command: Any, context: Any) -> frozenset[str]:
    return frozenset(option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts))
