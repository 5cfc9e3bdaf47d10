"""Prints all text for people.

Users choose names, labels and notes, and none of these may control the reader's terminal. So control characters are replaced
first, in each cell and line. Only then is a table drawn, so the only escape sequences in the output are those of the drawing.
"""

import errno
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from creditmeter.cli.layout import IN_ASCII, Bar, Cell, Column, Form, Layout, fit, wrapped
from creditmeter.cli.times import local_zone

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters (C0 and C1), line separators, and those that set the direction of writing."""


# The output.


def width_of(out: TextIO) -> int | None:
    """Width of a line of this output, in cells: the environment's COLUMNS, else the terminal's; None if there is no limit."""
    columns = os.environ.get("COLUMNS", "")
    if len(columns) <= _LONGEST_WIDTH and columns.isascii() and columns.isdecimal() and int(columns):
        return int(columns)
    if not out.isatty():
        return None
    try:
        return os.get_terminal_size(out.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


_USUAL_WIDTH = 80
"""Width of a terminal that does not know its own, in cells."""

_LONGEST_WIDTH = 5
"""Most digits of a number that may be a width."""


def terminal_is_closed() -> bool:
    """Whether the output was a terminal that has been closed: every use of it is an input/output error."""
    return any(_is_closed(out) for out in (sys.stdout, sys.stderr))


def _is_closed(out: TextIO) -> bool:
    try:
        os.get_terminal_size(out.fileno())
    except OSError as error:
        return error.errno == errno.EIO
    return False


def _is_utf_8(out: TextIO) -> bool:
    return (out.encoding or "utf-8").lower().startswith("utf")


# Lines.


def visible(text: str) -> str:
    """Text for a terminal: each character that would control it, or change the direction of writing, is replaced by a mark."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def print_lines(text: str, hang: int = 0) -> None:
    """Print lines for people, broken at spaces where the terminal ends; what follows a break is indented by `hang`."""
    _write_lines(text, sys.stdout, hang)


def say(text: str) -> None:
    """Print one line of progress, or a complaint, on stderr. On a terminal it is broken at spaces."""
    line = visible(text)
    if sys.stderr.isatty():
        _write_lines(line, sys.stderr)
    else:
        print(line, file=sys.stderr)
    sys.stderr.flush()


def print_document(text: str) -> None:
    """Print a document unchanged. On a terminal its control characters are replaced by marks."""
    sys.stdout.write("\n".join(map(visible, text.split("\n"))) if sys.stdout.isatty() else text)


def _write_lines(text: str, out: TextIO, hang: int = 0) -> None:
    width = width_of(out)
    for line in text.split("\n"):
        shown = _encodable(visible(line), out)
        for each in [shown] if width is None else wrapped(shown, width, hang):
            print(each, file=out)


def _encodable(text: str, out: TextIO) -> str:
    """The text with escapes for characters that this output cannot encode. Widths are measured after that."""
    return text if _is_utf_8(out) else text.encode(out.encoding, "backslashreplace").decode(out.encoding)


# Tables.


@dataclass(slots=True)
class Table:
    """A table that is being filled. Its cells have no control characters. Each row in `sections` has a blank line before it."""

    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    sections: set[int] = field(default_factory=set)

    def add_row(self, *cells: Cell) -> None:
        """Add a row, with a cell for each column."""
        assert len(cells) == len(self.columns), "a row has a cell for each column"
        self.rows.append(tuple(cell if isinstance(cell, Bar) else _encodable(visible(cell), sys.stdout) for cell in cells))

    def add_section(self) -> None:
        """Draw a blank line before the next row."""
        self.sections.add(len(self.rows))


_NOTE = "note"


def table(
    *columns: str,
    right: Sequence[str] = (),
    ids: Sequence[str] = (),
    times: Sequence[str] = (),
    bars: Sequence[str] = (),
    goes: Sequence[str] = (),
) -> Table:
    """An empty table.

    The columns named in `right` hold numbers, those in `ids`, `times` and `bars` ids, times and bars. The column `note` holds
    free text, and all others words. The columns in `goes` are left out, in this order, if the terminal is too narrow.
    """
    named = {Form.NUMBER: right, Form.ID: ids, Form.TIME: times, Form.BAR: bars, Form.TEXT: (_NOTE,)}
    forms = {name: form for form, names in named.items() for name in names}
    places = {name: number for number, name in enumerate(goes, 1)}
    return Table(
        tuple(
            Column(_encodable(visible(name), sys.stdout), forms.get(name, Form.WORD), places.get(name, 0)) for name in columns
        )
    )


@dataclass(slots=True)
class Notes:
    """Notes below one or more tables: the time zone of their times, and the columns that were left out.

    `forms` are the options of the command with which it prints everything.
    """

    forms: Sequence[str] = ("--json",)
    with_times: bool = False
    left_out: list[str] = field(default_factory=list)
    is_shortened: bool = False

    def add(self, layout: Layout) -> None:
        """Note what was left out of a table or shortened in it, and whether it has times."""
        self.left_out += [head for head in layout.left_out if head not in self.left_out]
        self.is_shortened = self.is_shortened or layout.is_shortened
        self.with_times = self.with_times or layout.has_times

    def print(self) -> None:
        """Print them, if there are any."""
        if self.with_times:
            print_lines(f"Times are local: {local_zone()}.")
        cut = [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        cut += [f"shortened where there is a {_ellipsis()}"] if self.is_shortened else []
        if cut:
            text = "; ".join(cut)
            print_lines(f"{text[0].upper()}{text[1:]}. Shown by {' or '.join((*self.forms, 'a wider terminal'))}.")


def _ellipsis() -> str:
    return "…" if _is_utf_8(sys.stdout) else "…".translate(IN_ASCII)


def print_table(made: Table, title: str = "", notes: Notes | None = None, *, empty: str = "", with_times: bool = False) -> None:
    """Print a table under its title, or `empty` if it has no rows.

    With `notes`, its notes are added to them, and the caller prints them; without, they are printed below the table.
    `with_times`: the title or a word has a time.
    """
    own = notes or Notes(with_times=with_times)
    if empty and not made.rows:
        print_lines(visible(empty))
    else:
        layout = fit(made.columns, made.rows, width_of(sys.stdout))
        own.add(layout)
        if title:
            print_lines(visible(title))
        from creditmeter.cli.drawing import drawn  # noqa: PLC0415 - Rich, which `serve` is to keep out of memory

        sys.stdout.write(drawn(layout, made.sections, utf_8=_is_utf_8(sys.stdout)) + "\n")
    if notes is None:
        own.print()
