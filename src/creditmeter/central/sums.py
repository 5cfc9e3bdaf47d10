"""Sums of amounts that are exact however large they are: SQLite itself adds up nothing beyond an int64.

Each is selected in two parts, of which a thousand million still fit one.
"""

from sqlalchemy import ColumnElement, RowMapping, func

from creditmeter.core.amounts import Microcredits

_HALF = 2**32


def sum_of(name: str, amount: ColumnElement[int]) -> tuple[ColumnElement[int], ...]:
    """The columns of a sum; it has a part of None where there is nothing to add up."""
    high, low = parts_of(name)
    return func.sum(amount // _HALF).label(high), func.sum(amount % _HALF).label(low)


def parts_of(*names: str) -> tuple[str, ...]:
    """What the columns of these sums are called."""
    return tuple(f"{name}_{part}" for name in names for part in ("high", "low"))


def whole(row: RowMapping, name: str) -> Microcredits:
    """The sum, 0 of nothing. PostgreSQL's parts are Decimals."""
    high, low = (int(row[part] or 0) for part in parts_of(name))
    return Microcredits(high * _HALF + low)
