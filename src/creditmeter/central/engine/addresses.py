"""The servers that the address of a PostgreSQL store names. Importing this module loads no driver."""

import re

from sqlalchemy.engine import URL

_MAX_PORT = 65_535
_PORT = re.compile(r"[0-9]{1,5}")


def servers_in(url: URL) -> tuple[tuple[str | None, int | None], ...]:
    """The hosts and ports that an address names, in its order.

    Raises:
        ValueError: a port is not valid, or a host has an @ in it, as when an @ in a password was not escaped.
    """
    for each in _texts(url, "port"):
        _port(each)  # only checked: the driver reads it
    hosts = _texts(url, "host")
    servers = tuple(map(_host_and_port, hosts)) if hosts else ((url.host, None if url.port is None else _port(str(url.port))),)
    if any("@" in (host or "") for host, _ in servers):
        raise ValueError("a host has an @ in it")
    return servers


def _texts(url: URL, name: str) -> list[str]:
    """The values of a setting in an address. It may be repeated, and each may have several values, with commas between them."""
    found = url.query.get(name, ())
    return [each for text in ((found,) if isinstance(found, str) else found) for each in text.split(",")]


def _host_and_port(text: str) -> tuple[str, int | None]:
    """The host and port in `HOST`, `HOST:PORT` or the directory of a socket. An IPv6 address has brackets around it."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), None
    return host.strip("[]"), _port(port)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= _MAX_PORT:
        raise ValueError("a port is not a number from 1 to 65535")
    return int(text)
