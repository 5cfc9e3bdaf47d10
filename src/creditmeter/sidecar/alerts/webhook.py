"""A webhook: where messages are sent to, signed.

The HTTP client is imported when a webhook is made: most sidecars have none.
"""

import asyncio
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from creditmeter import __version__
from creditmeter.sidecar.alerts.standard_webhooks import signature
from creditmeter.sidecar.alerts.targets import TargetRefused, public_addresses, refuse_private_literal

_PORTS = {"http": 80, "https": 443}


class Unanswered(Exception):
    """An attempt got no answer: the receiver was not there, or not in time."""


class ProxyUnusable(Exception):
    """The environment names a proxy that no connection can be made through."""


class Webhook:
    """A receiver of messages. `host` is what may be shown of its address: the rest may be secret.

    Unless private addresses are allowed, it is connected to by a public address, and not by its name. Behind a proxy the proxy
    resolves the name, and has to say which addresses may be reached.

    Raises:
        ProxyUnusable: it cannot be reached through the proxy that the environment names, which is not shown either.
    """

    def __init__(self, url: str, key: bytes, timeout_seconds: float, *, allow_private: bool = False) -> None:
        import httpx2  # noqa: PLC0415 - see above

        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._named = parts.netloc.rpartition("@")[2]
        self._url = httpx2.URL(url)
        self._allow_private = allow_private
        self._key = key
        self._timeout = timeout_seconds
        self._proxy = _proxy_for(parts.scheme, self.host)
        headers = {"user-agent": f"creditmeter/{__version__}"}
        direct = None if self._proxy else httpx2.AsyncHTTPTransport()
        try:
            self._client = httpx2.AsyncClient(
                follow_redirects=False, timeout=timeout_seconds, headers=headers, proxy=self._proxy, transport=direct
            )
        except (ImportError, ValueError, httpx2.InvalidURL):  # SOCKS needs a package more, other schemes there are none
            raise ProxyUnusable(
                "the webhook's proxy cannot be used: HTTPS_PROXY, HTTP_PROXY and ALL_PROXY in the environment must be"
                " http://… or https://…"
            ) from None

    async def send(self, message_id: str, timestamp: int, body: str) -> int:
        """Send a message. Returns the HTTP status of the answer. `timestamp` is now, in seconds since 1970.

        Raises:
            Unanswered: no answer arrived within the time-out, which covers the whole attempt.
        """
        import httpx2  # noqa: PLC0415 - see above

        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._key, message_id, timestamp, body),
        }
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(body.encode(), headers)
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except TargetRefused as error:
            raise Unanswered(str(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise Unanswered(type(error).__name__) from error

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        """Send to the first address that can be connected to."""
        import httpx2  # noqa: PLC0415 - see above

        *firsts, last = await self._targets()
        for url, extensions in firsts:
            try:
                return await self._post_to(url, body, headers, extensions)
            except httpx2.ConnectError:
                continue
        return await self._post_to(last[0], body, headers, last[1])

    async def _post_to(self, url: Any, body: bytes, headers: dict[str, str], extensions: dict[str, str]) -> int:
        named = headers | {"host": self._named}
        async with self._client.stream("POST", url, content=body, headers=named, extensions=extensions) as response:
            return response.status_code  # the rest of the answer is not read, however long it is

    async def _targets(self) -> list[tuple[Any, dict[str, str]]]:
        """The addresses to try, with what TLS has to be told: the certificate is that of the name.

        Raises:
            TargetRefused: none is allowed.
            OSError: the name cannot be resolved.
        """
        if self._allow_private:
            return [(self._url, {})]
        if self._proxy:
            refuse_private_literal(self.host)
            return [(self._url, {})]
        found = await public_addresses(self.host, self._port)
        return [(self._url.copy_with(host=each), {"sni_hostname": self.host}) for each in found]

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _proxy_for(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for a host, as other programs read it; None: there is none in the way."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
