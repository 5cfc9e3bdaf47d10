"""Reading rows that may not be what was written.

A row is damaged if a cell is of another type than its column, or if it cannot be decoded. Then its account is named: a call
that needs the row is refused, and all other accounts go on.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

from sqlalchemy import Boolean, Integer, LargeBinary, RowMapping, Table
from sqlalchemy.exc import SQLAlchemyError

from creditmeter.central.engine.faults import CentralRowDamaged, CentralUnavailable
from creditmeter.core.ids import AccountId

_Function = TypeVar("_Function", bound=Callable[..., Any])


def reads(table: Table) -> Callable[[_Function], _Function]:
    """Marks a function that decodes a row of a table. Rows have the columns of the table first, and in its order.

    Whatever it raises is raised as CentralRowDamaged.
    """
    check = _types_of(table)
    keys = [each.name for each in table.primary_key.columns if each.name != "account_id"]

    def marked(decode: _Function) -> _Function:
        @wraps(decode)
        def read(row: RowMapping, *arguments: object) -> object:
            try:
                check(row)
                return decode(row, *arguments)
            except Exception as error:
                key = "".join(f" {row[name]!r}" for name in keys)
                raise CentralRowDamaged(row["account_id"], f"the row{key} of {table.name}", error) from error

        return cast("_Function", read)

    return marked


@contextlib.contextmanager
def reading(account_id: AccountId, what: str) -> Iterator[None]:
    """Read `what` of an account. Whatever the block raises is raised as CentralRowDamaged, apart from faults of the store."""
    try:
        yield
    except (CentralRowDamaged, CentralUnavailable, SQLAlchemyError, OSError):
        raise
    except Exception as error:
        raise CentralRowDamaged(account_id, what, error) from error


def _types_of(table: Table) -> Callable[[Any], None]:
    """A check whether the cells of a row are of the types of their columns. SQLite does not look at that."""
    expected = [(each.name, _type_of(each.type), bool(each.nullable)) for each in table.columns]
    known: set[tuple[type, ...]] = set()

    def check(row: Any) -> None:
        types = tuple(
            map(type, row.values() if isinstance(row, RowMapping) else row)
        )  # a driver's own row iterates over its values
        if types in known:
            return
        for name, kind, may_be_null in expected:
            if not (isinstance(row[name], kind) or (may_be_null and row[name] is None)):
                raise TypeError(f"{name} is of another type")
        known.add(types)

    return check


def _type_of(column_type: object) -> type:
    """The type of a column's cells. Whether a driver makes a bool or an int of a truth value is its own affair."""
    if isinstance(column_type, Boolean | Integer):
        return int
    return bytes if isinstance(column_type, LargeBinary) else str
