"""The types of settings: how a value is read from text or TOML, and what a complaint says to write instead."""

import grp
import math
import os
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BeforeValidator, Field, JsonValue
from pydantic.fields import FieldInfo

from creditmeter.core.access import Scope
from creditmeter.core.ids import is_id
from creditmeter.server.durations import format_seconds, read_seconds
from creditmeter.sidecar.alerts.standard_webhooks import WebhookMisconfigured

MAX_PORT = 65_535
MAX_SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux, in bytes."""

_MAX_GROUP = 2**32 - 2
"""Highest group number. The one above it means "no group" to the system."""

_PORT = re.compile(r"[0-9]{1,5}")
_GROUP_NUMBER = re.compile(r"[0-9]+")
_MODE = re.compile(r"0?[0-7]{3}")


def is_address(text: str) -> bool:
    """Whether the text is `host:port` or `unix:/path`."""
    if not text.isprintable():
        return False
    if text.startswith("unix:"):
        return text.removeprefix("unix:").startswith("/")
    host, colon, port = text.rpartition(":")
    return bool(host and colon and _PORT.fullmatch(port)) and int(port) <= MAX_PORT


def is_too_long(address: str) -> bool:
    """Whether this is the address of a Unix socket whose path is longer than the system allows."""
    return address.startswith("unix:") and len(os.fsencode(address.removeprefix("unix:"))) > MAX_SOCKET_PATH_BYTES


def place_of(address: str) -> str:
    """An address in one way of writing. Two addresses are the same if these are equal: a socket's directory may be a link."""
    if not address.startswith("unix:"):
        return address
    path = Path(address.removeprefix("unix:"))
    return f"unix:{Path(os.path.realpath(path.parent)) / path.name}"


def _read_duration(value: object) -> object:
    """Seconds, from a number or from text such as `10m`."""
    if isinstance(value, str):
        return read_seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ValueError(f'{value!r} is no length of time: write seconds (30, 0.25) or text with units ("10m", "1h30m")')
    return value


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that is too large for a float
        return False


def _read_count(value: object) -> object:
    """A whole number. TOML's true and false are none."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number: write a whole one")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def _read_list(value: object) -> object:
    """Text with commas, or a list of such texts."""
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return [part for each in value for part in _split(each)]
    return value


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _read_listener(value: object) -> object:
    if isinstance(value, str) and not is_address(value):
        raise ValueError(f"{value!r} is no address: use host:port or unix:/path")
    if isinstance(value, str) and is_too_long(value):
        raise ValueError(f"{value!r} is longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path: choose a shorter one")
    return value


def _read_page(value: object) -> object:
    if isinstance(value, str) and (value.startswith("unix:") or not is_address(value)):
        raise ValueError(f"{value!r} is no address: use host:port")
    return value


def _read_mode(value: object) -> object:
    """Permissions from text in octal digits. A number is refused: TOML would read its digits as decimal."""
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise ValueError(f'{value!r} is no mode: write octal digits as text, such as "0660" or "0600"')
    return int(value, 8)


def _read_group(value: object) -> object:
    """A group of this machine, by its name or number."""
    if not isinstance(value, str):
        return value
    if _GROUP_NUMBER.fullmatch(value):
        if len(value) > len(str(_MAX_GROUP)) or int(value) > _MAX_GROUP:
            raise ValueError(f"{value!r} is no group: write a group's name, or a number from 0 to {_MAX_GROUP}")
        return value
    try:
        grp.getgrnam(value)
    except KeyError:
        raise ValueError(f"there is no group {value!r} on this machine: write a group's name or number") from None
    return value


def _read_scopes(value: object) -> object:
    """Scopes from text with commas, or from a list of texts. `none` is no scope, and `all` are all of them."""
    words = _read_list(value)
    if words in (["none"], ["all"]):
        return () if words == ["none"] else tuple(Scope)
    known = {each.value: each for each in Scope}
    if not isinstance(words, list) or not words or any(each not in known for each in words):
        raise ValueError(f"{value!r} are no scopes: write some of {', '.join(known)} with commas, or all, or none")
    return tuple(known[each] for each in dict.fromkeys(words))


def _read_plan(value: object) -> object:
    if isinstance(value, str) and not is_id(value):
        raise ValueError(f"{value!r} is no plan's id: write 1 to 128 printable ASCII characters without spaces")
    return value


def checked_by(check: Callable[[str], object]) -> Any:
    """A validator for a value that has a secret in it. A complaint never shows the value."""

    def read(value: object) -> object:
        if isinstance(value, str):
            try:
                check(value)
            except WebhookMisconfigured as error:
                raise ValueError(str(error)) from None
        return value

    return BeforeValidator(read)


Duration = Annotated[float, BeforeValidator(_read_duration)]
Count = Annotated[int, BeforeValidator(_read_count)]
Listener = Annotated[str, BeforeValidator(_read_listener)]
Listeners = Annotated[tuple[Listener, ...], BeforeValidator(_read_list)]
PageAddress = Annotated[str, BeforeValidator(_read_page)]
Mode = Annotated[int, Field(ge=0, le=0o777), BeforeValidator(_read_mode)]
Scopes = Annotated[tuple[Scope, ...], BeforeValidator(_read_scopes)]
Group = Annotated[str, BeforeValidator(_read_group)]
PlanName = Annotated[str, BeforeValidator(_read_plan)]


def setting(
    default: Any,
    metavar: str,
    meaning: str,
    *,
    without: str = "none",
    private: bool = False,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """A field of `Settings`.

    `metavar` names the value of its option in the help; it is empty for a flag. `without` describes the default of a setting
    that has no default value. A complaint does not show the value of a `private` setting. A number is from `ge` to `le`.
    """
    words: dict[str, JsonValue] = {"metavar": metavar, "without": without, "private": private}
    return Field(default, description=meaning, json_schema_extra=words, ge=ge, le=le)


def word_of(field: FieldInfo, name: str) -> Any:
    """An argument that was given to `setting`, by name."""
    assert isinstance(field.json_schema_extra, dict), "every field of the settings is made by setting()"
    return field.json_schema_extra[name]


def kind_of(field: FieldInfo) -> Any:
    """The type of a setting's value, without None."""
    found = [each for each in get_args(field.annotation) if each is not NoneType]
    is_optional = len(found) < len(get_args(field.annotation))
    return found[0] if is_optional else field.annotation


def is_list(field: FieldInfo) -> bool:
    """Whether a setting has several values, so that its option may be repeated."""
    kind = kind_of(field)
    return get_origin(get_args(kind)[0] if get_origin(kind) is Annotated else kind) is tuple


def accepted_by(field: FieldInfo) -> str:
    """What may be written for a setting, in words."""
    kind = kind_of(field)
    low = next((each.ge for each in field.metadata if isinstance(each, Ge)), None)
    high = next((each.le for each in field.metadata if isinstance(each, Le)), None)
    if kind is bool:
        return "true or false"
    if kind is int:
        return f"a whole number from {low} to {high}"
    if kind is float:
        assert isinstance(low, int | float), "every duration is bounded"
        assert isinstance(high, int | float), "every duration is bounded"
        return f"a length of time from {format_seconds(low)} to {format_seconds(high)}, such as 30s or 1h30m"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(each.value for each in kind)
    return f"{word_of(field, 'metavar')} as text"


def as_text(value: object) -> str:
    """A setting's value as it may be written; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_seconds(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(each.value if isinstance(each, Enum) else each for each in value)
    return str(value)
