"""The types of settings: how a value is read from text or TOML, and what a complaint says to write instead."""

import grp
import math
import os
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Self, get_args, get_origin

import msgspec

from creditmeter.core.access import Scope
from creditmeter.core.ids import is_id
from creditmeter.server.durations import format_seconds, read_seconds
from creditmeter.sidecar.alerts.standard_webhooks import WebhookMisconfigured

HIDDEN = "********"
"""What is shown of a secret."""

MAX_PORT = 65_535
MAX_SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux, in bytes."""

_MAX_GROUP = 2**32 - 2
"""Highest group number. The one above it means "no group" to the system."""

_PORT = re.compile(r"[0-9]{1,5}")
_GROUP_NUMBER = re.compile(r"[0-9]+")
_MODE = re.compile(r"0?[0-7]{3}")
_FLAGS = dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True) | dict.fromkeys(("false", "no", "off", "0", "f", "n"), False)


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
        raise ValueError(f"{str(value).lower()} is no number: write a whole one")  # noqa: TRY004 - as all complaints
    return value.strip() if isinstance(value, str) else value


def _read_flag(value: object) -> object:
    return _FLAGS.get(value.lower(), value) if isinstance(value, str) else value


def _read_list(value: object) -> object:
    """Text with commas, or a list of such texts."""
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return [part for each in value for part in _split(each)]
    return value


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _read_listeners(value: object) -> object:
    listeners = _read_list(value)
    for each in listeners if isinstance(listeners, list) else ():
        if not is_address(each):
            raise ValueError(f"{each!r} is no address: use host:port or unix:/path")
        if is_too_long(each):
            most = f"the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path"
            raise ValueError(f"{each!r} is longer than {most}: choose a shorter one")
    return listeners


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
    words, known = _read_list(value), [each.value for each in Scope]
    if words in (["none"], ["all"]):
        return [] if words == ["none"] else known
    if not isinstance(words, list) or not words or any(each not in known for each in words):
        raise ValueError(f"{value!r} are no scopes: write some of {', '.join(known)} with commas, or all, or none")
    return list(dict.fromkeys(words))


def _read_plan(value: object) -> object:
    if isinstance(value, str) and not is_id(value):
        raise ValueError(f"{value!r} is no plan's id: write 1 to 128 printable ASCII characters without spaces")
    return value


def checked_by(check: Callable[[str], object]) -> "Reader":
    """A reader of a value that has a secret in it. A complaint never shows the value."""

    def read(value: object) -> object:
        if isinstance(value, str):
            try:
                check(value)
            except WebhookMisconfigured as error:
                raise ValueError(str(error)) from None
        return value

    return Reader(read)


class Secret:
    """Text that is shown nowhere, however the object is printed."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return HIDDEN


@dataclass(frozen=True, slots=True)
class Reader:
    """How a value as it was written becomes one that its type takes. It raises ValueError with what to write instead."""

    read: Callable[[object], object]


Flag = Annotated[bool, Reader(_read_flag)]
Duration = Annotated[float, Reader(_read_duration)]
Count = Annotated[int, Reader(_read_count)]
Listeners = Annotated[tuple[str, ...], Reader(_read_listeners)]
PageAddress = Annotated[str, Reader(_read_page)]
Mode = Annotated[int, Reader(_read_mode)]
Scopes = Annotated[tuple[Scope, ...], Reader(_read_scopes)]
Group = Annotated[str, Reader(_read_group)]
PlanName = Annotated[str, Reader(_read_plan)]


@dataclass(frozen=True, slots=True)
class Words:
    """What `setting` was told."""

    metavar: str
    meaning: str
    without: str
    is_private: bool
    ge: float | None
    le: float | None


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
    return field(default=default, metadata={"words": Words(metavar, meaning, without, private, ge, le)})


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its name, the type of its value (None apart), how that is read, its default, and what is said of it."""

    name: str
    kind: Any
    reader: Reader | None
    default: Any
    words: Words

    @classmethod
    def of(cls, made: "Field[Any]") -> Self:
        """The setting that a field of `Settings` is."""
        kinds = [each for each in get_args(made.type) if each is not NoneType]
        kind = kinds[0] if NoneType in get_args(made.type) else made.type
        reader = None
        if get_origin(kind) is Annotated:
            kind, reader = get_args(kind)
        return cls(made.name, kind, reader, made.default, made.metadata["words"])

    @property
    def is_list(self) -> bool:
        """Whether it has several values, so that its option may be repeated."""
        return get_origin(self.kind) is tuple

    @property
    def accepts(self) -> str:
        """What may be written for it, in words."""
        low, high = self.words.ge, self.words.le
        if self.kind is bool:
            return "true or false"
        if self.kind is int and low is not None:
            return f"a whole number from {low} to {high}"
        if self.kind is float:
            assert low is not None, "every duration is bounded"
            assert high is not None, "every duration is bounded"
            return f"a length of time from {format_seconds(low)} to {format_seconds(high)}, such as 30s or 1h30m"
        if isinstance(self.kind, type) and issubclass(self.kind, Enum):
            return " or ".join(each.value for each in self.kind)
        return f"{self.words.metavar} as text"

    def read(self, written: object) -> Any:
        """The value of what was written for it.

        Raises:
            ValueError: it cannot be used. The message says what to write, and shows no secret.
        """
        if not _is_writable(written):
            raise ValueError(f"write {self.accepts}")
        plain = written.value if isinstance(written, Enum) else written
        read = self.reader.read(plain) if self.reader else plain
        bounds = msgspec.Meta(ge=self.words.ge, le=self.words.le)
        try:
            return msgspec.convert(read, Annotated[self.kind, bounds], strict=False, dec_hook=_from_text)
        except msgspec.ValidationError:
            shown = "" if self.words.is_private else f"{written!r} cannot be used: "
            raise ValueError(f"{shown}write {self.accepts}") from None


def _is_writable(value: object) -> bool:
    """Whether a text, or each text of a list, is not empty and printable. No path, name or address is otherwise."""
    if isinstance(value, list | tuple):
        return all(map(_is_writable, value))
    return not isinstance(value, str) or (bool(value) and value.isprintable())


def _from_text(kind: type, value: object) -> object:
    """A path or a secret, which msgspec does not know."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{kind.__name__} is written as text")
    return kind(value)


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
