"""A receiver of webhooks: a real HTTP server on loopback that answers as a test wants it to."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: str

    @property
    def content(self) -> Any:
        """The message."""
        return json.loads(self.body)

    @property
    def is_genuine(self) -> bool:
        """Whether the signature is that of the secret, as the standard describes it."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.{self.body}"
        digest = base64.b64encode(hmac.new(KEY, signed.encode(), hashlib.sha256).digest()).decode()
        return f"v1,{digest}" in self.headers["webhook-signature"].split(" ")


class Receiver:
    """Answers each request with the next status that it was told, then with the last of them for good. 0: it hangs; -1: it
    hangs up; -2: it speaks no HTTP; -3: it drips its answer for ever.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.came = asyncio.Event()
        self._answers: list[int] = [200]
        self._let_go = asyncio.Event()
        self.url = ""
        self.at_once = self.most_at_once = 0

    def answer(self, *statuses: int) -> None:
        """How to answer from now on."""
        self._answers = list(statuses)

    def let_go(self) -> None:
        """Answer those that hang, with 200."""
        self._let_go.set()

    @property
    def ids(self) -> list[str]:
        """The ids of what came."""
        return [each.headers["webhook-id"] for each in self.received]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen at `url`."""
        connections: set[asyncio.Task[Any]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await self._serve(reader, writer)
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts?key=secret"
        try:
            yield
        finally:
            server.close()
            for each in connections:
                each.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        self.received.append(Received(line, headers, body))
        self.came.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._reply(writer, self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        finally:
            self.at_once -= 1

    async def _reply(self, writer: asyncio.StreamWriter, status: int) -> None:
        match status:
            case -1:
                return
            case -2:
                writer.write(b"I speak no HTTP\r\n\r\n")
                return
            case -3:
                writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case 0:
                await self._let_go.wait()
                status = 200
            case _:
                pass
        location = "location: /elsewhere\r\n" if status // 100 == 3 else ""
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{location}content-length: 2\r\n\r\nok".encode())
        writer.close()
        await writer.wait_closed()
