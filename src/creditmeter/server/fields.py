"""Reading requests: every wrong field is found and named, all of them at once."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.core.amounts import MAX_AMOUNT, Microcredits
from creditmeter.core.ids import is_id
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.core.refusals import InvalidRequest
from creditmeter.server.durations import format_seconds
from creditmeter.server.well_known import malformed

MAX_LABELS = 16
MAX_LABEL_KEY = 64
MAX_LABEL_VALUE = 256
MAX_TEXT = 512
MAX_NAME = 256
MAX_COUNT = 10**9
DEFAULT_PAGE = 50
MAX_PAGE = 1_000
LONGEST = Span(315_576_000_000 * SECOND)
"""As long as a Duration can be."""

_ID_RULE = "must be 1-128 printable ASCII characters without spaces"


class Fields:
    """Reads the fields of one request and collects what is wrong with them: first what breaks the rules of protobuf's types."""

    def __init__(self, message: Message) -> None:
        self._violations = dict.fromkeys(malformed(message))
        self._malformed = {name for name, _ in self._violations}

    def wrong(self, name: str, why: str) -> None:
        """Note that a field is wrong; the same of the same field is noted once."""
        self._violations[name, why] = None

    @property
    def refusal(self) -> InvalidRequest | None:
        """The refusal that names every wrong field; None if there is none."""
        return InvalidRequest(tuple(self._violations)) if self._violations else None

    def id(self, name: str, value: str) -> str:
        """An id."""
        if not is_id(value):
            self.wrong(name, _ID_RULE if value else f"is missing: it {_ID_RULE}")
        return value

    def amount(self, name: str, value: int, least: int) -> Microcredits:
        """An amount in microcredits."""
        if not least <= value <= MAX_AMOUNT:
            self.wrong(name, f"must be {least} to {MAX_AMOUNT} microcredits")
        return Microcredits(value)

    def count(self, name: str, value: int, most: int = MAX_COUNT) -> int:
        """A count: 0 or more."""
        if not 0 <= value <= most:
            self.wrong(name, f"must be 0 to {most}")
        return value

    def text(self, name: str, value: str, longest: int) -> str:
        """Free text."""
        if len(value) > longest:
            self.wrong(name, f"must be at most {longest} characters")
        self._storable(name, value)
        return value

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels."""
        if len(labels) > MAX_LABELS:
            self.wrong("labels", f"must be at most {MAX_LABELS}")
        for key, value in labels.items():
            if not 1 <= len(key) <= MAX_LABEL_KEY:
                self.wrong(f"labels[{key[:MAX_LABEL_KEY]!r}]", f"a key must be 1-{MAX_LABEL_KEY} characters")
            if len(value) > MAX_LABEL_VALUE:
                self.wrong(f"labels[{key[:MAX_LABEL_KEY]!r}]", f"a value must be at most {MAX_LABEL_VALUE} characters")
            self._storable(f"labels[{key[:MAX_LABEL_KEY]!r}]", key + value)
        return dict(labels)

    def _storable(self, name: str, value: str) -> None:
        """PostgreSQL stores every character but NUL."""
        if "\0" in value:
            self.wrong(name, "must not contain a NUL character")

    def span(self, name: str, value: Duration, least: Span, most: Span) -> Span:
        """A length of time."""
        found = Span(value.seconds * 1_000_000 + value.nanos // 1_000)
        if not least <= found <= most and name not in self._malformed:
            self.wrong(name, f"must be {_between(least, most)}")
        return found

    def moment(self, name: str, message: Message, value: Timestamp) -> Instant | None:
        """A moment; None if the field is unset."""
        if not message.HasField(name):
            return None
        if value.seconds < 0 and name not in self._malformed:
            self.wrong(name, "must be a time between 1970 and 9999")
        return Instant(value.seconds * 1_000_000 + value.nanos // 1_000)

    def bound(self, name: str, message: Message, value: Timestamp) -> Instant | None:
        """A moment from which on, or before which, things are asked for; None if the field is unset.

        What is finer than a microsecond is rounded up: things happen at whole ones, and those below it stay below.
        """
        found = self.moment(name, message, value)
        return found if found is None or value.nanos % 1_000 == 0 else Instant(found + 1)

    def enum(self, name: str, enum: Any, value: int, prefix: str) -> str | None:
        """The name of an enum's value without its prefix; None if it is unspecified. The stubs type an enum as its values'
        class; it is google.protobuf's EnumTypeWrapper.
        """
        if value == 0:
            return None
        if value not in enum.values():
            self.wrong(name, f"{value} is none of the values of {enum.DESCRIPTOR.name}")
            return None
        return str(enum.Name(value)).removeprefix(prefix)

    def page_size(self, value: int) -> int:
        """How many items a page has: 0 means 50, and no page has more than 1,000."""
        if value < 0:
            self.wrong("page_size", "must not be negative")
        return min(value or DEFAULT_PAGE, MAX_PAGE)


def _between(least: Span, most: Span) -> str:
    """Two lengths of time: in whole seconds, or with the units that show all of them."""
    if least % SECOND or most % SECOND:
        return " to ".join(format_seconds(each / SECOND) for each in (least, most))
    return f"{least // SECOND:,} to {most // SECOND:,} seconds"
