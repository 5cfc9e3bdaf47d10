"""The log: lines of JSON on stderr.

Each event is one line of printable ASCII: JSON escapes all else. So nothing that a caller chose, an id, a reason or a file's
name, can end a line, pretend to be another one or steer a terminal. What libraries log or warn of comes the same way.
"""

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


class _OfLibraries(logging.Handler):
    """Logs what libraries log. Without it their lines would be plain text, over several lines where an exception is in it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record, with the name of its logger."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # its arguments do not fit its text
            text = str(record.msg)
        structlog.get_logger().log(record.levelno, text, logger=record.name, exc_info=record.exc_info)


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
    logging.basicConfig(handlers=[_OfLibraries(logging.WARNING)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
