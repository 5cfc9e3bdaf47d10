"""Where a webhook may be sent to: addresses of the public internet, unless private ones are allowed.

A name is resolved for each attempt, and the connection is made to an address that was looked at. So a name that says another
address later, or to somebody else, is no way around it.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that stand for an IPv4 address, which is their end (https://www.rfc-editor.org/rfc/rfc6052)."""

MOST_ADDRESSES = 4
"""Addresses of one name that are tried, one after another."""


class TargetRefused(Exception):
    """Nothing may be sent to any address of this host."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet: no loopback, private, link-local, shared (100.64.0.0/10), multicast
    or reserved one, and no IPv6 address that stands for such an IPv4 address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return _is_public(found)
    written = IPv4Address(int(found) & 0xFFFF_FFFF) if found in _NAT64 else found.ipv4_mapped
    if written is not None:
        return _is_public(written)
    tunnelled = [each for each in (found.sixtofour, *(found.teredo or ())) if each is not None]
    return _is_public(found) and not found.is_site_local and all(map(_is_public, tunnelled))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)


async def public_addresses(host: str, port: int) -> list[str]:
    """The public addresses of a host, at most `MOST_ADDRESSES`.

    Raises:
        TargetRefused: it has none.
        OSError: it cannot be resolved.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    allowed = [each for each in addresses if is_public(each)]
    if not allowed:
        raise TargetRefused(f"{host} is {addresses[0]}, no public address: alert_webhook_private lets alerts go there")
    return allowed[:MOST_ADDRESSES]


def refuse_private_literal(host: str) -> None:
    """Check a host that a proxy connects to, as far as it can be known here: if it is an IP address.

    Raises:
        TargetRefused: it is one, and not public.
    """
    try:
        is_refused = not is_public(host)
    except ValueError:
        return
    if is_refused:
        raise TargetRefused(f"{host} is no public address: alert_webhook_private lets alerts go there")
