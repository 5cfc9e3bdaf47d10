"""Tasks that run beside the requests for as long as a sidecar does."""

from collections.abc import Callable, Coroutine

import structlog

from creditmeter.sidecar.exchanger import SidecarFenced

Work = Callable[[], Coroutine[None, None, None]]

_log = structlog.get_logger()


async def logged(name: str, work: Work) -> None:
    """Run a task that is to run for ever, and log the fault if one ends it."""
    try:
        await work()
    except SidecarFenced as error:
        _log.error("fenced", task=name, reason=str(error))
    except Exception:
        _log.exception("a task ended", task=name)
        raise
