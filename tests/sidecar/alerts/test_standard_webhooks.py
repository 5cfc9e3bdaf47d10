"""Telling a webhook: the signature that the standard asks for, what answers mean, and when an attempt is repeated."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.instants import DAY, HOUR, SECOND, Instant
from creditmeter.sidecar.alerts.standard_webhooks import (
    GIVE_UP_AFTER,
    LEAST_ATTEMPTS,
    LONGEST_WAIT,
    DeliveryOutcome,
    WebhookMisconfigured,
    check_url,
    next_attempt,
    outcome_of,
    read_secret,
    signature,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = Instant(1_000 * DAY)


def test_the_signature_is_that_of_the_standard() -> None:
    """The example that the standard's libraries test themselves with."""
    signed = signature(read_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("changed", [("other", 5, "{}"), ("id", 6, "{}"), ("id", 5, "{} ")])
def test_everything_is_signed(changed: tuple[str, int, str]) -> None:
    """Id, time and body, and the key."""
    key = read_secret(SECRET)
    assert signature(key, *changed) != signature(key, "id", 5, "{}") != signature(key[:-1], "id", 5, "{}")


def test_a_secret_may_end_with_a_line_break() -> None:
    """As files do."""
    assert read_secret(f"{SECRET}\n") == base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def secret_of(length: int) -> str:
    """A secret with a key of so many bytes."""
    return f"whsec_{base64.b64encode(bytes(length)).decode()}"


@pytest.mark.parametrize("length", [24, 32, 64])
def test_keys_of_the_standards_lengths_are_taken(length: int) -> None:
    """From 24 to 64 bytes."""
    assert len(read_secret(secret_of(length))) == length


@pytest.mark.parametrize(
    "text", ["", "whsec_", SECRET[6:], "whsec_not base64 at all, no", "whsec_café", secret_of(23), secret_of(65)]
)
def test_what_is_no_secret_is_refused_and_not_shown(text: str) -> None:
    """The complaint says what one looks like."""
    with pytest.raises(WebhookMisconfigured, match="24 to 64 bytes") as refused:
        read_secret(text)
    assert len(text) < 7 or text[6:] not in str(refused.value)


@pytest.mark.parametrize("url", ["https://example.com", "http://127.0.0.1:8080/alerts?key=1", "https://[::1]:8443/"])
def test_http_addresses_are_taken(url: str) -> None:
    """With a port, a path, a query."""
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com", "https://", "https:///path", "file:///etc/passwd"),
        *("https://example.com:99999", "https://example.com:0/", "https://exa mple.com", "https://example.com/\n"),
        *("https://[::1", "https://exämple.com/"),
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    """The complaint says what one looks like, and does not show it: it may carry a password."""
    with pytest.raises(WebhookMisconfigured, match="https://HOST") as refused:
        check_url(url)
    assert len(url) < 10 or url not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, DeliveryOutcome.DELIVERED),
        (204, DeliveryOutcome.DELIVERED),
        (299, DeliveryOutcome.DELIVERED),
        (410, DeliveryOutcome.GONE),
    ]
    + [(status, DeliveryOutcome.FAILED) for status in (301, 302, 308, 400, 404, 429, 500, 503)],
)
def test_what_an_answer_means(status: int, outcome: DeliveryOutcome) -> None:
    """Any 2xx is yes, 410 is never again, all else is not yet."""
    assert outcome_of(status) is outcome


def test_attempts_are_further_and_further_apart_for_three_days() -> None:
    """Seconds at first, then minutes, then hours; eighteen in all."""
    at, waits = NOW, []
    for attempt in range(1, 100):
        after = next_attempt(NOW, at, attempt, 100)
        if after is None:
            break
        waits.append(after - at)
        at = after
    assert [wait // SECOND for wait in waits[:6]] == [5, 20, 80, 320, 1_280, 5_120]
    assert set(waits[7:]) == {6 * HOUR}
    assert len(waits) == 17
    assert NOW + GIVE_UP_AFTER - LONGEST_WAIT < at <= NOW + GIVE_UP_AFTER


@given(st.integers(1, 10**9), st.integers(75, 125), st.integers(0, 2 * GIVE_UP_AFTER))
def test_the_next_attempt_is_later_and_never_after_the_end(attempt: int, jitter: int, age: int) -> None:
    """However often it was tried, and however long it took. The first ones are never the last: a clock may be ahead."""
    attempted_at = Instant(NOW + age)
    after = next_attempt(NOW, attempted_at, attempt, jitter)
    if after is None:
        assert attempt >= LEAST_ATTEMPTS
        assert attempted_at + LONGEST_WAIT * 125 // 100 > NOW + GIVE_UP_AFTER
    else:
        assert attempted_at < after <= attempted_at + LONGEST_WAIT * 125 // 100
        assert after <= NOW + GIVE_UP_AFTER or attempt < LEAST_ATTEMPTS


def test_the_receiver_in_the_documentation_takes_the_message_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other, no other secret, and none that is old."""
    text = (Path(__file__).parents[3] / "docs" / "operation.md").read_text(encoding="utf-8")
    head, body = text.partition("```\nPOST /alerts")[2].partition("```")[0].split("\n\n")
    headers = dict(line.split(": ") for line in head.splitlines()[1:])
    sent = body.strip().encode()
    receiver: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], receiver)  # noqa: S102 - our own documentation
    monkeypatch.setattr(receiver["time"], "time", lambda: int(headers["webhook-timestamp"]) + 9)
    assert receiver["is_genuine"](SECRET, headers, sent)
    assert receiver["is_genuine"](SECRET, headers | {"webhook-signature": f"v1,b2xk {headers['webhook-signature']}"}, sent)
    assert not receiver["is_genuine"](SECRET, headers, sent + b" ")
    assert not receiver["is_genuine"](secret_of(24), headers, sent)
    monkeypatch.setattr(receiver["time"], "time", lambda: int(headers["webhook-timestamp"]) + 301)
    assert not receiver["is_genuine"](SECRET, headers, sent)
