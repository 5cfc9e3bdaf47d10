"""Forms whose fields are written by position, without their names: for records of which there are many.

A positional form has the fields of a form of this package in their order, and so have the forms within it. So a field may only
be added at the end, with a default: a body that was written before the field lacks it.
"""

from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from creditmeter.forms.body import Stored


@cache
def positional(form: type[Stored]) -> Any:
    """The same form, written by position."""
    hints = get_type_hints(form)
    fields = [_field(each, hints[each.name]) for each in msgspec.structs.fields(form) if each.name != "form"]
    return msgspec.defstruct(form.__name__, fields, array_like=True, gc=False)


def _field(field: msgspec.structs.FieldInfo, hint: Any) -> Any:
    found = _positional_hint(hint)
    if field.default is not msgspec.NODEFAULT:
        return field.name, found, field.default
    if field.default_factory is not msgspec.NODEFAULT:
        made = field.default_factory
        factory = positional(made) if isinstance(made, type) and issubclass(made, Stored) else made
        return field.name, found, msgspec.field(default_factory=factory)
    return field.name, found


def _positional_hint(hint: Any) -> Any:
    """A type in which every form is the positional one."""
    if isinstance(hint, type) and issubclass(hint, Stored):
        return positional(hint)
    arguments = get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return reduce(or_, map(_positional_hint, arguments), NoneType)
    if get_origin(hint) is tuple:
        return tuple[(_positional_hint(arguments[0]), ...)]  # type: ignore[misc]  # a type that is made here
    return hint
