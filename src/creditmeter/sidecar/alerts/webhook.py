"""A webhook: where messages are sent to, signed.

The HTTP client is imported when a webhook is made: most sidecars have none.
"""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from creditmeter import __version__
from creditmeter.sidecar.alerts.standard_webhooks import signature


class Unanswered(Exception):
    """An attempt got no answer: the receiver was not there, or not in time."""


class ProxyUnusable(Exception):
    """The environment names a proxy that no connection can be made through."""


class Webhook:
    """A receiver of messages. `host` is what may be shown of its address: the rest may be secret.

    Raises:
        ProxyUnusable: it cannot be reached through the proxy that the environment names, which is not shown either.
    """

    def __init__(self, url: str, key: bytes, timeout_seconds: float) -> None:
        import httpx2  # noqa: PLC0415 - see above

        self.host = urlsplit(url).hostname
        self._url = url
        self._key = key
        self._timeout = timeout_seconds
        try:
            self._client = httpx2.AsyncClient(
                follow_redirects=False, timeout=timeout_seconds, headers={"user-agent": f"creditmeter/{__version__}"}
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
                async with self._client.stream("POST", self._url, content=body.encode(), headers=headers) as response:
                    return response.status_code  # the rest of the answer is not read, however long it is
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise Unanswered(type(error).__name__) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
