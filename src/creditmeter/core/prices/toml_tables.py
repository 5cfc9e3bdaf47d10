"""Reading a TOML document that people wrote: each value is checked, and each problem is noted with its line.

`tomllib` says nothing about lines, so headers and keys are found again in the text. A key that has no line of its own (in an
inline table) is reported with the line of the nearest table or key around it. Numbers are decimals and never floats.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import TypeVar

from creditmeter.core.amounts import Microcredits, from_credits

MAX_NUMBER = 10**9
MAX_DECIMAL_PLACES = 12
"""A number is below MAX_NUMBER and has at most so many decimal places. So exact sums have few enough digits."""

MAX_PARTS = 8
"""Most names in a dotted key; a card needs four."""

_Path = tuple[str | int, ...]
_Choice = TypeVar("_Choice", bound=Enum)

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NAME = r"""(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)"""
_NAMES = re.compile(_NAME)
_DOTTED_NAME = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED_NAME})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED_NAME})\s*=")
_PART = r"""(?:"(?:[^"\\\n]|\\.)*+"?+|'[^'\n]*+'?+|[A-Za-z0-9_-]++)"""
_PARTS = re.compile(_PART, re.DOTALL)
_LONG_TEXT = r""""{3}(?:[^\\]|\\.)*?(?:"{3}|\Z)|[']{3}.*?(?:[']{3}|\Z)"""
_TOKEN = re.compile(rf"{_LONG_TEXT}|#[^\n]*|(?P<key>{_PART}(?:[ \t]*\.[ \t]*{_PART})*+)", re.DOTALL)
"""What may have dots: long texts, comments, and keys. A text that does not end goes on as far as it can."""

_LINE_NUMBER = re.compile(r"line (\d+)")


class TomlSyntaxError(ValueError):
    """The text is not a TOML document; the message says in which line."""


class TomlTable:
    """One table of a document. Each method returns the value of a key, and notes what is wrong with it.

    A value that is wrong or missing is noted and replaced by a harmless one, so that one reading finds all problems.
    """

    def __init__(
        self, path: _Path, values: Mapping[str, object], lines: Mapping[_Path, int], problems: list[tuple[int, str]]
    ) -> None:
        self._path = path
        self._values = values
        self._unread = set(values)
        self._lines = lines
        self._problems = problems

    def problems(self) -> tuple[str, ...]:
        """Every problem noted so far in the whole document, once each, in the order of lines."""
        return tuple(dict.fromkeys(problem for _, problem in sorted(self._problems)))

    def note(self, key: str, problem: str) -> None:
        """Note a problem with this key."""
        line = self.line(key)
        table = ".".join(part for part in self._path if isinstance(part, str))
        model = self._values.get("model")
        rule = f' "{model}"' if isinstance(model, str) else ""
        where = f"line {line}, {table}{rule}" if table else f"line {line}"
        told = key or '""'
        self._problems.append((line, f"{where}: {told} {problem}"))

    def line(self, key: str) -> int:
        """The line of this key, or of the nearest table or key around it."""
        path = (*self._path, key)
        return next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 1)

    def has(self, key: str) -> bool:
        """Whether the key is given."""
        return key in self._values

    @property
    def given(self) -> tuple[str, ...]:
        """The keys that are given, in the document's order."""
        return tuple(self._values)

    def named(self) -> tuple[str, ...]:
        """The keys that are given, where each is a name. An empty key is noted as a problem."""
        if self.has(""):
            self.value("")
            self.note("", "must be a name that is not empty")
        return tuple(filter(None, self._values))

    def end(self) -> None:
        """Note the keys that were not read: they are unknown."""
        for key in self._unread:
            self.note(key, "is not a key of this table")

    def value(self, key: str) -> object:
        """The value as `tomllib` returns it; None if the key is not given."""
        self._unread.discard(key)
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty. It must be given if there is no default."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value:
            return value
        self.note(key, "is missing" if value is None else "must be a text that is not empty")
        return ""

    def choice(self, key: str, default: _Choice) -> _Choice:
        """A member of the default's enumeration, written as its value."""
        value = self.value(key)
        choices = {choice.value: choice for choice in type(default)}
        if value is None:
            return default
        if isinstance(value, str) and value in choices:
            return choices[value]
        self.note(key, f"must be one of {', '.join(map(repr, choices))}")
        return default

    def number(self, key: str, default: Decimal | None = None, *, positive: bool = False) -> Decimal:
        """A number that is not negative. It must be given if there is no default."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        try:
            number = _number(value)
        except ValueError as problem:
            self.note(key, "is missing" if value is None else str(problem))
            return Decimal(1)
        if positive and not number:
            self.note(key, "must be above 0")
            return Decimal(1)
        return number

    def amount(self, key: str, default: Microcredits, *, positive: bool = False) -> Microcredits:
        """A number of credits that is a whole number of microcredits."""
        if not self.has(key):
            return default
        number = self.number(key, positive=positive)
        try:
            return from_credits(number)
        except ValueError:
            self.note(key, "must have at most six decimal places")
            return default

    def whole(self, key: str, default: int, *, at_most: int) -> int:
        """A whole number from 1 up to a limit."""
        value = self.value(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= at_most:
            return value
        self.note(key, f"must be a whole number from 1 to {at_most:,}")
        return default

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts, each once."""
        value = self.value(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            self.note(key, "must be a list of texts")
            return ()
        for name, times in Counter(value).items():
            if times > 1:
                self.note(key, f"lists {name!r} more than once")
        return tuple(value)

    def table(self, key: str) -> "TomlTable":
        """A table below this one; an empty one if it is not given."""
        value = self.value(key)
        if value is not None and not isinstance(value, dict):
            self.note(key, "must be a table")
        return self._below((key,), value)

    def tables(self, key: str) -> list["TomlTable"]:
        """A list of tables below this one."""
        value = self.value(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            self.note(key, "must be a list of tables")
            return []
        return [self._below((key, position), table) for position, table in enumerate(value)]

    def _below(self, path: _Path, value: object) -> "TomlTable":
        values = value if isinstance(value, dict) else {}
        return TomlTable((*self._path, *path), values, self._lines, self._problems)


def read_toml(text: str) -> TomlTable:
    """The document's top table.

    Raises:
        TomlSyntaxError: the text is not TOML.
    """
    _refuse_long_keys(text)
    try:
        values = tomllib.loads(text, parse_float=_decimal)
    except (ValueError, RecursionError) as error:  # a ValueError also for a number of thousands of digits
        found = _LINE_NUMBER.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise TomlSyntaxError(f"line {line}: not TOML: {error}") from None
    return TomlTable((), values, _lines(text), [])


def _refuse_long_keys(text: str) -> None:
    """Refuse keys of more parts than any card's: `tomllib` needs memory for them that grows with the square of their length."""
    for found in _TOKEN.finditer(text):
        if found["key"] and len(_PARTS.findall(found["key"])) > MAX_PARTS:
            line = text.count("\n", 0, found.start()) + 1
            raise TomlSyntaxError(f"line {line}: not TOML: a key must have at most {MAX_PARTS} parts")


def _decimal(written: str) -> Decimal:
    """A float literal as the decimal it is written as, so that it is never a float."""
    try:
        return Decimal(written)
    except InvalidOperation:  # an exponent beyond all bounds
        return Decimal("NaN")


def _number(value: object) -> Decimal:
    number = Decimal("NaN")
    if isinstance(value, str):
        number = _decimal(value) if _NUMBER.fullmatch(value) else number
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    if not number.is_finite():
        raise ValueError('must be a number such as "0.25" or 2')
    if number < 0:
        raise ValueError("must not be negative")
    exponent = number.as_tuple().exponent
    if number >= MAX_NUMBER or (isinstance(exponent, int) and exponent < -MAX_DECIMAL_PLACES):
        raise ValueError(f"must be below {MAX_NUMBER:,} and have at most {MAX_DECIMAL_PLACES} decimal places")
    return number


def _lines(text: str) -> dict[_Path, int]:
    """The line of each table's header, and of each key that opens a line."""
    lines: dict[_Path, int] = {}
    lengths: Counter[_Path] = Counter()
    table: _Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        path: _Path = ()
        if header := _HEADER.match(line):
            path = table = _table_path(_parts(header[2]), lengths, is_list=header[1] == "[[")
            lines[table] = number
        elif key := _KEY.match(line):
            path = (*table, *_parts(key[1]))
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return lines


def _parts(dotted_name: str) -> list[str]:
    return [name.strip("\"'") for name in _NAMES.findall(dotted_name)]


def _table_path(parts: list[str], lengths: Counter[_Path], *, is_list: bool) -> _Path:
    """The path of a header's table: a name that a list has is followed by the position of the list's last table."""
    path: _Path = ()
    for position, part in enumerate(parts, 1):
        path = (*path, part)
        if is_list and position == len(parts):
            lengths[path] += 1
        if lengths[path]:
            path = (*path, lengths[path] - 1)
    return path
