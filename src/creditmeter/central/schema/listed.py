"""Parameters that are lists: one parameter with JSON stands for all of their rows.

So the text of a statement is the same however long a list is. It is compiled once, and a server prepares it once.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Text, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB

from creditmeter.central.schema.rows import Row


class Listed:
    """The parameter `name`, whose rows have `width` fields of text, in the words of an engine's `dialect`.

    `source` is what to select from; `fields` are its columns.
    """

    def __init__(self, dialect: str, name: str, width: int = 1) -> None:
        parameter = bindparam(name, type_=Text)
        self.fields: list[ColumnElement[str]]
        if dialect == "sqlite":
            rows = func.json_each(parameter).table_valued("value")
            self.fields = [func.json_extract(rows.c.value, literal_column(f"'$[{place}]'")) for place in range(width)]
        else:
            rows = func.jsonb_array_elements(cast(parameter, JSONB)).table_valued("value")
            self.fields = [rows.c.value.op("->>")(literal_column(str(place))) for place in range(width)]
        self.source: FromClause = rows

    def rows(self) -> Select[*tuple[Any, ...]]:
        """All rows, for an IN."""
        return select(*self.fields)


@cache  # few: building one takes longer than a statement that uses it
def listed(dialect: str, name: str, width: int = 1) -> Listed:
    """The parameter of this name."""
    return Listed(dialect, name, width)


def as_list(name: str, rows: Iterable[tuple[str, ...]]) -> Row:
    """The value of the parameter `name`. What is in it twice counts once."""
    return {name: json.dumps(sorted(set(rows)))}
