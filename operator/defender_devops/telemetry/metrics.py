"""Every metric of the operator, in a registry of its own, under the prefix `defender_devops_`.

Counted here is what happens (requests, reconciles); what there is (the queue, budgets, leadership) is asked of its
owner at the moment of a scrape; what resources are like is in `resource_metrics`. `metric_facts` says what each means.
No label takes unbounded values, but for the names of resources, whose series go with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
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

__all__ = ["Metrics", "code_of"]

_DISTRIBUTION: Final = "defender-devops-operator"
_KIND: Final = "AzureDevOpsConnector"
"""What is queued; organizations are reconciled with their connector."""

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: from an answer out of the API server's cache to the slowest that ARM gives."""

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value."""

ResultLabel = Literal["success", "failure", "exception", "cancelled"]


class _Asked(Collector):
    """Gauges whose values are asked for at each scrape."""

    def __init__(self) -> None:
        self._answers: dict[str, Callable[[], Samples]] = {}

    def answer(self, name: str, samples: Callable[[], Samples]) -> None:
        self._answers[name] = samples

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(each.full_name, each.text, labels=each.labels) for each in SAMPLED_GAUGES]

    def collect(self) -> Iterable[Metric]:
        for each in SAMPLED_GAUGES:
            family = GaugeMetricFamily(each.full_name, each.text, labels=each.labels)
            for labels, value in self._answers[each.name]() if each.name in self._answers else ():
                family.add_metric(labels, value)
            yield family


class Metrics:
    """The operator's metrics.

    Attributes:
        registry: all but the series of resources.
        resources: series of each resource.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series beside each, which nobody asks for
        self.registry = CollectorRegistry()
        self.resources = ResourceMetrics()
        self._asked = _Asked()
        self._asked.answer("build_info", lambda: [((version(_DISTRIBUTION),), 1.0)])
        self._asked.answer("last_success_timestamp_seconds", self.resources.successes)
        self._count = {
            each.name: Counter(each.full_name, each.text, each.labels, registry=self.registry) for each in COUNTERS
        }
        self._time = {
            each.name: Histogram(each.full_name, each.text, each.labels, buckets=_BUCKETS, registry=self.registry)
            for each in HISTOGRAMS
        }
        self.registry.register(self._asked)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    async def exposition(self) -> bytes:
        """What a scrape gets, in Prometheus' text format."""
        return generate_latest(self.registry) + await self.resources.render()

    def started(self, waited: float) -> None:
        """A reconcile starts: told by the queue."""
        self._time["queue_wait_seconds"].observe(waited)

    def finished(self, key: tuple[str, str], result: ResultLabel, seconds: float) -> None:
        """A reconcile of the connector of that namespace and name ended: told by the queue."""
        shown = "error" if result in ("failure", "exception") else result
        self._count["reconcile_total"].labels(_KIND, shown).inc()
        self._time["reconcile_duration_seconds"].labels(_KIND).observe(seconds)
        if result == "exception":
            self._count["reconcile_exceptions_total"].labels(_KIND).inc()
        if result == "success":
            self.resources.succeeded(*key, time.time())

    def azure_request(self, operation: str, status: int | None, seconds: float) -> None:
        """Azure was asked; status None: it did not answer."""
        self._count["azure_requests_total"].labels(operation, code_of(status)).inc()
        self._time["azure_request_duration_seconds"].labels(operation).observe(seconds)

    def azure_devops_request(self, area: str, status: int | None, seconds: float) -> None:
        """Azure DevOps was asked; status None: it did not answer."""
        self._count["azure_devops_requests_total"].labels(area, code_of(status)).inc()
        self._time["azure_devops_request_duration_seconds"].labels(area).observe(seconds)

    def kubernetes_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """The Kubernetes API was asked; code `error`: it did not answer."""
        self._count["kubernetes_requests_total"].labels(verb, resource, code).inc()
        self._time["kubernetes_request_duration_seconds"].labels(verb, resource).observe(seconds)

    def event_lost(self) -> None:
        """A Kubernetes event could not be written."""
        self._count["events_lost_total"].inc()

    def set_leader_callback(self, leads: Callable[[], bool]) -> None:
        """Set who knows whether this replica leads."""
        self._asked.answer("leader", lambda: [((), float(leads()))])

    def set_queue_callback(self, depth: Callable[[], Mapping[str, int]]) -> None:
        """Set who knows how many keys are in which state."""
        self._asked.answer("queue", lambda: [((state,), float(count)) for state, count in depth().items()])

    def set_rate_limiter_callback(self, left: Callable[[], Iterable[tuple[str, str, str, float]]]) -> None:
        """Set who knows how much each bucket holds: principal, subscription, kind, requests."""
        self._asked.answer("azure_budget_requests", lambda: [(each[:3], each[3]) for each in left()])

    def set_watch_silence_callback(self, silences: Callable[[], Mapping[str, float]]) -> None:
        """Set who knows for how many seconds nothing was heard from each watch."""
        self._asked.answer("watch_silence_seconds", lambda: [((name,), each) for name, each in silences().items()])


def code_of(status: int | None) -> str:
    """An HTTP status as a label has it; `error` where no answer came."""
    return "error" if status is None else str(status)
