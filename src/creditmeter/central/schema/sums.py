"""Exact sums of amounts in SQL. SQLite's own sums fail beyond an int64.

Each sum is selected in two parts. A part is exact for up to a thousand million rows.
"""

from sqlalchemy import ColumnElement, RowMapping, func

from creditmeter.core.amounts import Microcredits

_HALF = 2**32


def sum_of(name: str, amount: ColumnElement[int]) -> tuple[ColumnElement[int], ...]:
    """The two columns of a sum. They are None where there are no rows."""
    high, low = parts_of(name)
    return func.sum(amount // _HALF).label(high), func.sum(amount % _HALF).label(low)


def parts_of(*names: str) -> tuple[str, ...]:
    """The names of the columns of these sums."""
    return tuple(f"{name}_{part}" for name in names for part in ("high", "low"))


def whole(row: RowMapping, name: str) -> Microcredits:
    """The sum, in microcredits; 0 where there are no rows. PostgreSQL returns the parts as Decimals."""
    high, low = (int(row[part] or 0) for part in parts_of(name))
    return Microcredits(high * _HALF + low)
