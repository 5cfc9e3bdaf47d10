"""Text that was typed is taken as it is. For each parameter typer loads pydantic, 7 MB, to see that text is text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperOption


def take_as_typed(parameter: Any) -> None:
    """Let a parameter of typer's have text and paths as they were typed. All else is typer's to check.

    `get_runtime_param` is not documented. Where a release of typer has it no more, nothing but the memory is lost.
    """
    typers_own = getattr(parameter, "get_runtime_param", None)
    if typers_own is not None:
        parameter.get_runtime_param = lambda: _AsTyped(typers_own)


class _AsTyped:
    """Gives the value of a parameter: what typer's own check gives, without it where there is nothing to check."""

    def __init__(self, typers_own: Callable[[], Any]) -> None:
        self._typers_own = typers_own

    def coerce(self, value: Any, param: TyperArgument | TyperOption, ctx: Any) -> Any:
        """The value of what was typed; None, or () of several, where nothing was."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        found = _as_typed(value, param.type_descriptor)
        return self._typers_own().coerce(value, param=param, ctx=ctx) if found is None else found


def _as_typed(value: Any, described: Any) -> Any:
    """The value, if it may be taken as it is; else None."""
    kind, checks = described.annotation, described.parameter_info
    if checks.parser is not None or checks.exists or checks.resolve_path:
        return None
    if kind == list[str]:
        return list(value) if isinstance(value, list | tuple) else None
    return kind(value) if kind in (str, Path) and isinstance(value, str) else None
