"""Messages to a webhook, by Standard Webhooks (https://www.standardwebhooks.com).

The signature shows the receiver who sent a message and that it is whole. The timestamp shows that it is no old one played back.
The id, which is the same in all attempts, shows whether it was received before. Attempts go on for some days, at growing
intervals.
"""

import base64
import hmac
from enum import Enum
from hashlib import sha256
from urllib.parse import urlsplit

from creditmeter.core.instants import DAY, HOUR, SECOND, Instant, Span

FIRST_WAIT = Span(5 * SECOND)
GROWTH = 4
LONGEST_WAIT = Span(6 * HOUR)
GIVE_UP_AFTER = Span(3 * DAY)
"""Counted from when it happened."""

LEAST_ATTEMPTS = 8
"""So many are made in any case: the clock may be ahead during one. They take 5 hours at least."""

LONGEST_TIMEOUT_SECONDS = 60.0
"""The most that an attempt may take."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
_KEY_BYTES = range(24, 65)
_GONE = 410


class WebhookMisconfigured(Exception):
    """A webhook cannot be used as it is configured. The message gives the reason, and neither its secret nor its address."""


class DeliveryOutcome(Enum):
    """The outcome of an attempt. EXPIRED: no sidecar made one in time."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"
    GAVE_UP = "gave_up"
    EXPIRED = "expired"


def outcome_of(status: int) -> DeliveryOutcome:
    """What an answer with this HTTP status means. Redirects are not followed: the signature was made for one receiver."""
    if status == _GONE:
        return DeliveryOutcome.GONE
    return DeliveryOutcome.DELIVERED if status // 100 == 2 else DeliveryOutcome.FAILED  # noqa: PLR2004 - any 2xx


def next_attempt(happened_at: Instant, attempted_at: Instant, attempt: int, jitter_percent: int) -> Instant | None:
    """When to try again after attempt number `attempt` failed; None if that would be too late, however often it was tried. The
    wait is stretched or cut to `jitter_percent` of itself.
    """
    wait = FIRST_WAIT
    for _ in range(attempt - 1):
        wait = Span(min(LONGEST_WAIT, GROWTH * wait))
        if wait == LONGEST_WAIT:
            break
    at = Instant(attempted_at + wait * jitter_percent // 100)
    return at if at <= happened_at + GIVE_UP_AFTER or attempt < LEAST_ATTEMPTS else None


def signature(key: bytes, message_id: str, timestamp: int, body: str) -> str:
    """The value of `webhook-signature`: version 1 is HMAC-SHA256 over id, seconds since 1970 and body."""
    signed = f"{message_id}.{timestamp}.{body}".encode()
    return f"v1,{base64.b64encode(hmac.digest(key, signed, sha256)).decode()}"


def read_secret(text: str) -> bytes:
    """The key in a secret as it is written: `whsec_` and 24 to 64 bytes in Base64.

    Raises:
        WebhookMisconfigured: it is none.
    """
    written = text.strip()
    try:
        key = base64.b64decode(written.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not written.startswith(SECRET_PREFIX) or len(key) not in _KEY_BYTES:
        raise WebhookMisconfigured(f"a webhook's secret is {SECRET_PREFIX} and 24 to 64 bytes in Base64")
    return key


def check_url(url: str) -> None:
    """Make sure that something can be sent there.

    Raises:
        WebhookMisconfigured: it is no address of an HTTP server.
    """
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or not url.isascii() or not url.isprintable() or " " in url:
        raise WebhookMisconfigured("a webhook's address is https://HOST[:PORT]/PATH, or http:// within a network of one's own")
