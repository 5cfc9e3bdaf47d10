"""The log: lines of JSON on stderr."""

import errno
import io
import logging
import os
import sys
from typing import TextIO, cast

import structlog

_NOBODY_READS = (errno.EIO, errno.EPIPE)
"""The terminal was closed, or the reader of the pipe has ended."""


class LogOutput(io.TextIOBase):
    """An output for the log that never fails. Text that cannot be written is lost: a sidecar without a log still settles."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write text and flush it. Returns its length in characters."""
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            if error.errno in _NOBODY_READS:  # the interpreter flushes at its end, and would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
        except ValueError:
            if not self._out.closed:
                raise
        return len(text)


def configure_logging(level: str) -> None:
    """Log lines of JSON on stderr, from `level` up."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(level.upper(), 20)),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", LogOutput(sys.stderr))),
        cache_logger_on_first_use=True,
    )
