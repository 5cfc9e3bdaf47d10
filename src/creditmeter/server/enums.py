"""Values of the core's enums and of the contract's: `GrantKind.DAILY` in the core is `GRANT_KIND_DAILY` in the contract.

In both every value has the same name, which the contract puts a prefix before. 0 is the contract's unspecified value; the core
has none.
"""

from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

_UNSPECIFIED = "UNSPECIFIED"

_Number = TypeVar("_Number", bound=int)
_Value = TypeVar("_Value", bound=Enum)


def number_of(contract: "_EnumTypeWrapper[_Number]", value: Enum | None) -> _Number:
    """The number in the contract's enum of the value of this name; 0, the unspecified value, for None.

    Raises:
        ValueError: the contract's enum has no such value.
    """
    found: _Number = _number_of(contract, value)
    return found


@cache
def _number_of(contract: Any, value: Enum | None) -> Any:
    return contract.Value(f"{_prefix(contract)}{value.name if value is not None else _UNSPECIFIED}")


def value_of(contract: Any, number: int, kind: type[_Value]) -> _Value | None:
    """The core value of a number in the contract's enum; None if it is unspecified.

    Raises:
        ValueError: the number is none of the contract's.
        KeyError: the core's enum has no such value.
    """
    return None if number == 0 else kind[contract.Name(number).removeprefix(_prefix(contract))]


def _prefix(contract: Any) -> str:
    """What all names of the contract's enum begin with, such as `GRANT_KIND_`."""
    return str(contract.Name(0).removesuffix(_UNSPECIFIED))
