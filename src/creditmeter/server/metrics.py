"""Metrics for Prometheus: what this sidecar counts, and where it shows it.

Every label has few values, known beforehand: never an account or anything else that a caller chooses. The registry is this
object's own, so that two sidecars in one process count apart.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from threading import Thread
from wsgiref.simple_server import WSGIServer

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server

from creditmeter.core.credit.low_balance import LowBalance
from creditmeter.server.addresses import AddressUnusable
from creditmeter.sidecar.alerts.standard_webhooks import Outcome

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What is counted. Counting may be done from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._calls = self._counter("calls", "Calls by how they ended.", "rpc", "code")
        self._seconds = Histogram(
            "creditmeter_call_seconds", "How long calls took.", ["rpc"], buckets=_SECONDS, registry=self.registry
        )
        self._refusals = self._counter("refusals", "Calls that ended with an error, by its reason.", "rpc", "reason")
        self._alerts = self._counter("low_balance_alerts", "Alerts of low credit that fired.", "threshold")
        self._deliveries = self._counter("webhook_deliveries", "Attempts to tell a webhook of an alert.", "outcome")
        for threshold in ("amount", "percent"):
            self._alerts.labels(threshold)
        for outcome in Outcome:
            self._deliveries.labels(outcome.value)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"creditmeter_{name}", about, labels, registry=self.registry)

    @contextlib.contextmanager
    def call(self, rpc: str) -> Iterator["MeasuredCall"]:
        """Measure a call, which lasts as long as the block."""
        started = time.perf_counter()
        measured = MeasuredCall()
        try:
            yield measured
        finally:
            self._seconds.labels(rpc).observe(time.perf_counter() - started)
            self._calls.labels(rpc, measured.code.name).inc()
            if measured.reason:
                self._refusals.labels(rpc, measured.reason).inc()

    def low_balance(self, fired: LowBalance) -> None:
        """Count an alert that fired."""
        self._alerts.labels("percent" if fired.alert.percent else "amount").inc()

    def delivery(self, outcome: Outcome, count: int) -> None:
        """Count what became of attempts to tell a webhook."""
        self._deliveries.labels(outcome.value).inc(count)


class MeasuredCall:
    """How a call ended. One of which nothing is said was cancelled."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.CANCELLED
        self.reason = ""

    def ended(self, code: grpc.StatusCode, reason: str = "") -> None:
        """Say how it ended; a refusal has a reason."""
        self.code, self.reason = code, reason


class MetricsPage:
    """Shows metrics over plain HTTP, in a thread of its own. `address` is where it really listens."""

    def __init__(self, server: WSGIServer, thread: Thread, host: str) -> None:
        self.address = f"{host}:{server.server_port}"
        self._server = server
        self._thread = thread

    @classmethod
    def open(cls, address: str, metrics: Metrics) -> "MetricsPage":
        """Listen on `host:port`.

        Raises:
            AddressUnusable: somebody else listens there, or the system refuses.
        """
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), metrics.registry)
        except OSError as error:
            raise AddressUnusable(f"cannot show metrics on {address}: {error.strerror}") from error
        return cls(server, thread, host)

    async def close(self) -> None:
        """Listen no more."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join)
