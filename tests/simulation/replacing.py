"""Putting something else in the place of a name, for as long as a run takes."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

Replacement = tuple[Any, str, Any]
"""An owner (a module or a class), a name in it, and what the name is to mean."""


@contextlib.contextmanager
def replaced(changes: Iterable[Replacement]) -> Iterator[None]:
    """Have names mean something else for a while. A name that is not there is a fault of the list."""
    changes = tuple(changes)
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
