"""Which listeners can be reached by others, and what must protect them."""

import ipaddress
from collections import Counter
from collections.abc import Iterator

from creditmeter.server.config import Settings
from creditmeter.server.exits import MISUNDERSTOOD, StartupError
from creditmeter.server.setting_values import place_of

_LOCAL_NAMES = ("localhost", "ip6-localhost")


def is_of_this_machine(address: str) -> bool:
    """Whether only this machine reaches an address: a Unix socket, or one of the loopback interface. A name is looked up by
    gRPC, later and perhaps with another result, so no name but `localhost` counts as one.
    """
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() in _LOCAL_NAMES
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def check_listeners(settings: Settings) -> None:
    """See that whoever is reached by others is protected, and that the settings for it are complete.

    Raises:
        StartupError: an address is open to others, and nobody said that it may be; or a setting lacks another one.
    """
    problems = [*(() if settings.insecure else exposed(settings)), *_incomplete(settings)]
    if problems:
        raise StartupError("; ".join(problems), MISUNDERSTOOD, problems)


def exposed(settings: Settings) -> Iterator[str]:
    """What is wrong with each address that others reach: it has no TLS, or lets in everybody."""
    for name in ("listen", "admin_listen"):
        for address in getattr(settings, name) or ():
            if is_of_this_machine(address):
                continue
            if settings.tls_cert is None:
                why = "others can reach it, and it would have no TLS: set tls_cert and tls_key, or insecure"
                yield settings.problem(name, f"{address}: {why}")
            elif settings.access_file is None and settings.tls_client_ca is None:
                why = "whoever can reach it would be let in: set access_file or tls_client_ca, or insecure"
                yield settings.problem(name, f"{address}: {why}")


def _incomplete(settings: Settings) -> Iterator[str]:
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("tls_client_ca", "tls_cert")):
        if getattr(settings, name) is not None and getattr(settings, other) is None:
            yield settings.problem(name, f"it needs {other}")
    if settings.access_file is None:
        if not settings.socket_scopes:
            yield settings.problem("socket_scopes", "with none nobody could call by a socket: set access_file")
        if any(not each.startswith("unix:") for each in settings.admin_listen or ()):
            yield settings.problem("admin_listen", "over TCP nobody could administer without a token: set access_file")
    used = Counter(place_of(each) for each in settings.all_addresses if not each.endswith(":0"))
    for address in (each for each, count in used.items() if count > 1):
        yield f"{address} is named twice among listen, admin_listen and health_listen: each needs addresses of its own"
