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
        described = param.type_descriptor
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if described.annotation is str and isinstance(value, str):
            return value
        if described.annotation == list[str] and not isinstance(value, str):
            return list(value)
        if described.annotation is Path and isinstance(value, str) and not _is_checked(described.parameter_info):
            return Path(value)
        return self._typers_own().coerce(value, param=param, ctx=ctx)


def _is_checked(path: Any) -> bool:
    """Whether more is asked of a path than to be one."""
    return bool(path.exists or path.resolve_path)
