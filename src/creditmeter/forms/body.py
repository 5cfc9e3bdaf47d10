"""Bodies: JSON texts in rows of the journal and of the central store, each of a numbered form.

A form is a class whose fields say what is stored. Each field has the name of the core's field. Its stored name is the same,
unless the form says otherwise: `msgspec.field(name=...)` keeps the stored name of a field that the core renames. The values of
enums are stored words.

A body without a number is of form 1, the one that version 0.1.0 of the program wrote. A list has no room for a number, so it is
of form 1 too. A program overlooks fields that its form does not have: a newer program may add one, with a default, if an older
one may overlook it. A body that an older program must not read gets another number, and the older program refuses it, unless it
is version 0.1.0, which knew no numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from creditmeter.core.values import Value

_Value = TypeVar("_Value")
_Stored = TypeVar("_Stored", bound="Stored")
_Read = TypeVar("_Read")


class Stored(msgspec.Struct, gc=False):
    """What stands in a body: its fields are written in their order."""


class Body(Stored, kw_only=True):
    """What may be a body of its own. `form` is the number of its form, and is not written while that is 1."""

    form: Literal[1] | msgspec.UnsetType = msgspec.UNSET


class BodyUnreadable(ValueError):
    """A stored body is damaged, or of a form that this program does not know."""


def form_of(value: type) -> Callable[[type[_Stored]], type[_Stored]]:
    """Marks a class as the form of a value of the core.

    Each has the fields of the other, so that none is lost, with the same defaults: a field that a body leaves out is what it is
    for the core.
    """

    def checked(stored: type[_Stored]) -> type[_Stored]:
        one, other = _defaults_of_form(stored), defaults_of(value)
        differing = {
            name for name in one.keys() | other.keys() if name not in one or name not in other or one[name] != other[name]
        }
        assert not differing, f"{stored.__name__} and {value.__name__} differ in {', '.join(sorted(differing))}"
        return stored

    return checked


NEEDED = object()
"""Stands for the default of a field that has none."""


def _defaults_of_form(stored: type[Stored]) -> dict[str, object]:
    return {name: default for name, default in _defaults(stored).items() if name != "form"}


def defaults_of(value: Any) -> dict[str, object]:
    """The fields of a class of values, with their defaults; `NEEDED` for those that have none."""
    if issubclass(value, Value):
        return _defaults(value)
    return {
        each.name: each.default_factory() if each.default_factory is not MISSING else _default(each.default, MISSING)
        for each in fields(value)
    }


def _defaults(struct: type[msgspec.Struct]) -> dict[str, object]:
    """The fields of a class, with their defaults."""
    names, found = struct.__struct_fields__, struct.__struct_defaults__
    defaults = (*(msgspec.NODEFAULT for _ in names[len(found) :]), *found)  # given for the last fields only
    return {name: _default(each, msgspec.NODEFAULT) for name, each in zip(names, defaults, strict=True)}


def _default(found: Any, missing: object) -> object:
    """A default as a value that can be compared. One that is made anew for each instance is made here."""
    if found is missing:
        return NEEDED
    made = found.factory() if hasattr(found, "factory") else found
    if isinstance(made, msgspec.Struct):
        return msgspec.structs.asdict(made)
    return asdict(made) if is_dataclass(made) and not isinstance(made, type) else made


class Form(Generic[_Value]):
    """Writes and reads bodies. `stored` is the class that a value has in a body, `value` the one that it has in the core."""

    def __init__(self, stored: Any, value: type[_Value]) -> None:
        self._stored = stored
        self._value = value
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(stored)

    def encode(self, value: _Value) -> bytes:
        """The body of a value.

        Raises:
            TypeError: it is no value of this form.
        """
        try:
            return encoded(msgspec.convert(value, self._stored, from_attributes=True))
        except msgspec.MsgspecError as error:
            raise TypeError(f"{type(value).__name__} cannot be stored: {error}") from error

    def encode_text(self, value: _Value) -> str:
        """The body of a value, as text."""
        return self.encode(value).decode()

    def decode(self, body: bytes | str) -> _Value:
        """The value of a body.

        Raises:
            BodyUnreadable: the body is damaged, or of a newer form.
            AssertionError: the value is none that the core could have made.
        """
        return decoded(body, lambda: msgspec.convert(self._decoder.decode(body), self._value, from_attributes=True))


class Kinds(Generic[_Value]):
    """Writes and reads bodies of several kinds of value. Beside each body stands the name of its kind."""

    def __init__(self, forms: Mapping[str, tuple[Any, type[_Value]]]) -> None:
        self._forms = {name: Form(stored, value) for name, (stored, value) in forms.items()}
        self._names = {value: name for name, (_, value) in forms.items()}
        self.forms = forms

    def name(self, value: _Value) -> str:
        """The stored name of a value's kind."""
        return self._names[type(value)]

    def encode(self, value: _Value) -> bytes:
        """The body of a value."""
        return self._forms[self.name(value)].encode(value)

    def encode_text(self, value: _Value) -> str:
        """The body of a value, as text."""
        return self.encode(value).decode()

    def decode(self, name: str, body: bytes | str) -> _Value:
        """The value of a body of this kind.

        Raises:
            BodyUnreadable: the kind is not known, or the body is damaged, or of a newer form.
            AssertionError: the value is none that the core could have made.
        """
        form = self._forms.get(name)
        if form is None:
            raise BodyUnreadable(f"its kind {name!r} is not known")
        return form.decode(body)


encoded = msgspec.json.Encoder().encode
"""The JSON of a form."""


class _Numbered(msgspec.Struct):
    """Of any body, the number of its form."""

    form: int = 1


_decode_number = msgspec.json.Decoder(_Numbered).decode


def decoded(body: bytes | str, decode: Callable[[], _Read]) -> _Read:
    """What `decode` makes of a body.

    Raises:
        BodyUnreadable: the body is damaged, or of a newer form.
    """
    try:
        return decode()
    except msgspec.MsgspecError as error:
        raise BodyUnreadable(_unknown_form(body) or str(error)) from error


def _unknown_form(body: bytes | str) -> str | None:
    """The problem with a body of an unknown form; None if the body is of a known form, or no number can be read."""
    try:
        number = _decode_number(body).form
    except msgspec.MsgspecError:
        return None
    return None if number == 1 else f"its form is {number}, and this program knows form 1 alone"
