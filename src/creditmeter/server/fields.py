"""The fields of a request: reads each one, and names all that are wrong in one refusal."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.message import Message

from creditmeter.core.amounts import MAX_AMOUNT, Microcredits
from creditmeter.core.ids import is_id
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.refusals import InvalidRequest
from creditmeter.server.durations import format_seconds
from creditmeter.server.enums import value_of
from creditmeter.server.well_known import malformed

MAX_LABELS = 16
MAX_LABEL_KEY = 64
MAX_LABEL_VALUE = 256
MAX_UNITS = 32
MAX_UNIT_NAME = 64
MAX_TEXT = 512
MAX_NAME = 256
MAX_COUNT = 10**9
DEFAULT_PAGE = 50
MAX_PAGE = 1_000
LONGEST = Span(315_576_000_000 * SECOND)
"""The longest Duration, in microseconds."""

LONGEST_WAIT = Span(60 * SECOND)
"""The longest that a caller may wait for one reply."""

_Id = TypeVar("_Id", bound=str)
_Value = TypeVar("_Value", bound=Enum)
_ID_RULE = "must be 1-128 printable ASCII characters without spaces"


class Fields:
    """Reads the fields of one request, each by its name, and collects what is wrong with them.

    Before any field is read, every Duration and Timestamp of the request is checked against the rules of protobuf's types.
    """

    def __init__(self, message: Message, prefix: str = "", violations: dict[tuple[str, str], None] | None = None) -> None:
        self._message = message
        self._prefix = prefix
        self._violations = dict.fromkeys(malformed(message)) if violations is None else violations

    def within(self, path: str, message: Message) -> "Fields":
        """The fields of a message inside this one, at `path`. What is wrong with them counts for the whole request."""
        return Fields(message, f"{self._prefix}{path}.", self._violations)

    def wrong(self, name: str, why: str) -> None:
        """Note that a field is wrong. The same complaint about the same field is noted once."""
        self._violations[self._prefix + name, why] = None

    @property
    def refusal(self) -> InvalidRequest | None:
        """The refusal that names every wrong field; None if there is none."""
        return InvalidRequest(tuple(self._violations)) if self._violations else None

    def id(self, name: str, kind: Callable[[str], _Id]) -> _Id:
        """An id that must be set."""
        value = self._read(name)
        if not is_id(value):
            self.wrong(name, _ID_RULE if value else f"is missing: it {_ID_RULE}")
        return kind(value)

    def id_if_set(self, name: str, kind: Callable[[str], _Id]) -> _Id | None:
        """An id that may be left out; None if it is."""
        return self.id(name, kind) if self._read(name) else None

    def amount(self, name: str, least: int) -> Microcredits:
        """An amount in microcredits, of `least` or more."""
        value = self._read(name)
        if not least <= value <= MAX_AMOUNT:
            self.wrong(name, f"must be {least} to {MAX_AMOUNT} microcredits")
        return Microcredits(value)

    def count(self, name: str, most: int = MAX_COUNT, least: int = 0) -> int:
        """A count from `least` to `most`."""
        value = self._read(name)
        if not least <= value <= most:
            self.wrong(name, f"must be {least} to {most}")
        return int(value)

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """Those of these counts that are set, by name. An explicit 0 is 0; a count that is not set is unknown."""
        return {name: self.count(name) for name in names if self._message.HasField(name)}

    def text(self, name: str, longest: int) -> str:
        """Free text of at most `longest` characters."""
        value = str(self._read(name))
        if len(value) > longest:
            self.wrong(name, f"must be at most {longest} characters")
        self._check_storable(name, value)
        return value

    def texts(self, names: Iterable[str], longest: int) -> dict[str, str]:
        """Several free texts, by name."""
        return {name: self.text(name, longest) for name in names}

    def labels(self) -> dict[str, str]:
        """The request's labels."""
        labels: Mapping[str, str] = self._read("labels")
        if not labels:
            return {}
        if len(labels) > MAX_LABELS:
            self.wrong("labels", f"must be at most {MAX_LABELS}")
        for key, value in labels.items():
            name = f"labels[{key[:MAX_LABEL_KEY]!r}]"
            if not 1 <= len(key) <= MAX_LABEL_KEY:
                self.wrong(name, f"a key must be 1-{MAX_LABEL_KEY} characters")
            if len(value) > MAX_LABEL_VALUE:
                self.wrong(name, f"a value must be at most {MAX_LABEL_VALUE} characters")
            self._check_storable(name, key + value)
        return dict(labels)

    def units(self) -> dict[str, int]:
        """The units of a usage or of work: counts by name."""
        units: Mapping[str, int] = self._read("units")
        if len(units) > MAX_UNITS:
            self.wrong("units", f"must be at most {MAX_UNITS}")
        for unit, count in units.items():
            name = f"units[{unit[:MAX_UNIT_NAME]!r}]"
            if not 1 <= len(unit) <= MAX_UNIT_NAME:
                self.wrong(name, f"a name must be 1-{MAX_UNIT_NAME} characters")
            if not 0 <= count <= MAX_COUNT:
                self.wrong(name, f"must be 0 to {MAX_COUNT}")
            self._check_storable(name, unit)
        return dict(units)

    def span_if_set(self, name: str, least: Span, most: Span) -> Span | None:
        """A length of time from `least` to `most`; None if the field is not set."""
        if not self._message.HasField(name):
            return None
        value = self._read(name)
        found = Span(value.seconds * 1_000_000 + value.nanos // 1_000)
        if not least <= found <= most and not self._is_noted(name):
            self.wrong(name, f"must be {_between(least, most)}")
        return found

    def wait(self) -> Span | None:
        """How long the caller is willing to wait; None if it does not say."""
        if not self._message.HasField("wait"):
            return None
        value = self._read("wait")
        found = Span(value.seconds * 1_000_000 + value.nanos // 1_000)
        if not 0 <= found <= LONGEST_WAIT and not self._is_noted("wait"):
            self.wrong("wait", f"must be {_between(Span(0), LONGEST_WAIT)}; to wait longer, repeat the request")
        return found

    def moment_if_set(self, name: str) -> Instant | None:
        """A moment, rounded down to a microsecond; None if the field is not set."""
        if not self._message.HasField(name):
            return None
        value = self._read(name)
        if value.seconds < 0 and not self._is_noted(name):
            self.wrong(name, "must be a time between 1970 and 9999")
        return Instant(value.seconds * 1_000_000 + value.nanos // 1_000)

    def bound_if_set(self, name: str) -> Instant | None:
        """A moment at which a span of time begins or ends; None if the field is not set.

        It is rounded up to a microsecond. All events happen at whole microseconds, so the same ones are before it.
        """
        found = self.moment_if_set(name)
        return found if found is None or self._read(name).nanos % 1_000 == 0 else Instant(found + 1)

    def enum(self, name: str, contract: Any, kind: type[_Value]) -> _Value | None:
        """A value of one of the contract's enums as the core's value; None if it is unspecified."""
        return self._value(name, contract, self._read(name), kind)

    def enums(self, name: str, contract: Any, kind: type[_Value]) -> tuple[_Value, ...]:
        """Values of one of the contract's enums as the core's values, each once; the unspecified one is wrong."""
        numbers = dict.fromkeys(self._read(name))
        found = [self._value(name, contract, number, kind) for number in numbers]
        if 0 in numbers:
            self.wrong(name, "must not name the unspecified one")
        return tuple(each for each in found if each is not None)

    def page_size(self) -> int:
        """The most items on the page: 50 if the field is 0, and never more than 1,000."""
        value = self._read("page_size")
        if value < 0:
            self.wrong("page_size", "must not be negative")
        return min(value or DEFAULT_PAGE, MAX_PAGE)

    def _read(self, name: str) -> Any:
        return getattr(self._message, name)

    def _is_noted(self, name: str) -> bool:
        """Whether something is already known to be wrong with a field."""
        return any(found == self._prefix + name for found, _ in self._violations)

    def _value(self, name: str, contract: Any, number: int, kind: type[_Value]) -> _Value | None:
        if number not in contract.values():
            self.wrong(name, f"{number} is none of the values of {contract.DESCRIPTOR.name}")
            return None
        return value_of(contract, number, kind)

    def _check_storable(self, name: str, value: str) -> None:
        """Refuse a NUL character, the only one that PostgreSQL does not store."""
        if "\0" in value:
            self.wrong(name, "must not contain a NUL character")


def _between(least: Span, most: Span) -> str:
    """A range of times as text: in seconds if both ends are whole seconds, else with units."""
    if least % SECOND or most % SECOND:
        return " to ".join(format_seconds(each / SECOND) for each in (least, most))
    return f"{least // SECOND:,} to {most // SECOND:,} seconds"
