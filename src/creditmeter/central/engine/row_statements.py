"""Statements that run once for each of many rows, as an engine's driver takes them.

SQLAlchemy would look anew, for each row, at what the parameters of all rows are. SQLite's driver would let go of the
interpreter with each row, and on a busy event loop it takes a while to have it again: so it gets statements of many rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Insert, Update
from sqlalchemy.engine import Dialect

_MOST_ROWS_AT_ONCE = 256
"""A power of two. SQLite takes 32,766 values in a statement."""


class RowStatement:
    """A statement for rows that have its parameters, in the words of an engine's dialect."""

    def __init__(self, statement: Insert | Update, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        names = compiled.positiontup
        processors = compiled._bind_processors  # noqa: SLF001 - it has no public name
        self._sql = str(compiled)
        self._values_of = itemgetter(*names)
        self._processed = [(names.index(name), process) for name, process in processors.items()]
        self._row = f"({', '.join('?' * len(names))})"
        self._takes_many = f"VALUES {self._row}" in self._sql  # an INSERT of SQLite's
        self._sql_for: dict[int, str] = {}

    def calls(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
        """The texts to run for these rows, each with its parameters: a tuple, or a list with a tuple for each row."""
        values = [self._values(row) for row in rows]
        if not self._takes_many:
            yield self._sql, values
            return
        first = 0
        while first < len(values):
            count = min(_MOST_ROWS_AT_ONCE, 1 << (len(values) - first).bit_length() - 1)
            yield self._for_rows(count), tuple(chain.from_iterable(values[first : first + count]))
            first += count

    def _values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        values: tuple[Any, ...] = self._values_of(row)
        if not self._processed:
            return values
        changed = list(values)
        for place, process in self._processed:
            changed[place] = process(changed[place])
        return tuple(changed)

    def _for_rows(self, count: int) -> str:
        """The text for so many rows. There are few: one for each power of two."""
        if count not in self._sql_for:
            self._sql_for[count] = self._sql.replace(f"VALUES {self._row}", f"VALUES {', '.join([self._row] * count)}")
        return self._sql_for[count]


_known: dict[tuple[Insert | Update, str], RowStatement] = {}


def row_statement(statement: Insert | Update, dialect: Dialect) -> RowStatement:
    """A statement in the words of a dialect. It is one that stays, since what is found out of it is kept."""
    key = statement, dialect.name
    if key not in _known:
        _known[key] = RowStatement(statement, dialect)
    return _known[key]
