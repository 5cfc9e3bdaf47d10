"""Requests that are out of order: messages with odd values, bytes that were changed, and bytes that are no message."""

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import EncodeError, Message

from tests.fuzz.contract import Rpc
from tests.fuzz.known import KINDS, Known
from tests.fuzz.values import LONE, LONE_BYTES, a_value, mutated_text

MAX_BYTES = 6 * 1024 * 1024
"""Larger than any message that a sidecar takes."""

_MOST_DEPTH = 6
_MOST_TO_REPEAT = 100_000
"""A message of more bytes gets no more of them."""

_GROUP = b"\x0b"
_VARINTS = [b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\xff" * 11, b"\x80\x00", b"\x00"]
_TAGS = [
    b"\x0a",
    b"\x12",
    b"\x1a",
    b"\x22",
    b"\x08",
    b"\x10",
    b"\x0d",
    b"\x09",
    b"\x0c",
    b"\x07",
    b"\xfa\xff\xff\xff\x0f\x00",
    b"\x00",
]


def encoded(message: Message) -> bytes:
    """The bytes of a message, with lone surrogates where its texts stand for them."""
    try:
        return message.SerializeToString().replace(LONE.encode(), LONE_BYTES)
    except EncodeError:  # it was repeated too often
        return b""


def disturb(random: Random, message: Message, known: Known) -> None:
    """Change some fields of a message, at any depth, to odd values."""
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        if message.ByteSize() < _MOST_TO_REPEAT:
            _disturb_once(random, message, known, _MOST_DEPTH)


def a_message(random: Random, rpc: Rpc, known: Known) -> Any:
    """A message with odd values in many fields."""
    message = rpc.request()
    for field in message.DESCRIPTOR.fields:
        if random.random() < 0.6:
            _set(random, message, field, known)
    return message


def changed_bytes(random: Random, received: bytes) -> bytes:
    """A message's bytes with some of them flipped, cut, doubled, or with others between them."""
    found = received
    for _ in range(random.choice([1, 1, 2, 5])):
        at = random.randrange(len(found) + 1)
        to = min(len(found), at + random.choice([1, 2, 8, 100]))
        match random.randrange(8):
            case 0 | 1 if found[at:]:
                found = found[:at] + bytes([found[at] ^ (1 << random.randrange(8))]) + found[at + 1 :]
            case 2:
                found = found[:at]
            case 3:
                found = found[:to] + found[at:to] * random.choice([1, 2, 50]) + found[to:]
            case 4:
                found = found[:at] + found[to:]
            case 5:
                found = found[:at] + random.choice(_TAGS) + random.choice(_VARINTS) + found[at:]
            case 6:
                found = found[:at] + _GROUP * random.choice([1, 10, 99, 101, 10_000]) + found[at:]
            case _:
                found = found[:at] + random.choice([LONE_BYTES, b"\0", b"\xc0\x80", b"\xff", random.randbytes(5)]) + found[at:]
    return found[:MAX_BYTES]


def garbage(random: Random) -> bytes:
    """Bytes that are most likely no message."""
    match random.randrange(4):
        case 0:
            return random.randbytes(random.choice([1, 2, 3, 10, 100, 10_000]))
        case 1:
            return random.choice(_TAGS) * random.choice([1, 100, 100_000])
        case 2:
            return _deep(random.choice([10, 90, 101, 1_000, 4_000]))
        case _:
            return b'{"account_id": "lasting-0"}' * random.choice([1, 100])


def _deep(levels: int) -> bytes:
    """Messages inside each other, each in the first field."""
    found = b""
    for _ in range(levels):
        found = b"\x0a" + _varint(len(found)) + found
    return found


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _disturb_once(random: Random, message: Message, known: Known, depth: int) -> None:
    fields: Any = message.DESCRIPTOR.fields  # of protobuf's own C types
    if not fields:
        return
    within = [value for field, value in message.ListFields() if _is_one_message(field)]
    within += [each for field, value in message.ListFields() if _are_messages(field) for each in value[:3]]
    if within and depth and random.random() < 0.6:
        _disturb_once(random, random.choice(within), known, depth - 1)
        return
    field = random.choice(fields)
    match random.randrange(8):
        case 0:
            message.ClearField(field.name)
        case 1 | 2 if field.is_repeated and not _is_map(field):
            _repeat(random, message, field)
        case _:
            _set(random, message, field, known)


def _set(random: Random, message: Message, field: FieldDescriptor, known: Known) -> None:
    """Give a field an odd value; a repeated one, one more."""
    if _is_map(field):
        _fill_map(random, message, field)
    elif field.message_type is not None:
        found = getattr(message, field.name)
        inner = found.add() if field.is_repeated else found
        inner.SetInParent()
        for each in inner.DESCRIPTOR.fields:
            if random.random() < 0.5 and each.message_type is None:
                _set(random, inner, each, known)
    elif field.is_repeated:
        getattr(message, field.name).append(a_value(random, field))
    else:
        setattr(message, field.name, _scalar(random, message, field, known))


def _scalar(random: Random, message: Message, field: FieldDescriptor, known: Known) -> Any:
    now = getattr(message, field.name)
    if isinstance(now, str):
        kind = field.name
        if kind in KINDS and random.random() < 0.5:
            kind, now = random.choice(KINDS), known.an_id(random, random.choice(KINDS))
        if random.random() < 0.4:
            return mutated_text(random, now)
    return a_value(random, field)


def _repeat(random: Random, message: Message, field: FieldDescriptor) -> None:
    """Repeat what is there, or an odd value, very often."""
    times = random.choice([2, 17, 51, 1_001, 1_001, 10_001])
    found: Any = getattr(message, field.name)
    if field.message_type is None:
        found.extend([found[0] if found else a_value(random, field)] * times)
        return
    one = found[0] if found else found.add()
    times = min(times, MAX_BYTES // (one.ByteSize() + 1))
    found.extend([one] * times)


def _fill_map(random: Random, message: Message, field: FieldDescriptor) -> None:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    found: Any = getattr(message, field.name)
    found[a_value(random, key)] = a_value(random, value)
    for number in range(random.choice([0, 0, 1, 16, 32, 5_000])):
        found[f"k{number}"] = value.default_value


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_one_message(field: FieldDescriptor) -> bool:
    return field.message_type is not None and not field.is_repeated


def _are_messages(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.is_repeated and not _is_map(field)
