"""What gRPC's own layers take and keep: connections, calls, bytes.

The arguments are those of gRPC's core (https://grpc.github.io/grpc/core/group__grpc__arg__keys.html), except those of the calls
that wait, which only its source names (src/core/server/server.h).
"""

from collections.abc import Sequence

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message, of requests and of replies."""

MAX_CALLS_OF_CONNECTION = 1_000
"""Most calls and streams of one connection that are open. What its client begins beyond that waits at the client."""

MAX_PENDING_CALLS = 20_000
"""Most calls that wait until they are taken over from gRPC. It drops those beyond as CANCELLED, without a reason; by default
some beyond 1,000, and all beyond 3,000. Calls are taken over faster than they are answered, and refused with a reason if too
many wait for an answer (`server/admission.py`). So this many come only from many connections at once.
"""

KEEPALIVE_SECONDS = 60
"""After so long without a word from a client it is asked for one."""

KEEPALIVE_TIMEOUT_SECONDS = 20
"""A client that does not answer for so long is gone. gRPC's own threads answer, also while a worker is busy."""

MIN_PING_SECONDS = 10
"""Clients that ping more often while they have no calls are cut off. gRPC's default of 5 minutes would cut off clients with a
usual keepalive.
"""


def options(max_connections: int) -> Sequence[tuple[str, int]]:
    """The arguments of a server that takes so many connections at each of its addresses."""
    return (
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
        ("grpc.http.overload_protection", 0),  # it would end calls that a client began before it heard of the bound
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.http2.bdp_probe", 0),  # else it keeps up to megabytes for a stream that is not read
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1_000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1_000),
    )
