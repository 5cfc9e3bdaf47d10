"""Where the sidecar is, and how a channel to it behaves."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from creditmeter.client.access import Access

ADDRESS_VARIABLE = "CREDITMETER_ADDRESS"
DEFAULT_ADDRESS = "127.0.0.1:50151"

SERVICE_CONFIG: Mapping[str, Any] = {
    "methodConfig": [
        {
            "name": [{"service": "creditmeter.v1.MeteringService"}, {"service": "creditmeter.v1.AccountService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
"""gRPC's service config for clients in any language (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).

It repeats what is UNAVAILABLE, with the same request and so the same request_id. AdminService is not in it: an operator sees
what failed. This client has no use for it. It repeats calls itself (`creditmeter.client.retrying`): it also waits as long as a
RetryInfo says, which gRPC does not read, and two layers that repeat would multiply.
"""

_CHANNEL_OPTIONS: Sequence[tuple[str, Any]] = (
    # A sidecar that restarts is back within a second: gRPC's own back-off of up to two minutes would sleep through it.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name: how long an attempt to connect may take at least. TLS over a slow network takes a while.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # Each client has a connection of its own; else all clients of a process share one.
    ("grpc.use_local_subchannel_pool", 1),
)


def resolved_address(address: str | None) -> str:
    """The given address, else that of CREDITMETER_ADDRESS, else 127.0.0.1:50151."""
    return address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS


def open_channel(address: str, access: Access) -> grpc.aio.Channel:
    """A channel to `host:port` or `unix:/path`, for the running event loop. Nothing is connected before the first call.

    Raises:
        OSError: a file of TLS cannot be read.
        ValueError: it is no certificate or key.
    """
    if access.tls is None or address.startswith("unix:"):
        return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(address, access.tls.credentials(), options=_CHANNEL_OPTIONS)
