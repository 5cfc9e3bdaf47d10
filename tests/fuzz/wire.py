"""Connections that are no gRPC, or gRPC that lies: written byte by byte (RFC 9113, and gRPC's PROTOCOL-HTTP2)."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from random import Random

CONNECT_SECONDS = 5.0
READ_SECONDS = 0.05
ODD_BYTES = 0.3
"""How many calls have a header with bytes that are no text."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _GOAWAY, _CONTINUATION = 0, 1, 4, 7, 9
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW_SIZE = b"\0\4"
_PATHS = [
    "/creditmeter.v1.MeteringService/Reserve",
    "/creditmeter.v1.MeteringService/Pipeline",
    "/no/such",
    "no slash",
    "/" * 5_000,
]
_TYPES = ["application/grpc", "application/grpc+proto", "application/json", ""]


async def connect(random: Random, address: str) -> bool:
    """Connect to HOST:PORT, write what a seed says, and hang up. Returns whether a connection was to be had."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(_said(random))
        await writer.drain()
        async with asyncio.timeout(READ_SECONDS):
            await reader.read(65_536)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def an_empty_request(path: bytes, *, calls: int = 1, reads: int | None = None) -> bytes:
    """All that a client says who calls this path on a new connection, so often, with a message of no bytes. It `reads` so many
    bytes of each reply, and no more; None: as many as is usual.
    """
    headers = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"localhost", b"te": b"trailers"}
    block = _block(headers | {b"content-type": b"application/grpc"})
    settings = b"" if reads is None else _INITIAL_WINDOW_SIZE + reads.to_bytes(4, "big")
    streams = range(1, 2 * calls, 2)
    asked = (_frame(_HEADERS, _END_HEADERS, each, block) + _frame(_DATA, _END_STREAM, each, bytes(5)) for each in streams)
    return _PREFACE + _frame(_SETTINGS, 0, 0, settings) + b"".join(asked)


def _said(random: Random) -> bytes:
    chance = random.randrange(6)
    if chance == 0:
        return random.randbytes(random.choice([0, 1, 10, 1_000, 100_000]))
    if chance == 1:
        return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * random.choice([1, 100])
    if chance == 2:
        return b"\x16\x03\x01\x02\x00\x01\x00" + random.randbytes(512)  # as TLS begins
    frames = [_frame(_SETTINGS, 0, 0, b""), *_call(random), *_call(random)]
    if chance == 3:
        frames.insert(
            random.randrange(len(frames)),
            _frame(random.randrange(256), random.randrange(256), random.randrange(9), random.randbytes(30)),
        )
    said = _PREFACE + b"".join(frames)
    if chance == 4:
        at = random.randrange(len(said))
        return said[:at] + random.randbytes(4) + said[at + 4 :]
    return said


def _call(random: Random) -> Sequence[bytes]:
    """The frames of one call, some of which do not go together."""
    stream = random.choice([1, 1, 3, 5, 2, 0])
    headers = {
        ":method": random.choice(["POST", "POST", "POST", "GET", ""]),
        ":scheme": "http",
        ":path": random.choice(_PATHS[:2] if random.random() < 0.7 else _PATHS),
        ":authority": "localhost",
        "content-type": random.choice(_TYPES[:2] if random.random() < 0.7 else _TYPES),
        "te": "trailers",
        "grpc-encoding": random.choice(["identity", "gzip", "deflate", "no-such"]),
        "grpc-timeout": random.choice(["1S", "0n", "99999999H", "-1S", "x", "999999999999S"]),
    }
    values = {name.encode(): value.encode() for name, value in headers.items()}
    if random.random() < ODD_BYTES:
        name = random.choice(list(values))
        at = random.randrange(len(values[name]) + 1)
        values[name] = (
            values[name][:at] + random.choice([b"\xe4", b"\0", b"\n", b"\xff\xfe", b"\xed\xa0\x80"]) + values[name][at:]
        )
    block = _block(values)
    kind, flags = random.choice([(_HEADERS, _END_HEADERS)] * 4 + [(_HEADERS, 0), (_CONTINUATION, _END_HEADERS)])
    message = random.randbytes(random.choice([0, 5, 100]))
    length = random.choice([len(message), len(message), 0, len(message) + 1, 2**32 - 1])
    prefixed = bytes([random.choice([0, 0, 1, 2, 255])]) + length.to_bytes(4, "big") + message
    ended = [_frame(_DATA, _END_STREAM, stream, prefixed), _frame(_GOAWAY, 0, 0, bytes(8))]
    return [_frame(kind, flags, stream, block), *ended[: random.choice([0, 1, 1, 1, 2])]]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _block(headers: Mapping[bytes, bytes]) -> bytes:
    """Headers that are written out (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + b"".join(_length(len(each)) + each for each in header) for header in headers.items())


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    found, number = bytearray([127]), number - 127
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    return bytes([*found, number])
