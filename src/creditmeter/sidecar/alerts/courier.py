"""The courier: sends the alerts that fired to a webhook, in the background and at least once each.

Deliveries are rows of the central store, so any sidecar with a webhook sends them, not only the one whose message made the
alert fire. Sidecars without one only drop deliveries that are too old.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from http import HTTPStatus

import structlog

from creditmeter.central.engine.faults import CentralUnavailable
from creditmeter.central.store import CentralStore
from creditmeter.core.clocks import LeastClock
from creditmeter.core.credit.deliveries import Delivery
from creditmeter.core.instants import HOUR, MINUTE, SECOND, Span
from creditmeter.sidecar.alerts.standard_webhooks import DeliveryOutcome, next_attempt, outcome_of
from creditmeter.sidecar.alerts.webhook import Unanswered, Webhook
from creditmeter.sidecar.clock import Clock

INTERVAL_SECONDS = 2.0
"""Between searches for deliveries that are due."""

IDLE_SECONDS = 60.0
"""Between looks whether it is time to drop what is too old, without a webhook."""

AT_ONCE = 16
"""Most deliveries under way at a time."""

CLAIMED_FOR = Span(2 * MINUTE)
"""How long a delivery is a sidecar's own. An attempt takes less: after this the sidecar is taken for lost."""

DROP_INTERVAL = Span(10 * MINUTE)
"""Between searches for deliveries that are too old."""

JITTER_PERCENT = (75, 125)

_log = structlog.get_logger()


class Courier:
    """Delivers. `on_outcome` is called with the outcome of each attempt, and of how many deliveries it is."""

    def __init__(
        self, central: CentralStore, webhook: Webhook | None, clock: Clock, on_outcome: Callable[[DeliveryOutcome, int], None]
    ) -> None:
        self._deliveries = central.deliveries
        self._webhook = webhook
        self._clock = clock
        self._on_outcome = on_outcome
        self._drop_at = Span(0)
        self._least = LeastClock(HOUR)
        self._stops = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to search for deliveries that are due."""
        self._task = asyncio.create_task(self._run(), name="courier")

    async def stop(self, grace_seconds: float) -> None:
        """Stop. Attempts under way may end within `grace_seconds`. A delivery whose attempt does not is due again after its
        claim.
        """
        self._stops.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=grace_seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._webhook is not None:
            await self._webhook.close()

    async def _run(self) -> None:
        interval = INTERVAL_SECONDS if self._webhook is not None else IDLE_SECONDS
        while not self._stops.is_set():
            try:
                await self.deliver()
                await self.tidy()
            except CentralUnavailable:
                pass  # what is due stays due
            except Exception:  # noqa: BLE001 - else nothing would be delivered any more: it is tried again
                _log.exception("alerts cannot be delivered")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval * random.uniform(0.8, 1.2)):  # noqa: S311 - so that a fleet is spread
                    await self._stops.wait()

    async def deliver(self) -> None:
        """Deliver what is due, some at a time, until nothing is.

        Raises:
            CentralUnavailable: the store did not answer; what was not delivered, or may not have been, is due again later.
        """
        if self._webhook is None:
            return
        while not self._stops.is_set():
            claimed = await self._deliveries.claim(AT_ONCE, CLAIMED_FOR)
            ended = await asyncio.gather(*(self._attempt(self._webhook, each) for each in claimed), return_exceptions=True)
            for each in ended:
                if isinstance(each, BaseException):
                    raise each
            if len(claimed) < AT_ONCE:
                return

    async def tidy(self) -> None:
        """Drop deliveries that are too old, every `DROP_INTERVAL`, by the least that the time was for an hour.

        Raises:
            CentralUnavailable: the store did not answer.
        """
        boot = self._clock.boot()
        self._least.read(self._clock.wall(), boot)
        surely = self._least.at(boot)
        if boot < self._drop_at or surely is None:
            return
        dropped = await self._deliveries.drop_old(surely)
        self._drop_at = Span(boot + DROP_INTERVAL)
        if dropped:
            _log.warning("alerts dropped: no sidecar has a webhook", count=dropped)
            self._on_outcome(DeliveryOutcome.EXPIRED, dropped)

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> None:
        """Try once, and store the outcome."""
        try:
            status = await webhook.send(delivery.delivery_id, self._clock.wall() // SECOND, delivery.body)
        except Unanswered as error:
            outcome, reason = DeliveryOutcome.FAILED, str(error)
        else:
            outcome, reason = outcome_of(status), _named(status)
        retry_at = None
        if outcome is DeliveryOutcome.FAILED:
            jitter = random.randint(*JITTER_PERCENT)  # noqa: S311 - so that not all come at once
            retry_at = next_attempt(delivery.created_at, delivery.claimed_at, delivery.attempt, jitter)
            outcome = DeliveryOutcome.FAILED if retry_at is not None else DeliveryOutcome.GAVE_UP
        self._log_outcome(webhook, delivery, outcome, reason)
        if retry_at is None:
            await self._deliveries.finish(delivery)
        else:
            await self._deliveries.postpone(delivery, retry_at)

    def _log_outcome(self, webhook: Webhook, delivery: Delivery, outcome: DeliveryOutcome, reason: str) -> None:
        self._on_outcome(outcome, 1)
        about = {"delivery_id": delivery.delivery_id, "attempt": delivery.attempt, "host": webhook.host, "reason": reason}
        match outcome:
            case DeliveryOutcome.DELIVERED:
                _log.debug("alert delivered", **about)
            case DeliveryOutcome.FAILED:
                _log.warning("alert not delivered yet", **about)
            case _:
                _log.error("alert given up: history has it", **about)


def _named(status: int) -> str:
    """A status in words, where it has any."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
