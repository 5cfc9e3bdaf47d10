"""Compiled SQL, kept for all engines of one kind.

Each test has engines of its own, and SQLAlchemy compiles every statement anew for each of them. A sixth of the time of tests of
the central store went into that. What is sent to the database is the same.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event


class _Statements(dict[Any, Any]):
    """Compiled statements by the kind of engine and the statement. SQLAlchemy's keys begin with the engine's own dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        """The compiled statement of a key."""
        return super().get(_of_kind(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        """Keep a compiled statement."""
        super().__setitem__(_of_kind(key), compiled)


def _of_kind(key: Any) -> Any:
    dialect, *statement = key
    return dialect.name, dialect.driver, *statement


_statements = _Statements()


@event.listens_for(Engine, "engine_connect")
def _share(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_statements)
