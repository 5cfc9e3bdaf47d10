"""Open files: as many as the system allows, of which connections leave enough to the sidecar itself.

A process without a free descriptor can open no file, and so neither the journal nor the central store. So the number of
connections is bounded below the number of files that may be open.
"""

import resource

import structlog

from creditmeter.files.descriptors import HOW_TO_ALLOW_MORE
from creditmeter.server.exits import StartupError

LEAST_FILES = 64
"""A sidecar that may have fewer files open does not start: it has some 45 open while it does nothing."""

KEPT_FOR_FILES = 256
"""Descriptors for the journal, the central store, its connections, the metrics page and what gRPC itself opens."""

MAX_CONNECTIONS = 4_000
"""Most connections at one address. A connection that is idle takes some 20 KB."""

MOST_FILES = 65_536
"""The limit is raised to so many at most, although the system may allow more."""

_log = structlog.get_logger()


def raise_limit() -> int:
    """Raise the process's own limit of open files as far as the system allows, up to `MOST_FILES`. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        _log.info("more files may be open", before=soft, now=most)
        soft = most
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def require_files() -> None:
    """Raise the limit, and see that a sidecar can work within it.

    Raises:
        StartupError: it cannot.
    """
    files = raise_limit()
    if files < LEAST_FILES:
        raise StartupError(f"at most {files} files may be open, and a sidecar needs {LEAST_FILES}. {HOW_TO_ALLOW_MORE}")


def connections_for(files: int, addresses: int) -> int:
    """How many connections each of so many addresses may have, where so many files may be open in all."""
    most = max(1, (files - KEPT_FOR_FILES) // max(1, addresses))
    if most < MAX_CONNECTIONS:
        _log.warning("few connections: the limit of open files is low", files=files, connections_of_address=most)
    return min(most, MAX_CONNECTIONS)
