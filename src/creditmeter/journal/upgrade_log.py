"""Logs how far the upgrade of a journal of an older version is."""

import time

import structlog

from creditmeter.journal.schema import Progress

_SECONDS_BETWEEN_LINES = 2.0

_log = structlog.get_logger()


def logged_progress() -> Progress:
    """What logs the progress, every few seconds and at the end."""
    last = time.monotonic()

    def tell(moved: int, count: int) -> None:
        nonlocal last
        if moved == count or time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            _log.info("the journal of an older version is brought up to this one", moved=moved, rows=count)

    return tell
