"""Metrics for Prometheus, and the HTTP page that exports them.

A label has few values, all known beforehand: never an account or any other value that a caller chooses. Each sidecar has a
registry of its own, so that two sidecars in one process do not share counters.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import cache
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from creditmeter.core.clocks import ClockStep
from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.core.instants import SECOND, Span
from creditmeter.core.metering.committed_holds import CommittedHold
from creditmeter.core.prices.rate_card import SECTION_ACTIONS
from creditmeter.server.addresses import AddressUnusable
from creditmeter.server.counters import Counters
from creditmeter.sidecar.alerts.standard_webhooks import DeliveryOutcome

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_AMOUNT, _OTHER = "amount", "other"
"""Stand for the action of a hold of a stated amount, and for every action that a rate card names itself."""


_FORWARD, _BACK = "forward", "back"


class Metrics(Counters):
    """The counters and histograms of a sidecar. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._calls = self._counter("calls", "RPCs completed, by status code.", "rpc", "code")
        self._seconds = Histogram(
            "creditmeter_call_seconds", "RPC latency in seconds.", ["rpc"], buckets=_SECONDS, registry=self.registry
        )
        self._refusals = self._counter("refusals", "RPCs that ended with an error, by its reason.", "rpc", "reason")
        self._alerts = self._counter("low_balance_alerts", "Low balance alerts that fired, by kind of threshold.", "threshold")
        self._deliveries = self._counter("webhook_deliveries", "Webhook delivery attempts, by outcome.", "outcome")
        commits = (
            self._counter("commit_held_microcredits", "Microcredits that commits took off their holds.", "action"),
            self._counter("commit_charged_microcredits", "Microcredits that the same commits charged.", "action"),
            self._counter("commits_beyond_hold", "Commits that charged more than was held.", "action"),
        )
        actions = (*sorted(SECTION_ACTIONS), _AMOUNT, _OTHER)
        self._commits = {action: tuple(each.labels(action) for each in commits) for action in actions}
        self._quarantined = Gauge(
            "creditmeter_quarantined_accounts", "Accounts of which the journal is damaged.", registry=self.registry
        )
        self._offset = Gauge(
            "creditmeter_clock_offset_seconds",
            "How far the time of day is ahead of this machine's wall clock.",
            registry=self.registry,
        )
        self._drift = Gauge(
            "creditmeter_clock_drift_ratio",
            "How much faster the central store's clock runs than this machine's.",
            registry=self.registry,
        )
        self._steps = self._counter("clock_steps", "Steps of the time of day.", "direction")
        self._pruned = self._counter("pruned_rows", "Rows of the central store that this sidecar pruned.", "table")
        for direction in (_FORWARD, _BACK):
            self._steps.labels(direction)
        for threshold in ("amount", "percent"):
            self._alerts.labels(threshold)
        for outcome in DeliveryOutcome:
            self._deliveries.labels(outcome.value)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"creditmeter_{name}", about, labels, registry=self.registry)

    def count_calls(self, rpc: str) -> Callable[[float, grpc.StatusCode, str], None]:
        """What counts the calls of an RPC: by the seconds that a call took, its status code, and the reason of an error."""
        observe = self._seconds.labels(rpc).observe
        calls = cache(lambda code: self._calls.labels(rpc, code.name))

        def count(seconds: float, code: grpc.StatusCode, reason: str) -> None:
            observe(seconds)
            calls(code).inc()
            if reason:
                self._refusals.labels(rpc, reason).inc()

        return count

    def low_balance(self, fired: LowBalance) -> None:
        """Count an alert that fired."""
        self._alerts.labels("percent" if fired.alert.percent else "amount").inc()

    def delivery(self, outcome: DeliveryOutcome, count: int) -> None:
        """Count `count` delivery attempts that had this outcome."""
        self._deliveries.labels(outcome.value).inc(count)

    def quarantined(self, accounts: int) -> None:
        """Set how many accounts are in quarantine."""
        self._quarantined.set(accounts)

    def clock(self, offset: Span, drift: float) -> None:
        """Set how far the time of day is ahead of this machine's wall clock, and how much faster the store's clock runs."""
        self._offset.set(offset / SECOND)
        self._drift.set(drift)

    def clock_step(self, step: ClockStep) -> None:
        """Count a step of the time of day."""
        if not step.is_first and not step.is_correction:
            self._steps.labels(_FORWARD if step.length > 0 else _BACK).inc()

    def pruned(self, table: str, count: int) -> None:
        """Count rows of a table of the central store that this sidecar pruned."""
        self._pruned.labels(table).inc(count)

    def commit(self, hold: CommittedHold) -> None:
        """Count what a commit took off its hold, and what it charged."""
        known = hold.action if hold.action in SECTION_ACTIONS else _OTHER
        held, charged, beyond = self._commits[_AMOUNT if hold.action is None else known]
        held.inc(hold.held)
        charged.inc(hold.charged)
        if hold.is_exceeded:
            beyond.inc()


MAX_READERS = 16
"""Most connections to the page at a time, each of which has a thread. A further one is closed."""

READ_SECONDS = 10.0
"""A connection to the page on which nothing comes for so long is closed."""


class MetricsPage:
    """Exports metrics over plain HTTP, in a thread of its own. `address` has the real port, also if port 0 was asked for."""

    def __init__(self, server: WSGIServer, thread: Thread, host: str) -> None:
        self.address = f"{host}:{server.server_port}"
        self._server = server
        self._thread = thread

    @classmethod
    def open(cls, address: str, metrics: Metrics) -> "MetricsPage":
        """Listen on `host:port`.

        Raises:
            AddressUnusable: another process listens there, or the system refuses.
        """
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), metrics.registry)
        except OSError as error:
            raise AddressUnusable(f"cannot show metrics on {address}: {error.strerror}") from error
        _bound_readers(server)
        return cls(server, thread, host)

    async def close(self) -> None:
        """Stop listening, and wait for the thread to end. It looks each half second whether it is to end, and whenever somebody
        connects: a socket that is shut down wakes it at once.
        """
        with contextlib.suppress(OSError):  # some systems refuse that for a socket that listens; there the wait stays
            self._server.socket.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join)


def _bound_readers(server: WSGIServer) -> None:
    """Have the page serve few connections at a time, and none that says nothing: whoever can reach it needs no right to."""
    reading: set[object] = set()
    end = server.shutdown_request

    def verify_request(request: Any, _address: object) -> bool:
        has_place = len(reading) < MAX_READERS
        if has_place:
            reading.add(request)
        return has_place

    def shutdown_request(request: Any) -> None:
        reading.discard(request)
        end(request)

    server.verify_request = verify_request  # type: ignore[assignment]  # its library makes the server, of a class of its own
    server.shutdown_request = shutdown_request  # type: ignore[method-assign]  # as above
    handler: Any = server.RequestHandlerClass
    server.RequestHandlerClass = type("Handler", (handler,), {"timeout": READ_SECONDS})
