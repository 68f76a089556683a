"""All metrics of the operator, in a registry of their own, under the prefix `defender_devops_`.

Events are counted here (requests, reconciles); current values (the queue, rate limits, leadership) are read from
callbacks at each scrape; the state of resources is in `resource_metrics`. `metric_definitions` describes each metric.
Label values are bounded, except for the names of resources, whose series are removed with them.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from defender_devops.telemetry.metric_definitions import COUNTERS, HISTOGRAMS, SAMPLED_GAUGES
from defender_devops.telemetry.resource_metrics import ResourceMetrics

__all__ = ["Metrics", "status_code_label"]

_DISTRIBUTION: Final = "defender-devops-operator"
_KIND: Final = "AzureDevOpsConnector"
"""The kind that is queued; organizations are reconciled with their connector."""

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: from answers out of the API server's cache to the slowest answers of ARM."""

_PIECE: Final = 64 * 1024

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value."""

ResultLabel = Literal["success", "failure", "exception", "cancelled"]


class _SampledGauges(Collector):
    """Gauges whose values are read from callbacks at each scrape."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[[], Samples]] = {}

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(gauge.full_name, gauge.text, labels=gauge.labels) for gauge in SAMPLED_GAUGES]

    def collect(self) -> Iterable[Metric]:
        for gauge in SAMPLED_GAUGES:
            family = GaugeMetricFamily(gauge.full_name, gauge.text, labels=gauge.labels)
            for labels, value in self.callbacks[gauge.name]() if gauge.name in self.callbacks else ():
                family.add_metric(labels, value)
            yield family


class Metrics:
    """The operator's metrics.

    Attributes:
        registry: all metrics except the series of resources.
        resources: series of each resource.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which is of no use here
        self.registry = CollectorRegistry()
        self.resources = ResourceMetrics()
        self._gauges = _SampledGauges()
        self._gauges.callbacks["build_info"] = lambda: [((version(_DISTRIBUTION),), 1.0)]
        self._gauges.callbacks["last_success_timestamp_seconds"] = self.resources.successes
        self._counters = {
            metric.name: Counter(metric.full_name, metric.text, metric.labels, registry=self.registry)
            for metric in COUNTERS
        }
        self._histograms = {
            metric.name: Histogram(
                metric.full_name, metric.text, metric.labels, buckets=_BUCKETS, registry=self.registry
            )
            for metric in HISTOGRAMS
        }
        self.registry.register(self._gauges)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    async def exposition(self) -> bytearray:
        """Return all metrics in Prometheus' text format."""
        compressed = await self.resources.render()
        text, decompressor = bytearray(generate_latest(self.registry)), zlib.decompressobj()
        # In pieces, so that tens of megabytes exist only once.
        for start in range(0, len(compressed), _PIECE):
            text += decompressor.decompress(compressed[start : start + _PIECE])
        return text

    def reconcile_started(self, waited: float) -> None:
        """Record that a reconcile starts after its key waited for so many seconds."""
        self._histograms["queue_wait_seconds"].observe(waited)

    def reconcile_finished(self, key: tuple[str, str], result: ResultLabel, seconds: float) -> None:
        """Record the end of a reconcile."""
        label = "error" if result in {"failure", "exception"} else result
        self._counters["reconcile_total"].labels(_KIND, label).inc()
        self._histograms["reconcile_duration_seconds"].labels(_KIND).observe(seconds)
        if result == "exception":
            self._counters["reconcile_exceptions_total"].labels(_KIND).inc()
        if result == "success":
            self.resources.succeeded(*key, time.time())

    def requeued_frequently(self) -> None:
        """Count a reconcile without an event that is one too many within a minute."""
        self._counters["frequent_requeues_total"].inc()

    def sign_in_request_rejected(self, reason: str) -> None:
        """Count a rejected request to the sign-in pages."""
        self._counters["signin_rejected_requests_total"].labels(reason).inc()

    def internal_error(self, component: str) -> None:
        """Count an unexpected exception that was confined to a part of the operator."""
        self._counters["internal_errors_total"].labels(component).inc()

    def azure_request(self, operation: str, status: int | None, seconds: float) -> None:
        """Record a request to Azure; the status None means that there was no answer."""
        self._counters["azure_requests_total"].labels(operation, status_code_label(status)).inc()
        self._histograms["azure_request_duration_seconds"].labels(operation).observe(seconds)

    def azure_devops_request(self, area: str, status: int | None, seconds: float) -> None:
        """Record a request to Azure DevOps; the status None means that there was no answer."""
        self._counters["azure_devops_requests_total"].labels(area, status_code_label(status)).inc()
        self._histograms["azure_devops_request_duration_seconds"].labels(area).observe(seconds)

    def kubernetes_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Record a request to the Kubernetes API; the code `error` means that there was no answer."""
        self._counters["kubernetes_requests_total"].labels(verb, resource, code).inc()
        self._histograms["kubernetes_request_duration_seconds"].labels(verb, resource).observe(seconds)

    def event_lost(self) -> None:
        """Count a Kubernetes event that could not be written."""
        self._counters["events_lost_total"].inc()

    def set_leader_callback(self, is_leader: Callable[[], bool]) -> None:
        """Set the source of whether this replica leads."""
        self._gauges.callbacks["leader"] = lambda: [((), float(is_leader()))]

    def set_queue_callback(self, depth: Callable[[], Mapping[str, int]]) -> None:
        """Set the source of the number of keys in each state."""
        self._gauges.callbacks["queue"] = lambda: [((state,), float(count)) for state, count in depth().items()]

    def set_rate_limiter_callback(self, budgets: Callable[[], Iterable[tuple[str, str, str, float]]]) -> None:
        """Set the source of the available requests: principal, subscription, kind, number."""
        self._gauges.callbacks["azure_budget_requests"] = lambda: [(budget[:3], budget[3]) for budget in budgets()]

    def set_watch_failing_callback(self, failing: Callable[[], Mapping[str, bool]]) -> None:
        """Set the source of whether each watch fails."""
        self._gauges.callbacks["watch_failing"] = lambda: [
            ((name,), float(is_failing)) for name, is_failing in failing().items()
        ]

    def set_managed_elsewhere_callback(self, managed_elsewhere: Callable[[], Mapping[str, int]]) -> None:
        """Set the source of the number of connectors that each other installation manages."""
        self._gauges.callbacks["connectors_managed_elsewhere"] = lambda: [
            ((name,), float(count)) for name, count in managed_elsewhere().items()
        ]

    def set_posture_answers_callback(self, answers: Callable[[], Iterable[tuple[tuple[str, str], datetime]]]) -> None:
        """Set the source of connectors, as namespace and name, and when the last answer about each arrived."""

        def ages() -> Samples:
            now = time.time()
            return [(key, max(0.0, now - answered_at.timestamp())) for key, answered_at in answers()]

        self._gauges.callbacks["posture_answer_age_seconds"] = ages

    def set_watch_silence_callback(self, silence: Callable[[], Mapping[str, float]]) -> None:
        """Set the source of the seconds since the last event of each watch."""
        self._gauges.callbacks["watch_silence_seconds"] = lambda: [
            ((name,), seconds) for name, seconds in silence().items()
        ]


def status_code_label(status: int | None) -> str:
    """Return an HTTP status as a label; `error` if there was no answer."""
    return "error" if status is None else str(status)
