"""Where a webhook may be sent to, on real connections: the receiver is on loopback, which is not public."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from creditmeter.sidecar.alerts.targets import TargetRefused, is_public, public_addresses
from creditmeter.sidecar.alerts.webhook import Unanswered, Webhook
from tests.sidecar.alerts.receiver import KEY, Receiver

PUBLIC = ("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
NOT_PUBLIC = (
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("100.127.255.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "0.1.2.3"),
    *("::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    "2001:0:a9fe:a9fe::",
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands between this machine and others."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    made = Receiver()
    async with made.listening():
        yield made


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    """IPv4 and IPv6, and IPv6 addresses that stand for a public IPv4 address."""
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_every_other_address_is_not(address: str) -> None:
    """Loopback, private, link-local, shared, multicast, reserved and for documentation, however it is written."""
    assert not is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"])
async def test_what_a_host_resolves_to_is_what_counts(receiver: Receiver, host: str) -> None:
    """A message to a receiver on this machine is not sent, whatever its host is called, and the operator is told why."""
    port = urlsplit(receiver.url).port
    async with Webhook(f"http://{host}:{port}/", KEY, 5) as webhook:
        with pytest.raises(Unanswered, match="no public address: alert_webhook_private"):
            await webhook.send("id", 1, "{}")
    assert not receiver.received
    async with Webhook(f"http://127.0.0.1:{port}/", KEY, 5, allow_private=True) as webhook:
        assert await webhook.send("id", 1, "{}") == 200
    assert len(receiver.received) == 1


async def test_addresses_of_one_name_are_told_apart() -> None:
    """Where a name has public addresses and others, only the public ones are left."""
    assert await public_addresses("8.8.8.8", 443) == ["8.8.8.8"]
    with pytest.raises(TargetRefused, match=r"localhost is .*, no public address"):
        await public_addresses("localhost", 80)


async def test_the_connection_is_made_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that says a private address the second time it is resolved is not resolved a second time."""
    loop = asyncio.get_running_loop()
    asked: list[object] = []

    async def rebinding(host: object, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", ("192.0.2.1" if host == "rebinding.example" and len(asked) > 1 else "8.8.8.8", 80))]

    monkeypatch.setattr(loop, "getaddrinfo", rebinding, raising=False)
    assert await public_addresses("rebinding.example", 80) == ["8.8.8.8"]
    async with Webhook("http://rebinding.example/", KEY, 0.2) as webhook:
        with pytest.raises(Unanswered, match="no public address"):
            await webhook.send("id", 1, "{}")


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It is the receiver's answer, and no success."""
    receiver.answer(307)
    async with Webhook(receiver.url, KEY, 5, allow_private=True) as webhook:
        assert await webhook.send("id", 1, "{}") == 307
    assert len(receiver.received) == 1


async def test_a_proxy_resolves_names_and_gets_no_private_address(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """The request goes to the proxy with the name in it. An IP address that is not public is not given to it."""
    proxy = urlsplit(receiver.url)
    monkeypatch.setenv("http_proxy", f"http://{proxy.netloc}")
    async with Webhook("http://alerts.example/here", KEY, 5) as webhook:
        assert await webhook.send("id", 1, "{}") == 200
    assert receiver.received[0].line.startswith("POST http://alerts.example/here ")
    async with Webhook("http://169.254.169.254/latest", KEY, 5) as webhook:
        with pytest.raises(Unanswered, match="no public address"):
            await webhook.send("id", 1, "{}")
    assert len(receiver.received) == 1
