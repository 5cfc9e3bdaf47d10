"""A gate for tests of what is behind it."""

from typing import Any

from creditmeter.core.access import EVERY_SCOPE, Rights
from creditmeter.core.instants import Instant
from creditmeter.server.access.caller import Caller
from creditmeter.server.access.gate import Gate, WithoutCredentials

EVERYBODY = Rights("anybody", EVERY_SCOPE)


class Neighbour:
    """The context of a call by a Unix socket, as far as a gate looks at it."""

    def peer(self) -> str:
        """Where the call comes from."""
        return "unix:"


def open_gate() -> Gate:
    """One that lets everybody do everything, so that it never asks whose account something is of."""
    names: Any = None
    return Gate(WithoutCredentials(EVERYBODY, EVERYBODY), None, names, lambda: Instant(0))


def anybody() -> Caller:
    """A caller who may do everything."""
    context: Any = Neighbour()
    return Caller(open_gate(), context)
