"""Fits a table to a terminal: chooses the columns that stay, and their widths. No line is wider than the terminal.

These steps are taken, in this order, until the table fits:

0. Empty columns that may be left out are left out, without a note.
1. Text is broken over lines of at least `LEAST_TEXT` cells; bars get shorter, down to `LEAST_BAR` cells.
2. Columns that may be left out are left out, in the order that the table names.
3. Ids are shortened in the middle and other words at their end, down to `LEAST_WORD` cells. Numbers and times are never
   shortened: a part of an amount would be read as another amount.
4. Columns are left out from the right, until only the first one remains. It is cut at the end of the line.

Spare room is given to ids first, then to other words, bars and text. Widths are counted in cells: an East Asian
wide character has two.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, auto

from rich.cells import cell_len, chop_cells

GAP = 2
"""Cells between two columns."""

LEAST_TEXT = 16
LEAST_BAR = 6
LEAST_WORD = 9
ELLIPSIS = "…"

BAR = 30
"""Width of the longest bar, in cells."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
IN_ASCII = str.maketrans("…█▏▎▍▌▋▊▉", "~########")
"""What is drawn instead where the output is not UTF-8, cell for cell."""

_NO_TIME = ("", "-")


class Form(Enum):
    """The content of a column. Spare room is given to columns in this order."""

    ID = auto()
    WORD = auto()
    TIME = auto()
    NUMBER = auto()
    BAR = auto()
    TEXT = auto()


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `goes` is its place in the order of being left out, from 1 on; 0: it stays as long as it can."""

    head: str
    form: Form = Form.WORD
    goes: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A cell that shows an amount as a bar. The amount `most` has the longest bar."""

    amount: int
    most: int

    def drawn(self, width: int) -> str:
        """The bar, if the longest one is `width` cells long. An amount above 0 has at least an eighth of a cell."""
        if self.amount <= 0:
            return ""
        whole, rest = divmod(max(1, self.amount * width * 8 // self.most), 8)
        return "█" * whole + _EIGHTHS[rest].strip()


Cell = str | Bar


@dataclass(frozen=True, slots=True)
class Layout:
    """A table that fits: the columns that stay, their widths in cells, and the cells as they are shown."""

    columns: tuple[Column, ...]
    heads: tuple[str, ...]
    widths: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...]
    is_shortened: bool

    @property
    def has_times(self) -> bool:
        """Whether it shows a time."""
        times = [number for number, column in enumerate(self.columns) if column.form is Form.TIME]
        return any(row[number] not in _NO_TIME for row in self.rows for number in times)

    @property
    def width(self) -> int:
        """Width of the whole table, in cells."""
        return _total(self.widths)


def fit(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None) -> Layout:
    """Fit a table into `width` cells, at least 1. With None it is as wide as its cells."""
    natural = [max([cell_len(column.head), *(_natural(row[number]) for row in rows)]) for number, column in enumerate(columns)]
    empty = {number for number, column in enumerate(columns) if column.goes and not any(row[number] for row in rows)}
    widths = dict(enumerate(natural)) if width is None else _widths(columns, natural, width, empty if rows else set())
    kept = tuple(widths)
    return Layout(
        tuple(columns[number] for number in kept),
        tuple(shortened(columns[number].head, widths[number], at_end=True) for number in kept),
        tuple(widths.values()),
        tuple(tuple(_shown(row[number], columns[number].form, widths[number]) for number in kept) for row in rows),
        tuple(column.head for number, column in enumerate(columns) if number not in {*widths, *empty} and column.head),
        any(widths[number] < natural[number] and columns[number].form in (Form.ID, Form.WORD) for number in kept),
    )


def shortened(text: str, width: int, *, at_end: bool = False) -> str:
    """A text in at most `width` cells. An ellipsis replaces its middle or, with `at_end`, its end."""
    if cell_len(text) <= width:
        return text
    room = width - cell_len(ELLIPSIS)
    tail = "" if at_end else _ending(text, room // 2)
    return f"{_beginning(text, room - cell_len(tail))}{ELLIPSIS}{tail}"


def wrapped(line: str, width: int, hang: int = 0) -> list[str]:
    """A line broken at spaces into lines of at most `width` cells. All but the first are indented by `hang` cells.

    A word that is longer than a line is left whole, so that it can be copied.
    """
    lines, words = [], line.split(" ")
    current = words[0]
    for word in words[1:]:
        if cell_len(f"{current} {word}") > width and current.strip():
            lines.append(current.rstrip())
            current = " " * hang + word
        else:
            current = f"{current} {word}"
    return [*lines, current]


def _widths(columns: Sequence[Column], natural: Sequence[int], width: int, empty: AbstractSet[int]) -> dict[int, int]:
    """The columns that stay, by number, and their widths."""
    least = {
        number: min(cells, _LEAST_WHOLE.get(columns[number].form, cells))
        for number, cells in enumerate(natural)
        if number not in empty
    }
    going = sorted((columns[number].goes, number) for number in least if columns[number].goes)
    while _total(least.values()) > width and going:
        del least[going.pop(0)[1]]
    if _total(least.values()) > width:
        least = {number: min(cells, _LEAST_CUT.get(columns[number].form, cells)) for number, cells in least.items()}
    while _total(least.values()) > width and len(least) > 1:
        least.popitem()
    if _total(least.values()) > width:
        least = dict.fromkeys(least, width)
    return _grown(columns, natural, least, width)


_LEAST_WHOLE = {Form.TEXT: LEAST_TEXT, Form.BAR: LEAST_BAR}
_LEAST_CUT = {Form.ID: LEAST_WORD, Form.WORD: LEAST_WORD}


def _grown(columns: Sequence[Column], natural: Sequence[int], least: dict[int, int], width: int) -> dict[int, int]:
    """The widths after spare room is given to the columns, in the order of their forms."""
    room = width - _total(least.values())
    widths = dict(least)
    for number in sorted(least, key=lambda number: (columns[number].form.value, number)):
        more = min(room, natural[number] - widths[number])
        widths[number] += more
        room -= more
    return widths


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + GAP * (len(each) - 1)


def _natural(cell: Cell) -> int:
    return BAR if isinstance(cell, Bar) else cell_len(cell)


def _shown(cell: Cell, form: Form, width: int) -> str:
    if isinstance(cell, Bar):
        return cell.drawn(min(width, BAR))
    return cell if form is Form.TEXT else shortened(cell, width, at_end=form is not Form.ID)


def _beginning(text: str, cells: int) -> str:
    return chop_cells(text, cells)[0] if cells > 0 and text else ""


def _ending(text: str, cells: int) -> str:
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= cells:
        start -= 1
    return text[start:]
